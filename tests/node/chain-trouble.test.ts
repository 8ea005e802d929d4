/** RPC servers that are slow, broken, limited or replaced, and the option that names them. */
import type { ServerResponse } from 'node:http'
import { inspect } from 'node:util'
import { toHex } from 'viem'
import { afterEach, expect, test, vi } from 'vitest'
import { parseChainOption, parseChainOptions } from '../../node/src/chains/chain-option.ts'
import {
  type Chains,
  type ChainsOptions,
  noChains,
  openChains,
} from '../../node/src/chains/chains.ts'
import type { ContractQuestion } from '../../node/src/rules/signature-status.ts'
import { parseAddress } from '../../src/protocol/ids.ts'
import { until } from '../support/until.ts'
import { type Asked, type RpcServer, sendJson, startRpcServer } from './rpc-server.ts'

const accepted = `0x1626ba7e${'0'.repeat(56)}`
const address = parseAddress(`0x${'ab'.repeat(20)}`)
if (!address.ok) throw new Error(address.why)
const question: ContractQuestion = {
  chainId: 7n,
  address: address.value,
  text: 'a text',
  signature: new Uint8Array(65),
}

const opened: { close(): unknown }[] = []
afterEach(async () => {
  vi.useRealTimers()
  for (const one of opened.splice(0)) await one.close()
})

/** For one question, unless the options say another. */
const limitMs = 8_000
/** From now on time limits end when the test says so; on a busy machine short ones end too early. */
const holdTime = (): ((ms: number) => void) => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  return (ms) => vi.advanceTimersByTime(ms)
}

/** A healthy chain 7 where every account takes every signature, but for what `answer` says. */
async function startChain(
  answer: (asked: Asked, response: ServerResponse) => unknown = () => 'healthy',
  options: ChainsOptions = {},
) {
  const server: RpcServer = await startRpcServer((asked, response) => {
    const own = answer(asked, response)
    if (own !== 'healthy') return own
    if (asked.method === 'eth_chainId') return toHex(7)
    return asked.method === 'eth_getCode' ? '0x00' : accepted
  })
  const reasons: string[] = []
  const chains: Chains = openChains(new Map([[7n, `${server.url}/v2/secret-key`]]), {
    onTrouble: (_, why) => reasons.push(why),
    ...options,
  })
  opened.push(chains, server)
  return { server, chains, reasons }
}

const calls = ({ asked }: RpcServer) => asked.map(({ method }) => method)

test('a healthy chain is asked its id once, and for code and the word at the latest block', async () => {
  const { server, chains } = await startChain()
  expect(await chains.verify(question)).toBe('valid')
  expect(await chains.verify(question)).toBe('valid')
  expect(calls(server).filter((method) => method === 'eth_chainId')).toHaveLength(1)
  for (const { method, params } of server.asked) {
    if (method !== 'eth_chainId') expect(params[1]).toBe('latest')
  }
})

test('an address without code may have some in a later block, and no call is made to it', async () => {
  const { server, chains } = await startChain(({ method }) =>
    method === 'eth_getCode' ? '0x' : 'healthy',
  )
  expect(await chains.verify(question)).toBe('unavailable')
  expect(calls(server)).not.toContain('eth_call')
})

const troubles: readonly [string, (response: ServerResponse) => unknown, string][] = [
  ['HTTP 429', (r) => void r.writeHead(429).end('slow down'), 'it answered HTTP 429'],
  ['HTTP 500', (r) => void r.writeHead(500).end('<html>'), 'it answered HTTP 500'],
  ['HTTP 503', (r) => void r.writeHead(503).end(), 'it answered HTTP 503'],
  ['HTML', (r) => void r.end('<html>'), 'no connection, or no JSON from it'],
  ['half of an answer', (r) => void r.end('{"result": "0x'), 'no connection, or no JSON from it'],
  ['a hang-up', (r) => void r.destroy(), 'no connection, or no JSON from it'],
  ['null', (r) => sendJson(r, null), 'no connection, or no JSON from it'],
  ['JSON of a proxy', (r) => sendJson(r, { message: 'limit reached' }), 'its answer has no result'],
  ['a result of null', (r) => sendJson(r, { result: null }), 'its answer has no result'],
  ['a result of words', (r) => sendJson(r, { result: 'yes' }), 'its answer has no result'],
  [
    'a rate limit as JSON-RPC',
    (r) => sendJson(r, { error: { code: -32_005, message: 'secret-key is over its limit' } }, 429),
    'it answered JSON-RPC error -32005',
  ],
  [
    'a missing state',
    (r) => sendJson(r, { error: { code: -32_000, message: 'header not found' } }),
    'it answered JSON-RPC error -32000',
  ],
  [
    'an error of another shape',
    (r) => sendJson(r, { error: 'secret-key is unknown' }),
    'no connection, or no JSON from it',
  ],
]

for (const [name, answer, reason] of troubles) {
  for (const at of ['eth_chainId', 'eth_getCode', 'eth_call']) {
    test(`${name} to ${at} is trouble of the server, and the next question starts over`, async () => {
      let isIll = true
      const { server, chains, reasons } = await startChain(({ method }, response) =>
        isIll && method === at ? answer(response) : 'healthy',
      )
      expect(await chains.verify(question)).toBe('unavailable')
      expect(reasons).toEqual([reason])
      isIll = false
      server.asked.length = 0
      expect(await chains.verify(question)).toBe('valid')
      expect(calls(server)[0]).toBe('eth_chainId')
    })
  }
}

test.each([
  ['code 3 without data', { code: 3, message: 'execution reverted' }],
  ['a limit under code 3', { code: 3, message: 'execution reverted: too many requests' }],
  ['a sentence under another code', { code: -32_000, message: 'execution reverted' }],
])('a revert as %s may be the server’s, and is asked again', async (_, error) => {
  const { chains, reasons } = await startChain(({ method }, response) =>
    method === 'eth_call' ? sendJson(response, { error }) : 'healthy',
  )
  expect(await chains.verify(question)).toBe('unavailable')
  // Strangers can cause it: the log of the operator says nothing.
  expect(reasons).toEqual([])
})

test.each([
  ['revert data', { code: 3, message: 'execution reverted', data: '0x08c379a0' }],
  ['revert data under another code', { code: -32_603, message: 'VM Exception', data: '0x' }],
  ['revert data in data', { code: -32_603, message: 'Internal', data: { code: 3, data: '0x' } }],
])('a revert as %s is the word of the contract', async (_, error) => {
  const { chains, reasons } = await startChain(({ method }, response) =>
    method === 'eth_call' ? sendJson(response, { error }) : 'healthy',
  )
  expect(await chains.verify(question)).toBe('invalid')
  expect(reasons).toEqual([])
})

test('a server that came back as another chain is noticed', async () => {
  let state: 'healthy' | 'away' | 'replaced' = 'healthy'
  const { chains, reasons } = await startChain(({ method }, response) => {
    if (state === 'away') return void response.destroy()
    return state === 'replaced' && method === 'eth_chainId' ? toHex(8) : 'healthy'
  })
  expect(await chains.verify(question)).toBe('valid')
  state = 'away'
  expect(await chains.verify(question)).toBe('unavailable')
  state = 'replaced'
  expect(await chains.verify(question)).toBe('unavailable')
  expect(reasons.at(-1)).toBe('its server answers for chain 8')
  state = 'healthy'
  expect(await chains.verify(question)).toBe('valid')
})

test('a server that answers for another chain is trouble each time, and no other chain can be asked', async () => {
  const { chains, reasons } = await startChain(({ method }) =>
    method === 'eth_chainId' ? toHex(31_337) : 'healthy',
  )
  expect(await chains.verify(question)).toBe('unavailable')
  expect(await chains.verify(question)).toBe('unavailable')
  expect(reasons).toEqual(Array(2).fill('its server answers for chain 31337'))
  expect(await chains.verify({ ...question, chainId: 5n })).toBe('unavailable')
  expect(chains.ids).toEqual([7n])
})

test('an endless answer to a call is garbage of the contract, elsewhere trouble', async () => {
  const endless = (response: ServerResponse) => {
    response.writeHead(200, { 'content-type': 'application/json' })
    const more = () => {
      while (!response.destroyed && response.write('0'.repeat(65_536)));
    }
    response.on('drain', more)
    more()
  }
  const ofContract = await startChain(({ method }, response) =>
    method === 'eth_call' ? endless(response) : 'healthy',
  )
  expect(await ofContract.chains.verify(question)).toBe('invalid')
  const ofServer = await startChain((_, response) => endless(response))
  expect(await ofServer.chains.verify(question)).toBe('unavailable')
})

test.each([
  ['no answer', () => undefined],
  [
    'half of a body',
    (response: ServerResponse) => {
      response.writeHead(200, { 'content-type': 'application/json' }).write('{')
    },
  ],
])('%s ends at the time limit', async (_, answer) => {
  const { server, chains, reasons } = await startChain(({ method }, response) =>
    method === 'eth_call' ? answer(response) : 'healthy',
  )
  const turn = holdTime()
  const word = chains.verify(question)
  await until(() => calls(server).includes('eth_call'))
  turn(limitMs)
  expect(await word).toBe('unavailable')
  expect(reasons).toEqual(['no answer in time'])
})

test('a few are asked at a time, some wait, and the rest are unavailable at once', async () => {
  const held: (() => void)[] = []
  const { server, chains, reasons } = await startChain(
    ({ method }, response) => {
      if (method !== 'eth_call') return 'healthy'
      held.push(() => sendJson(response, { result: accepted }))
      return undefined
    },
    { slots: 2, queueLimit: 3 },
  )
  const words = Array.from({ length: 8 }, () => chains.verify(question))
  expect(await Promise.all(words.slice(5))).toEqual(Array(3).fill('unavailable'))
  expect(reasons).toEqual(Array(3).fill('too many questions wait'))
  let most = 0
  let finished = false
  const all = Promise.all(words.slice(0, 5)).finally(() => {
    finished = true
  })
  while (!finished) {
    await until(() => held.length > 0 || finished)
    most = Math.max(most, held.length)
    for (const release of held.splice(0)) release()
  }
  expect(await all).toEqual(Array(5).fill('valid'))
  expect(most).toBeLessThanOrEqual(2)
  expect(calls(server).filter((method) => method === 'eth_call')).toHaveLength(5)
})

test('who waits for a turn longer than the time limit is unavailable', async () => {
  const { server, chains } = await startChain(
    ({ method }) => (method === 'eth_call' ? undefined : 'healthy'),
    { slots: 1 },
  )
  const turn = holdTime()
  const words = Promise.all([chains.verify(question), chains.verify(question)])
  await until(() => calls(server).includes('eth_call'))
  // Both at once: a moment in between is one in which the second has its turn.
  turn(limitMs)
  expect(await words).toEqual(['unavailable', 'unavailable'])
  expect(calls(server).filter((method) => method === 'eth_call')).toHaveLength(1)
})

test('closing ends what is under way, and nothing is asked after it', async () => {
  const { server, chains, reasons } = await startChain(() => undefined)
  const word = chains.verify(question)
  await until(() => server.asked.length === 1)
  chains.close()
  expect(await word).toBe('unavailable')
  expect(reasons).toEqual(['the node is stopping'])
  expect(await chains.verify(question)).toBe('unavailable')
  expect(server.asked).toHaveLength(1)
})

test('no trouble names the URL, nor does the object that holds it', async () => {
  const said: unknown[] = []
  const spies = (['log', 'warn', 'error', 'debug'] as const).map((name) =>
    vi.spyOn(console, name).mockImplementation((...line) => said.push(line)),
  )
  try {
    for (const [, answer] of troubles) {
      const { chains, reasons } = await startChain((_, response) => answer(response))
      await chains.verify(question)
      said.push(reasons, chains)
    }
    const nowhere = openChains(new Map([[7n, 'http://user:secret-key@127.0.0.1:1/secret-key']]), {
      onTrouble: (_, why) => said.push(why),
    })
    expect(await nowhere.verify(question)).toBe('unavailable')
    expect(said.length).toBeGreaterThan(troubles.length)
    expect(inspect(said, { depth: 20, showHidden: true })).not.toContain('secret-key')
  } finally {
    for (const spy of spies) spy.mockRestore()
  }
})

test('a node without chains can ask none', async () => {
  expect(noChains.ids).toEqual([])
  expect(await noChains.verify(question)).toBe('unavailable')
})

test('the option is a chain id and a URL', () => {
  const url = 'https://rpc.example/v2/secret-key?a=b'
  expect(parseChainOption(`137=${url}`)).toEqual({ chainId: 137n, url })
  expect(parseChainOption(`${2n ** 64n - 1n}=http://a`)).toEqual({
    chainId: 2n ** 64n - 1n,
    url: 'http://a/',
  })
  expect(parseChainOptions([`1=${url}`, '10=http://b/'])).toEqual(
    new Map([
      [1n, url],
      [10n, 'http://b/'],
    ]),
  )
  expect(parseChainOptions([`1=${url}`, '1=http://b'])).toEqual({
    problem: 'Chain 1 is given twice.',
  })
})

test.each([
  'https://rpc.example/secret-key',
  '=https://rpc.example/secret-key',
  '0=https://rpc.example/secret-key',
  '01=https://rpc.example/secret-key',
  '0x1=https://rpc.example/secret-key',
  ' 1=https://rpc.example/secret-key',
  `${2n ** 64n}=https://rpc.example/secret-key`,
  '1=ws://rpc.example/secret-key',
  '1=secret-key',
  '1=',
  '',
])('the option "%s" is refused with a sentence that does not repeat the URL', (option) => {
  const parsed = parseChainOption(option)
  if (!('problem' in parsed)) throw new Error('it was accepted')
  expect(parsed.problem).toMatch(/^[A-Z].*\.$/)
  expect(parsed.problem).not.toContain('secret-key')
})
