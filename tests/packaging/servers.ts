/** The node that a packaging test has installed. */
import { spawn } from 'node:child_process'
import { join } from 'node:path'

export interface StartedNode {
  readonly url: string
  /** Everything it printed so far. */
  readonly printed: () => string
  /** Sends SIGTERM and resolves with the exit code. */
  stop(): Promise<number | null>
}

/**
 * Starts the `padlock-node` of a project by its command and waits until it says where it listens.
 * `options` say where it keeps its data, and more.
 */
export const startInstalledNode = async (
  projectDir: string,
  options: readonly string[] = ['--data', join(projectDir, 'node-data')],
): Promise<StartedNode> => {
  const command = join(projectDir, 'node_modules/.bin/padlock-node')
  const args = [...options, '--port', '0', '--host', '127.0.0.1']
  const child = spawn(command, args, { cwd: projectDir, stdio: ['ignore', 'pipe', 'pipe'] })
  const ended = new Promise<number | null>((resolve) => child.once('exit', resolve))
  let printed = ''
  const url = await new Promise<string>((resolve, reject) => {
    const read = (text: string): void => {
      printed += text
      const found = /http:\/\/[\d.]+:\d+/.exec(printed)
      if (found) resolve(found[0])
    }
    child.stdout.setEncoding('utf8').on('data', read)
    child.stderr.setEncoding('utf8').on('data', read)
    child.once('error', reject)
    child.once('exit', (code) => reject(new Error(`padlock-node ended with ${code}: ${printed}`)))
  })
  const stop = (): Promise<number | null> => {
    child.kill('SIGTERM')
    return ended
  }
  return { url, printed: () => printed, stop }
}
