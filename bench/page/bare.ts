/**
 * The reference, a module Worker: libolm, and one IndexedDB transaction per batch with one plain
 * record per message and the pickles. No sealing, no signature, no encryption at rest, no network,
 * no index.
 */

import Olm from '@matrix-org/olm'
import { type OlmBacklog, pickleKey } from '../olm-reference.ts'

export type BareRequest =
  | { readonly kind: 'prepare' }
  | { readonly kind: 'backlog'; readonly batch: number }
  | { readonly kind: 'receive-one'; readonly count: number }
  | { readonly kind: 'send-known' | 'send-new'; readonly count: number; readonly text: string }

/** Milliseconds of each repetition. */
export type BareAnswer = readonly number[]

const databaseName = 'bare'

const resultOf = <T>(request: IDBRequest<T>): Promise<T> =>
  new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result)
    request.onerror = () => reject(request.error)
  })

const openDatabase = (): Promise<IDBDatabase> => {
  const request = indexedDB.open(databaseName, 1)
  request.onupgradeneeded = () => {
    request.result.createObjectStore('state')
    request.result.createObjectStore('messages', { autoIncrement: true })
  }
  return resultOf(request)
}

const write = (
  database: IDBDatabase,
  records: readonly unknown[],
  states: ReadonlyMap<number, string>,
): Promise<void> =>
  new Promise((resolve, reject) => {
    const transaction = database.transaction(['messages', 'state'], 'readwrite')
    const messages = transaction.objectStore('messages')
    for (const record of records) messages.put(record)
    const state = transaction.objectStore('state')
    for (const [session, pickle] of states) state.put(pickle, `session ${session}`)
    transaction.oncomplete = () => resolve()
    transaction.onerror = () => reject(transaction.error)
  })

// libolm's classes exist only after this.
await Olm.init({ locateFile: () => '/olm.wasm' })
const account = new Olm.Account()
let sessions: Olm.Session[] = []
let backlog: OlmBacklog | undefined

const unpickle = (pickles: readonly string[]): Olm.Session[] =>
  pickles.map((pickle) => {
    const session = new Olm.Session()
    session.unpickle(pickleKey, pickle)
    return session
  })

const sessionAt = (index: number): Olm.Session => {
  const session = sessions[index]
  if (!session) throw new Error(`no session ${index}`)
  return session
}

const fetchBacklog = async (): Promise<OlmBacklog> => {
  if (!backlog) {
    const response = await fetch('/olm-backlog.json')
    backlog = await response.json()
  }
  if (!backlog) throw new Error('no backlog')
  return backlog
}

/** Decrypts and stores one batch. */
const receive = async (database: IDBDatabase, messages: OlmBacklog['messages']): Promise<void> => {
  const touched = new Map<number, string>()
  const records = messages.map(({ session, body }) => {
    const text = sessionAt(session).decrypt(1, body)
    touched.set(session, '')
    return { session, text }
  })
  for (const session of touched.keys()) touched.set(session, sessionAt(session).pickle(pickleKey))
  await write(database, records, touched)
}

const timed = async (count: number, run: (nth: number) => Promise<void>): Promise<number[]> => {
  const times: number[] = []
  for (let nth = 0; nth < count; nth++) {
    const start = performance.now()
    await run(nth)
    times.push(performance.now() - start)
  }
  return times
}

const answer = async (database: IDBDatabase, request: BareRequest): Promise<BareAnswer> => {
  const { messages, sessions: pickles, account: pickled, strangers } = await fetchBacklog()
  switch (request.kind) {
    case 'prepare': {
      const state = database.transaction('state', 'readwrite').objectStore('state')
      state.put(pickled, 'account')
      for (const [at, pickle] of pickles.entries()) state.put(pickle, `session ${at}`)
      await resultOf(state.count())
      return []
    }
    case 'backlog':
      sessions = unpickle(pickles)
      return timed(1, async () => {
        for (let at = 0; at < messages.length; at += request.batch) {
          await receive(database, messages.slice(at, at + request.batch))
        }
      })
    case 'receive-one':
      sessions = unpickle(pickles)
      return timed(request.count, (nth) => receive(database, messages.slice(nth, nth + 1)))
    case 'send-known':
      sessions = unpickle(pickles)
      return timed(request.count, async () => {
        const bodies = sessions.map((session) => session.encrypt(request.text).body)
        const states = new Map(sessions.map((session, at) => [at, session.pickle(pickleKey)]))
        await write(database, [{ text: request.text, bodies }], states)
      })
    case 'send-new':
      return timed(request.count, async () => {
        const fresh = strangers.map(({ identityKey, oneTimeKey }) => {
          const session = new Olm.Session()
          session.create_outbound(account, identityKey, oneTimeKey)
          return session
        })
        const bodies = fresh.map((session) => session.encrypt(request.text).body)
        const states = new Map(fresh.map((session, at) => [1_000 + at, session.pickle(pickleKey)]))
        await write(database, [{ text: request.text, bodies }], states)
        for (const session of fresh) session.free()
      })
  }
}

const database = await openDatabase()
const state = database.transaction('state', 'readonly').objectStore('state')
const [pickledAccount, names] = await Promise.all([
  resultOf(state.get('account')),
  resultOf(state.getAll(IDBKeyRange.bound('session ', 'session ~'))),
])
if (typeof pickledAccount === 'string') account.unpickle(pickleKey, pickledAccount)
else account.create()
sessions = unpickle(names.filter((pickle) => typeof pickle === 'string'))
addEventListener('message', ({ data }: MessageEvent<BareRequest>) => {
  answer(database, data).then(
    (times) => postMessage({ times }),
    (error: unknown) => postMessage({ error: String(error) }),
  )
})
postMessage({ ready: true })
