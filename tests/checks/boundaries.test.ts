/** The table of allowed imports agrees with the architecture. */
import { expect, test } from 'vitest'
import { judgeImport, judgePackage } from '../../scripts/boundaries.ts'

const judge = (from: string, to: string, typeOnly = false): string | undefined =>
  judgeImport({ from, to, typeOnly })

test('the engine sees interfaces and never their adapters', () => {
  for (const module of ['crypto', 'store', 'network', 'wallet', 'chains', 'platform']) {
    expect(judge('src/engine/receiving/inbox.ts', `src/${module}/${module}.ts`)).toBeUndefined()
    expect(judge('src/engine/receiving/inbox.ts', `src/${module}/adapter.ts`)).toBeDefined()
  }
  expect(judge('src/engine/receiving/inbox.ts', 'src/store/idb.ts')).toContain('src/store/store.ts')
})

test('implementations are chosen in the worker and in nothing else of it', () => {
  expect(judge('src/worker/main.ts', 'src/store/idb.ts')).toBeUndefined()
  expect(judge('src/worker/rpc.ts', 'src/store/idb.ts')).toBeDefined()
})

test('the facade sees the contract and the wallet, nothing deeper', () => {
  expect(judge('src/facade/client.ts', 'src/worker/contract.ts')).toBeUndefined()
  expect(judge('src/facade/client.ts', 'src/worker/main.ts')).toBeDefined()
  expect(judge('src/facade/client.ts', 'src/engine/engine.ts')).toBeDefined()
  expect(judge('src/index.ts', 'src/api.ts')).toBeUndefined()
  for (const entry of ['src/index.ts', 'src/api.ts']) {
    expect(judge(entry, 'src/facade/client.ts')).toBeUndefined()
    expect(judge(entry, 'src/engine/engine.ts')).toBeDefined()
  }
})

test('the protocol depends on no other layer', () => {
  expect(judge('src/protocol/ids.ts', 'src/errors.ts')).toBeUndefined()
  expect(judge('src/protocol/ids.ts', 'src/content/text.ts')).toBeDefined()
  expect(judge('src/engine/receiving/inbox.ts', 'src/gen/padlock/v1/node_pb.ts')).toBeDefined()
})

test('an exception for types is none for code', () => {
  expect(judge('src/worker/contract.ts', 'src/engine/model.ts', true)).toBeUndefined()
  expect(judge('src/worker/contract.ts', 'src/engine/model.ts', false)).toBeDefined()
})

test('the node, the demo and the browser tests keep their distance', () => {
  expect(judge('node/src/rules/prekey.ts', 'src/protocol/prekey.ts')).toBeUndefined()
  expect(judge('node/src/rules/prekey.ts', 'src/engine/engine.ts')).toBeDefined()
  expect(judge('src/engine/engine.ts', 'node/src/service.ts')).toBeDefined()
  expect(judge('demo/src/main.ts', 'src/index.ts')).toBeDefined()
  expect(judge('tests/browser/page/main.ts', 'src/index.ts')).toBeDefined()
  expect(judge('tests/engine/inbox.test.ts', 'src/store/idb.ts')).toBeUndefined()
})

test('packages stay in their layers', () => {
  const ofNode = new Set(['cors'])
  expect(judgePackage('src/store/idb.ts', 'idb', false, ofNode)).toBeUndefined()
  expect(judgePackage('src/engine/receiving/inbox.ts', 'idb', false, ofNode)).toBeDefined()
  expect(judgePackage('src/wallet/wallet-like.ts', 'viem', true, ofNode)).toBeDefined()
  expect(judgePackage('src/platform/browser.ts', 'node:fs', false, ofNode)).toBeDefined()
  expect(judgePackage('node/src/main.ts', 'node:fs', false, ofNode)).toBeUndefined()
  expect(judgePackage('node/src/main.ts', 'express', false, ofNode)).toBeDefined()
})
