/** A port on the loopback interface that nobody listens on. */
import { once } from 'node:events'
import { createServer } from 'node:net'

/**
 * Below the ports that systems assign to anyone who asks for any: nothing gets one of these by
 * chance.
 */
const firstPort = 20_000
const ports = 12_000

/** Processes that search at the same time start far apart. */
let next = process.pid * 64

/** For servers that keep their port across restarts. */
export const freePort = async (): Promise<number> => {
  for (;;) {
    const port = firstPort + (next++ % ports)
    if (await isFree(port)) return port
  }
}

const isFree = async (port: number): Promise<boolean> => {
  const server = createServer()
  try {
    await once(server.listen(port, '127.0.0.1'), 'listening')
  } catch {
    return false
  }
  await new Promise((resolve) => server.close(resolve))
  return true
}
