/**
 * Loaded in a Worker before the SDK's own script, which stays as built: records when the worker
 * gets a call, calls the network, reads from it, and opens and commits a transaction.
 */

export interface ProbeEntry {
  /** Milliseconds, this worker's clock. */
  readonly at: number
  readonly kind: 'call' | 'fetch' | 'read' | 'open' | 'commit'
  /** The method called, the last part of the address, or the transaction's mode. */
  readonly what: string
  /** Transactions are numbered from 1. */
  readonly transaction?: number
}

let log: ProbeEntry[] = []
let transactions = 0

const note = (kind: ProbeEntry['kind'], what: string, transaction?: number): void => {
  const entry = { at: performance.now(), kind, what }
  log.push(transaction === undefined ? entry : { ...entry, transaction })
}

const open = IDBDatabase.prototype.transaction
IDBDatabase.prototype.transaction = function (...args: Parameters<typeof open>) {
  const transaction = open.apply(this, args)
  const number = ++transactions
  note('open', transaction.mode, number)
  transaction.addEventListener('complete', () => note('commit', transaction.mode, number))
  return transaction
}

const send = globalThis.fetch
globalThis.fetch = (input, init) => {
  const url = input instanceof Request ? input.url : String(input)
  note('fetch', url.split('/').at(-1) ?? '')
  return send(input, init)
}

const reader = ReadableStreamDefaultReader.prototype
const read: (this: ReadableStreamDefaultReader) => Promise<ReadableStreamReadResult<unknown>> =
  reader.read
reader.read = async function () {
  const result = await read.call(this)
  if (!result.done) note('read', '')
  return result
}

addEventListener('message', ({ data }: MessageEvent<unknown>) => {
  if (data === 'probe: take') {
    postMessage({ probe: log })
    log = []
  } else if (typeof data === 'object' && data !== null && 'method' in data) {
    note('call', String(data.method))
  }
})
