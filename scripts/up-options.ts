/** The command line options of `dev/up`. */
import { parseArgs } from 'node:util'

export interface UpOptions {
  readonly nodePort: number
  readonly demoPort: number
  /** Check that both respond, then stop. */
  readonly once: boolean
}

const usage = 'usage: dev/up [--node-port 8787] [--demo-port 5173] [--once]'

const readPort = (name: string, text: string): number => {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : Number.NaN
  if (!(port >= 1 && port <= 65_535)) throw new Error(`--${name} needs a port, not "${text}"`)
  return port
}

/** @throws with a message when an option is unknown or not a port. */
export const readUpOptions = (args: readonly string[]): UpOptions => {
  try {
    const { values } = parseArgs({
      args: [...args],
      options: {
        'node-port': { type: 'string', default: '8787' },
        'demo-port': { type: 'string', default: '5173' },
        once: { type: 'boolean', default: false },
      },
    })
    const nodePort = readPort('node-port', values['node-port'])
    const demoPort = readPort('demo-port', values['demo-port'])
    if (nodePort === demoPort) throw new Error('the node and the demo need different ports')
    return { nodePort, demoPort, once: values.once }
  } catch (error) {
    throw new Error(`${error instanceof Error ? error.message : error}\n${usage}`)
  }
}
