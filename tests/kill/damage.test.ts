/** Files that a node cannot work with: one clear message, exit code 1, and not a byte changed. */
import { chmodSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterEach, expect, test, vi } from 'vitest'
import { openSqliteStore } from '../../node/src/store/sqlite/sqlite.ts'
import { bytesFor } from '../node/support.ts'
import type { SpawnOptions } from '../support/node-process.ts'
import { cleanUp, digestsOf, end, Inbox, launch, newFolder, start } from './fault-world.ts'

afterEach(cleanUp)
// Each starts a node several times, on a machine that may be busy.
vi.setConfig({ testTimeout: 60_000 })

const isRoot = process.getuid?.() === 0

/** A folder that a node has worked in, with some letters in it. */
async function usedFolder(letters = 50) {
  const folder = await newFolder()
  const { node, client } = await start(folder)
  const inbox = await Inbox.register(client, 'bob')
  for (let n = 0; n < letters; n += 1) await inbox.send(client, `${n}`)
  return { folder, file: join(folder, 'node.sqlite'), node, client, inbox }
}

/** How a start ends that cannot succeed; nothing in the folder changes. */
async function failedStart(folder: string, options?: SpawnOptions): Promise<string> {
  const before = digestsOf(folder)
  const node = launch(folder, options)
  expect(await node.ended).toBe(1)
  await expect(node.listening).rejects.toThrow(/ended before/)
  expect(digestsOf(folder)).toEqual(before)
  const lines = node.errors().trimEnd().split('\n')
  expect(lines).toHaveLength(1)
  return lines[0] ?? ''
}

test("the node's own connection waits for the disk at each commit", async () => {
  const exec = vi.spyOn(DatabaseSync.prototype, 'exec')
  const store = openSqliteStore({ file: join(await newFolder(), 'node.sqlite') })
  const [connection] = exec.mock.contexts
  if (!(connection instanceof DatabaseSync)) throw new Error('no connection was made')
  const ask = (pragma: string) => connection.prepare(`PRAGMA ${pragma}`).get()
  expect(ask('synchronous')).toEqual({ synchronous: 2 })
  expect(ask('journal_mode')).toEqual({ journal_mode: 'wal' })
  expect(ask('locking_mode')).toEqual({ locking_mode: 'exclusive' })
  await store.close()
  exec.mockRestore()
})

test('a file that another node works on is left to that one', async () => {
  const { folder, client, inbox } = await usedFolder()
  expect(await failedStart(folder)).toBe(
    `padlock-node: the data in ${folder} is in use by another node.`,
  )
  expect(await inbox.send(client, 'after')).toBeUndefined()
  expect(await inbox.read(client)).toEqual(inbox.acknowledged)
})

test('a file that may only be read is left alone', async () => {
  const { folder, file, node, inbox } = await usedFolder()
  await end(node, 'SIGTERM')
  chmodSync(file, 0o444)
  // Root may write to any file, unless it gives that up.
  const through = isRoot ? ['setpriv', '--bounding-set=-dac_override,-dac_read_search'] : []
  expect(await failedStart(folder, { through })).toMatch(
    /^padlock-node: the data in \S+ may not be used by this user\.$/,
  )
  chmodSync(file, 0o600)
  expect(await inbox.read((await start(folder)).client)).toEqual(inbox.acknowledged)
})

const pageBytes = 4096
const damages: readonly (readonly [string, (bytes: Buffer) => Buffer])[] = [
  ['its header is something else', (bytes) => overwrite(bytes, 0, 100)],
  ['its first page is', (bytes) => overwrite(bytes, 100, pageBytes - 100)],
  [
    'every page of it is',
    (bytes) => {
      for (let at = pageBytes; at < bytes.length; at += pageBytes) overwrite(bytes, at, 64)
      return bytes
    },
  ],
  ['it was cut in the middle', (bytes) => bytes.subarray(0, 5 * pageBytes + 100)],
]

const overwrite = (bytes: Buffer, at: number, length: number): Buffer => {
  const noise = Buffer.concat(Array.from({ length: 128 }, (_, n) => bytesFor(`noise ${at} ${n}`)))
  noise.copy(bytes, at, 0, length)
  return bytes
}

test.each(damages)('a damaged file is refused and left alone: %s', async (_, damage) => {
  const { folder, file, node } = await usedFolder()
  await end(node, 'SIGTERM')
  const whole = readFileSync(file)
  writeFileSync(file, damage(Buffer.from(whole)))
  expect(await failedStart(folder)).toBe(
    `padlock-node: the data in ${folder} is not a node's, or is damaged.`,
  )
})

test('what a crash left half written in the log is dropped, and what was acknowledged stays', async () => {
  const { folder, file, node, inbox } = await usedFolder()
  await end(node, 'SIGKILL')
  const log = `${file}-wal`
  expect(statSync(log).size).toBeGreaterThan(pageBytes)
  const bytes = readFileSync(log)
  writeFileSync(log, Buffer.concat([bytes, bytesFor('half a frame')]))
  const second = await start(folder)
  expect(await inbox.read(second.client)).toEqual(inbox.acknowledged)
})

test('damage that shows later is an answer to be tried again, and the node goes on', async () => {
  const { folder, file, node, client, inbox } = await usedFolder(0)
  for (let n = 0; n < 200; n += 1) await inbox.send(client, `${n}`)
  await end(node, 'SIGTERM')
  const bytes = readFileSync(file)
  // The pages in the middle hold letters; the start needs those at the front, and the newest letter.
  for (let page = 60; page < (bytes.length / pageBytes) * 0.75; page += 1) {
    overwrite(bytes, page * pageBytes, 64)
  }
  writeFileSync(file, bytes)
  const second = await start(folder)
  await expect(inbox.read(second.client)).rejects.toThrow(/unavailable/)
  const other = await Inbox.register(second.client, 'alice').catch(() => undefined)
  expect(second.node.child.exitCode).toBeNull()
  expect((await second.client.getInfo({})).nodeId).toHaveLength(16)
  if (other !== undefined) expect(await other.read(second.client)).toEqual(other.acknowledged)
})
