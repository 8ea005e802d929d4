/** The `accept` vectors: what a node does with a message after it accepted others. */
import { readFileSync } from 'node:fs'
import { afterEach, describe, expect, test } from 'vitest'
import { noChains } from '../../../node/src/chains/chains.ts'
import { verifyStrict } from '../../../node/src/rules/ed25519.ts'
import type { InProcessNode } from '../../../node/src/testing.ts'
import { everything, nodeClient, refusalOf } from '../support.ts'
import { openNode } from './store.ts'

type Bytes = string | { fill: string; times: string | number } | { concat: Bytes[] }

interface AcceptCase {
  op: string
  name: string
  input: {
    chain_ids: string[]
    before: { topic: string; message: Bytes; clock_ns: string }[]
    topic: string
    message: Bytes
    clock_ns: string
  }
  output?: {
    accepted: true
    stored_before?: true
    installation_id?: string
    one_time_left?: string
    revoked?: string[]
  }
  code?: string | null
}

interface StrictCase {
  op: string
  name: string
  input: { public_key: Bytes; message: Bytes; signature: Bytes }
  output?: { valid: boolean }
}

const read = <T extends { op: string }>(file: string, op: string): T[] => {
  const path = new URL(`../../vectors/${file}.json`, import.meta.url)
  const { cases }: { cases: T[] } = JSON.parse(readFileSync(path, 'utf8'))
  return cases.filter((vector) => vector.op === op)
}

function bytes(value: Bytes): Uint8Array<ArrayBuffer> {
  if (typeof value === 'string') return Uint8Array.from(Buffer.from(value, 'hex'))
  if ('fill' in value) return bytes(value.fill.repeat(Number(value.times)))
  return Uint8Array.from(Buffer.concat(value.concat.map(bytes)))
}

let node: InProcessNode | undefined
afterEach(() => node?.close())

for (const [file, count] of [
  ['contact', 58],
  ['prekey', 38],
] as const) {
  describe(`${file}.json`, () => {
    const cases = read<AcceptCase>(file, 'accept')
    test('has all its cases', () => expect(cases).toHaveLength(count))

    test.each(cases)('$name', async ({ input, output, code }) => {
      let nowNs = 0n
      node = await openNode({
        clock: () => nowNs,
        chains: { ...noChains, ids: input.chain_ids.map(BigInt) },
      })
      const client = nodeClient(node.transport)
      for (const { topic, message, clock_ns } of input.before) {
        nowNs = BigInt(clock_ns)
        await client.publish({ envelopes: [{ topic, message: bytes(message) }] })
      }
      nowNs = BigInt(input.clock_ns)
      const envelopes = [{ topic: input.topic, message: bytes(input.message) }]
      const before = node.store
      const kept = async () =>
        /^(contact|revoked)-0x[0-9a-f]{40}$/.test(input.topic)
          ? (await before.page([{ topic: input.topic, afterSequence: 0n }], everything)).envelopes
              .length
          : 0
      const keptBefore = await kept()

      if (output === undefined) {
        const refusal = await refusalOf(client.publish({ envelopes }))
        expect(refusal.code).toBe(code ?? 'malformed')
        expect(await kept()).toBe(keptBefore)
        return
      }
      const [receipt] = (await client.publish({ envelopes })).receipts
      expect(receipt?.sequence).toBeGreaterThan(0n)
      if (output.stored_before === true) {
        expect(await kept()).toBe(keptBefore)
        return
      }
      if (input.topic.startsWith('prekey-')) {
        const stock = await node.store.stock(input.topic.slice('prekey-'.length))
        expect(stock.oneTimeLeft.toString()).toBe(output.one_time_left)
      } else {
        const page = await node.store.page([{ topic: input.topic, afterSequence: 0n }], everything)
        expect(page.envelopes.at(-1)?.message).toEqual(bytes(input.message))
        expect(page.envelopes.at(-1)?.sequence).toBe(receipt?.sequence)
      }
      for (const id of output.revoked ?? []) {
        const envelope = { topic: `message-${id}`, message: new Uint8Array([1]) }
        expect((await refusalOf(client.publish({ envelopes: [envelope] }))).code).toBe(
          'recipient_gone',
        )
      }
      if (output.installation_id !== undefined) {
        const envelope = {
          topic: `message-${output.installation_id}`,
          message: new Uint8Array([1]),
        }
        expect((await client.publish({ envelopes: [envelope] })).receipts[0]?.sequence).toBe(1n)
      }
    })
  })
}

describe('signing.json, verify_strict', () => {
  const cases = read<StrictCase>('signing', 'verify_strict')
  test('has all its cases', () => expect(cases).toHaveLength(53))

  test.each(cases)('$name', ({ input, output }) => {
    const signed = {
      ed25519: bytes(input.public_key),
      message: bytes(input.message),
      signature: bytes(input.signature),
    }
    expect(verifyStrict(signed)).toBe(output?.valid ?? false)
  })
})
