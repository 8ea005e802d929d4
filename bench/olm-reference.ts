/**
 * The bare loop's data: libolm sessions in which both sides have written, as the receiving side's
 * pickles, and the messages for them. As many sessions and messages as the SDK gets.
 */

import Olm from '@matrix-org/olm'

export interface OlmBacklog {
  readonly account: string
  readonly sessions: readonly string[]
  /** Base64, with the index of the session. */
  readonly messages: readonly { readonly session: number; readonly body: string }[]
  /** Of someone who has not been written to yet. */
  readonly strangers: readonly { readonly identityKey: string; readonly oneTimeKey: string }[]
}

/** All pickles are sealed under this key; its value does not matter. */
export const pickleKey = 'bench'

const curveKey = (json: string): string => {
  const keys: unknown = JSON.parse(json)
  const key =
    typeof keys === 'object' && keys !== null && 'curve25519' in keys ? keys.curve25519 : undefined
  if (typeof key === 'string') return key
  const [first] = typeof key === 'object' && key !== null ? Object.values(key) : []
  if (typeof first !== 'string') throw new Error('libolm gave no key')
  return first
}

const newAccount = () => {
  const account = new Olm.Account()
  account.create()
  account.generate_one_time_keys(1)
  return {
    account,
    identityKey: curveKey(account.identity_keys()),
    oneTimeKey: curveKey(account.one_time_keys()),
  }
}

/**
 * Messages come in runs of `run` from one session after the other, as senders' outboxes send them.
 */
export const createOlmBacklog = async (
  sessions: number,
  count: number,
  bytes: number,
  run: number,
): Promise<OlmBacklog> => {
  await Olm.init()
  // libolm rethrows from its handler, which ends the process before any cleanup.
  process.removeAllListeners('uncaughtException')
  process.removeAllListeners('unhandledRejection')
  const own = newAccount()
  const pairs = Array.from({ length: sessions }, () => {
    const peer = newAccount()
    own.account.generate_one_time_keys(1)
    const oneTimeKey = curveKey(own.account.one_time_keys())
    own.account.mark_keys_as_published()
    const theirs = new Olm.Session()
    theirs.create_outbound(peer.account, own.identityKey, oneTimeKey)
    const hello = theirs.encrypt('hello')
    const ours = new Olm.Session()
    ours.create_inbound(own.account, hello.body)
    ours.decrypt(hello.type, hello.body)
    const reply = ours.encrypt('hello')
    theirs.decrypt(reply.type, reply.body)
    return { ours, theirs }
  })
  const pickles = pairs.map(({ ours }) => ours.pickle(pickleKey))
  const messages = Array.from({ length: count }, (_, at) => {
    const session = Math.floor(at / run) % sessions
    const text = `${at} `.padEnd(bytes, 'Fixed text, long enough. ')
    return { session, body: pairs[session]?.theirs.encrypt(text).body ?? '' }
  })
  const strangers = Array.from({ length: sessions }, () => {
    const { identityKey, oneTimeKey } = newAccount()
    return { identityKey, oneTimeKey }
  })
  return { account: own.account.pickle(pickleKey), sessions: pickles, messages, strangers }
}
