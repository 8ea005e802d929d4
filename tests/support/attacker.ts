/** Someone with a gRPC client and, to look for plaintext, the node's disk. */
import { copyFile, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { createClient } from '@connectrpc/connect'
import { createGrpcWebTransport } from '@connectrpc/connect-node'
import { NodeService } from '../../src/gen/padlock/v1/node_pb.ts'
import { networkError } from '../../src/network/connect.ts'
import type { Attacker } from './world.ts'

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
        for (const name of ['node.sqlite', 'node.sqlite-wal']) {
          await copyFile(join(data, name), join(copy, name))
        }
        const database = new DatabaseSync(join(copy, 'node.sqlite'))
        const rows = database
          .prepare(
            `SELECT message FROM envelope WHERE message IS NOT NULL
             AND topic = (SELECT id FROM topic WHERE name = ?) ORDER BY sequence`,
          )
          .all(topic)
        database.close()
        return rows.flatMap(({ message }) => (message instanceof Uint8Array ? [message] : []))
      } finally {
        await rm(copy, { recursive: true })
      }
    },
  }
}
