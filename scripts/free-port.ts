/** A port on the loopback interface that nobody listens on. */
import { once } from 'node:events'
import { createServer } from 'node:net'

/** Below those that systems give to who asks for any: nothing gets one of these by chance. */
const firstPort = 20_000
const ports = 12_000

/** Processes that look at the same time begin far from each other. */
let next = process.pid * 64

/** For servers that keep their port when they are started again. */
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
