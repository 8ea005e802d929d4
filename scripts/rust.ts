/**
 * Makes sure that the parts of Rust that the checks use are installed, as in rust-toolchain.toml.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { root } from './files.ts'
import { run } from './process.ts'

const works = async (...args: string[]): Promise<boolean> =>
  (await run('cargo', args, { cwd: root, output: 'collect' })).code === 0

/** Installs what is missing; returns one sentence if that fails, otherwise nothing. */
export const ensureRust = async (): Promise<string | undefined> => {
  if ((await works('clippy', '--version')) && (await works('fmt', '--version'))) return undefined
  const settings = readFileSync(join(root, 'rust-toolchain.toml'), 'utf8')
  const channel = /^channel = "(.+)"$/m.exec(settings)?.[1] ?? 'stable'
  console.log(`installing Rust ${channel}`)
  const parts = ['--component', 'clippy', '--component', 'rustfmt']
  const target = ['--target', 'wasm32-unknown-unknown']
  const args = ['toolchain', 'install', channel, '--profile', 'minimal', '--no-self-update']
  const { code, output } = await run('rustup', [...args, ...parts, ...target], {
    cwd: root,
    output: 'collect',
  })
  if (code === 0) return undefined
  console.log(output.trimEnd())
  return `rustup could not install Rust ${channel} with clippy and rustfmt: see its message above.`
}
