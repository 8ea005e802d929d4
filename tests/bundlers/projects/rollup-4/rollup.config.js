import { nodeResolve } from '@rollup/plugin-node-resolve'

export default {
  input: 'conversation.js',
  output: { dir: 'dist' },
  plugins: [nodeResolve({ browser: true })],
}
