/** Someone with a gRPC client and, to look for plaintext, the node's disk. */
import { copyFile, mkdtemp, open, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { createClient } from '@connectrpc/connect'
import { createGrpcWebTransport } from '@connectrpc/connect-node'
import { NodeService } from '../../src/gen/padlock/v1/node_pb.ts'
import { networkError } from '../../src/network/connect.ts'
import type { Attacker } from './world.ts'

const databaseFile = 'node.sqlite'
const logFile = `${databaseFile}-wal`

/** What a write-ahead log begins with: another number whenever it is begun anew. */
const headerOf = async (folder: string): Promise<string> => {
  const file = await open(join(folder, logFile))
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(32), 0, 32, 0)
    return buffer.toString('hex', 0, bytesRead)
  } finally {
    await file.close()
  }
}

/**
 * The node goes on writing meanwhile. What it moves into the database is in the log too, until that
 * is begun anew: a copy during which it was would lack what stood there.
 */
const copyDatabase = async (from: string, to: string): Promise<void> => {
  for (;;) {
    const before = await headerOf(from)
    for (const name of [databaseFile, logFile]) await copyFile(join(from, name), join(to, name))
    if ((await headerOf(from)) === before) return
  }
}

/** @param data the node's folder */
export const makeAttacker = (url: string, data: string): Attacker => {
  const transport = createGrpcWebTransport({ baseUrl: url, httpVersion: '1.1' })
  const node = createClient(NodeService, transport)
  return {
    publish: async (topic, message) => {
      try {
        await node.publish({ envelopes: [{ topic, message }] })
        return 'stored'
      } catch (error) {
        return networkError(error).code
      }
    },
    // The node holds its files alone, so a copy is read, as a thief of the disk would.
    stored: async (topic) => {
      const copy = await mkdtemp(join(tmpdir(), 'padlock-disk-'))
      try {
        await copyDatabase(data, copy)
        const stolen = new DatabaseSync(join(copy, databaseFile))
        const rows = stolen
          .prepare(
            `SELECT message FROM envelope WHERE message IS NOT NULL
             AND topic = (SELECT id FROM topic WHERE name = ?) ORDER BY sequence`,
          )
          .all(topic)
        stolen.close()
        return rows.flatMap(({ message }) => (message instanceof Uint8Array ? [message] : []))
      } finally {
        await rm(copy, { recursive: true })
      }
    },
  }
}
