/** What an operator has: the commands, a folder with a node's data, and data with something of every kind. */
import { mkdirSync, mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, vi } from 'vitest'
import { run as runBackup } from '../../node/src/commands/backup.ts'
import { run as runCheck } from '../../node/src/commands/check.ts'
import { run as runRestore } from '../../node/src/commands/restore.ts'
import type { Store } from '../../node/src/store/store.ts'
import { inboxEnvelope, revocation, TestInstallation, testAccount } from './support.ts'

/** Runs a command in this process: its exit code and what it printed. */
async function command(run: (argv: readonly string[]) => Promise<number>, ...argv: string[]) {
  const out: string[] = []
  const log = vi.spyOn(console, 'log').mockImplementation((line) => void out.push(String(line)))
  const error = vi.spyOn(console, 'error').mockImplementation((line) => void out.push(String(line)))
  try {
    return { code: await run(argv), text: out.join('\n') }
  } finally {
    log.mockRestore()
    error.mockRestore()
  }
}

export const backup = (...argv: string[]) => command(runBackup, ...argv)
export const restore = (...argv: string[]) => command(runRestore, ...argv)
export const check = (...argv: string[]) => command(runCheck, ...argv)

/** A new folder, with the places that a test uses in it. */
export function makeFolders() {
  const folder = mkdtempSync(join(tmpdir(), 'padlock-node-'))
  const data = join(folder, 'data')
  mkdirSync(data)
  return { folder, data, file: join(data, 'node.sqlite'), copy: join(folder, 'copy.padlock') }
}

export const nowNs = BigInt(Date.now()) * 1_000_000n
export const alice = new TestInstallation(testAccount('alice'), 'alice')
export const bob = new TestInstallation(testAccount('bob'), 'bob')
export const gone = new TestInstallation(testAccount('bob'), 'gone')

/** Something of every kind: grants, a rotation, a revocation, uploads, claims, envelopes. */
export async function fill(store: Store): Promise<void> {
  const publish = async (envelopes: Parameters<Store['publish']>[0]) => {
    expect(await store.publish(envelopes)).toMatchObject({ ok: true })
  }
  await publish([
    await alice.bundle(nowNs),
    alice.upload({ createdNs: nowNs, oneTime: 5, fallback: true }),
  ])
  await publish([
    await bob.bundle(nowNs),
    bob.upload({ createdNs: nowNs, oneTime: 5, fallback: true }),
    await gone.bundle(nowNs),
    gone.upload({ createdNs: nowNs, oneTime: 5, fallback: true }),
  ])
  await publish([await alice.bundle(nowNs + 1n)])
  await publish([inboxEnvelope(gone, 'before')])
  await publish([await revocation(bob.account, [gone])])
  for (let n = 0; n < 5; n += 1)
    await publish([inboxEnvelope(alice, `a ${n}`), inboxEnvelope(bob, `b ${n}`, 2_000)])
  for (let n = 0; n < 2; n += 1) await store.claim(new Uint8Array(16).fill(n), [alice.id, bob.id])
}
