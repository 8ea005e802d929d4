/** A node and its file for the tests of faults: its one account, what was acknowledged, and room. */
import { execFileSync } from 'node:child_process'
import { hash } from 'node:crypto'
import {
  closeSync,
  ftruncateSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
} from 'node:fs'
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createGrpcTransport } from '@connectrpc/connect-node'
import {
  inboxEnvelope,
  minuteNs,
  type NodeClient,
  nodeClient,
  refusalOf,
  register,
  type TestInstallation,
} from '../node/support.ts'
import { type SpawnedNode, type SpawnOptions, spawnNode } from '../support/node-process.ts'

export interface FaultyNode {
  readonly node: SpawnedNode
  readonly client: NodeClient
}

const running = new Set<SpawnedNode>()
const folders: string[] = []
const mounts: string[] = []

/** Ends and removes whatever the test made. */
export async function cleanUp(): Promise<void> {
  for (const node of running) {
    node.child.kill('SIGKILL')
    await node.ended
  }
  running.clear()
  for (const mount of mounts.splice(0)) execFileSync('umount', ['-l', mount])
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true })
}

export async function newFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'padlock-fault-'))
  folders.push(folder)
  return folder
}

/** Starts a node on a folder, however that goes. */
export function launch(data: string, options?: SpawnOptions): SpawnedNode {
  const node = spawnNode(['--data', data, '--port', '0'], options)
  running.add(node)
  return node
}

export async function start(data: string): Promise<FaultyNode> {
  const node = launch(data)
  const port = await node.listening
  return { node, client: nodeClient(createGrpcTransport({ baseUrl: `http://127.0.0.1:${port}` })) }
}

export async function end(node: SpawnedNode, signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
  node.child.kill(signal)
  await node.ended
  running.delete(node)
}

/** Digests of the files of a folder, by name. */
export const digestsOf = (folder: string): Readonly<Record<string, string>> =>
  Object.fromEntries(
    readdirSync(folder, { withFileTypes: true })
      // A running node listens on a socket there.
      .filter((entry) => entry.isFile())
      .map(({ name }) => [name, hash('sha256', readFileSync(join(folder, name)))]),
  )

/** One account's inbox, and what a node acknowledged for it. */
export class Inbox {
  readonly owner: TestInstallation
  readonly acknowledged: string[] = []

  private constructor(owner: TestInstallation) {
    this.owner = owner
  }

  static async register(client: NodeClient, name: string): Promise<Inbox> {
    const { nodeNs } = await client.getInfo({})
    return new Inbox(await register(client, name, nodeNs))
  }

  letter(name: string, length = 2_000) {
    return inboxEnvelope(this.owner, name, length)
  }

  /** Sends one letter; the code it was refused with, if it was. */
  async send(client: NodeClient, name: string, length?: number): Promise<string | undefined> {
    try {
      const { receipts } = await client.publish({ envelopes: [this.letter(name, length)] })
      const place = Number(receipts[0]?.sequence) - 1
      this.acknowledged[place] = name
      return undefined
    } catch (error) {
      return (await refusalOf(Promise.reject(error))).code
    }
  }

  /** The names of everything that lies there, in order. */
  async read(client: NodeClient): Promise<string[]> {
    const { nodeId, nodeNs } = await client.getInfo({})
    const proofs = [this.owner.proof(nodeId, nodeNs + minuteNs)]
    const names: string[] = []
    for (let hasMore = true; hasMore; ) {
      const topics = [{ topic: this.owner.inbox, afterSequence: BigInt(names.length) }]
      const page = await client.query({ topics, proofs })
      for (const { message } of page.envelopes) {
        names.push(Buffer.from(message).toString().replaceAll('\0', ''))
      }
      hasMore = page.hasMore
    }
    return names
  }
}

/** A way to leave a node without room, and to give it some again. */
export interface Room {
  readonly name: string
  readonly folder: string
  take(node: SpawnedNode): void
  give(node: SpawnedNode): void
}

/** No file of the process may grow (RLIMIT_FSIZE): what it writes beyond fails with EFBIG. */
export async function limitedFiles(): Promise<Room> {
  const folder = await newFolder()
  const limit = (node: SpawnedNode, bytes: string) =>
    execFileSync('prlimit', ['--pid', `${node.child.pid}`, `--fsize=${bytes}:`])
  return {
    name: 'no file may grow',
    folder,
    take(node) {
      const sizes = readdirSync(folder).map((name) => statSync(join(folder, name)).size)
      limit(node, `${Math.max(...sizes)}`)
    },
    give: (node) => limit(node, 'unlimited'),
  }
}

/** A file system of its own that is full (ENOSPC); undefined where this user may not mount one. */
export async function fullDisk(): Promise<Room | undefined> {
  const folder = await newFolder()
  const mount = (...args: string[]) =>
    execFileSync('mount', ['-t', 'tmpfs', 'padlock-test', folder, '-o', ...args], {
      stdio: 'ignore',
    })
  try {
    mount('size=16m')
  } catch {
    return undefined
  }
  mounts.push(folder)
  return {
    name: 'the disk is full',
    folder,
    take() {
      const filler = openSync(join(folder, 'filler'), 'w')
      try {
        execFileSync('dd', ['if=/dev/zero', `of=${join(folder, 'filler')}`, 'bs=4096'], {
          stdio: 'ignore',
        })
      } catch {
        // It ends where there is no room left.
      }
      closeSync(filler)
    },
    give() {
      const filler = openSync(join(folder, 'filler'), 'r+')
      ftruncateSync(filler, 0)
      closeSync(filler)
    },
  }
}
