/** A port on the loopback interface that nobody listens on. */
import { once } from 'node:events'
import { createServer } from 'node:net'

/** Free a moment ago: for servers that keep their port when they are started again. */
export const freePort = async (): Promise<number> => {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  if (address === null || typeof address === 'string') throw new Error('no free port')
  return address.port
}
