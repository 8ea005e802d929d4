/** A request with many contract signatures: all are asked about at once, and the rest is checked twice. */
import { expect, onTestFinished, test } from 'vitest'
import type { Chains } from '../../node/src/chains/chains.ts'
import type { SignatureStatus } from '../../node/src/rules/signature-status.ts'
import { openSqliteStore } from '../../node/src/store/sqlite/sqlite.ts'
import { serveInProcess } from '../../node/src/testing.ts'
import { nodeClient, refusalOf, TestInstallation, testAccount, testClock } from './support.ts'

/** A node that counts how often its store is asked, with a chain that answers in turn. */
function start(answers: readonly SignatureStatus[]) {
  const clock = testClock()
  const store = openSqliteStore({ file: ':memory:', clock, chainIds: [1n] })
  const publish = store.publish.bind(store)
  const asked = { store: 0, chain: 0 }
  store.publish = (...args) => {
    asked.store += 1
    return publish(...args)
  }
  const chains: Chains = {
    ids: [1n],
    verify: async () => {
      asked.chain += 1
      return answers[asked.chain - 1] ?? 'valid'
    },
    close() {},
  }
  const node = serveInProcess(store, { chains })
  onTestFinished(() => node.close())
  return { client: nodeClient(node.transport), asked, clock }
}

const installations = (count: number) =>
  Array.from({ length: count }, (_, n) => new TestInstallation(testAccount(`c${n}`), `c${n}`))

test('twenty contract bundles behind a plain one are asked about one after another, and stored at the second try', async () => {
  const { client, asked, clock } = start([])
  const plain = new TestInstallation(testAccount('plain'), 'plain')
  const contracts = installations(20).map((one) => one.contractBundle(clock.nowNs))
  const envelopes = [await plain.bundle(clock.nowNs), ...contracts]
  expect((await client.publish({ envelopes })).receipts).toHaveLength(21)
  expect(asked).toEqual({ store: 2, chain: 20 })
})

test('the first that is not valid ends the questions, and is the one that is named', async () => {
  const { client, asked, clock } = start(['valid', 'invalid'])
  const envelopes = installations(5).map((one) => one.contractBundle(clock.nowNs))
  expect(await refusalOf(client.publish({ envelopes }))).toMatchObject({
    code: 'bad_signature',
    envelopeIndex: 1,
  })
  expect(asked).toEqual({ store: 2, chain: 2 })
})

test('what is refused before any chain is asked asks none', async () => {
  const { client, asked, clock } = start([])
  const [one, two] = installations(2)
  if (!one || !two) throw new Error('two')
  const envelopes = [
    { topic: two.inbox, message: new Uint8Array(1) },
    one.contractBundle(clock.nowNs),
  ]
  expect(await refusalOf(client.publish({ envelopes }))).toMatchObject({ code: 'recipient_gone' })
  expect(asked).toEqual({ store: 1, chain: 0 })
})
