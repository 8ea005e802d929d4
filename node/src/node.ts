/** A node from its data folder to its port. */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { listen } from './server/listen.ts'
import { createNodeService, type NodeServiceOptions } from './service.ts'
import { openThreadStore } from './store/database-thread.ts'

export interface NodeOptions extends Omit<NodeServiceOptions, 'store'> {
  /** The folder that everything is kept in; made if it is not there. */
  readonly data: string
  /** 0 for any free one. */
  readonly port: number
  readonly host: string
  /** Called if the node cannot go on: its database thread ended. */
  readonly onFailure?: (reason: string) => void
}

export interface RunningNode {
  readonly url: string
  readonly nodeId: Uint8Array
  /** Ends the streams, answers what is under way, closes the file. */
  close(): Promise<void>
}

/** Requests under way at a stop get this long. */
const stopGraceMs = 5_000

/** @throws Error, with a sentence for the person who starts it. */
export async function startNode(options: NodeOptions): Promise<RunningNode> {
  const { data, port, host, onFailure } = options
  const file = join(data, 'node.sqlite')
  const store = await openStore().catch((error: unknown) => {
    throw new Error(sentence(error, `the data in ${data}`), { cause: error })
  })
  const service = createNodeService({ ...options, store })
  const listener = await listen({ host, port, routes: service.routes }).catch(
    async (error: unknown) => {
      service.close()
      await store.close()
      throw new Error(sentence(error, `${host}:${port}`), { cause: error })
    },
  )
  return {
    url: listener.url,
    nodeId: store.nodeId,
    async close() {
      service.close()
      await listener.close(stopGraceMs)
      await store.close()
    },
  }

  async function openStore() {
    mkdirSync(data, { recursive: true, mode: 0o700 })
    return openThreadStore({
      ...options,
      source: { kind: 'sqlite', file },
      ...(onFailure && { onFailure }),
    })
  }
}

function sentence(error: unknown, what: string): string {
  const message = error instanceof Error ? error.message : 'unknown'
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  if (code === 'EADDRINUSE')
    return `${what} is taken: stop what listens there, or choose another port.`
  if (code === 'EACCES') return `${what} may not be used by this user.`
  if (code === 'EADDRNOTAVAIL') return `${what} is not an address of this machine.`
  if (/database is locked/.test(message)) return `${what} is in use by another node.`
  if (/not a database|malformed/.test(message)) return `${what} is not a node's, or is damaged.`
  return `${what} cannot be used: ${message}.`
}
