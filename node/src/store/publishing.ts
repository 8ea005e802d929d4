/**
 * How a publish request becomes envelopes in either database (docs/protocol.md section 5): known
 * bytes first, then the rules, then one time for all and the next sequence on each topic.
 */
import { hash } from 'node:crypto'
import { acceptEnvelope } from '../rules/accept.ts'
import type { RuleState } from '../rules/state.ts'
import type { Effect } from '../rules/verdict.ts'
import type { Operation, Outcome } from './operations.ts'
import type { Receipt } from './store.ts'

/** An envelope that the rules accepted. */
export interface AcceptedEnvelope {
  readonly topic: string
  readonly message: Uint8Array
  /** SHA-256 of the message. */
  readonly digest: Uint8Array
  readonly nodeNs: bigint
  readonly effect: Effect
}

/** The state of a transaction as publishing sees it: every change shows in what is read next. */
export interface Ledger extends RuleState {
  /** The receipt that these bytes got when the topic stored them. */
  receipt(topic: string, digest: Uint8Array): Receipt | undefined
  /** The newest `node_ns` of a topic, also of dropped envelopes; 0 if it never had one. */
  latestNs(topic: string): bigint
  /** Stores an envelope and what it changes. @returns its sequence. */
  append(envelope: AcceptedEnvelope): bigint
  /** Runs a step and undoes all of it if it returns false. */
  attempt(step: () => boolean): void
}

export interface PublishContext {
  readonly nowNs: bigint
  /** The newest `node_ns` that the store gave out, on any topic. */
  readonly newestNs: bigint
  readonly chainIds: readonly bigint[]
}

export const digestOf = (message: Uint8Array): Uint8Array => hash('sha256', message, 'buffer')

/** Stores all envelopes of a request, or none. */
export function publishRequest(
  ledger: Ledger,
  { envelopes, statuses }: Extract<Operation, { kind: 'publish' }>,
  { nowNs, newestNs, chainIds }: PublishContext,
): Outcome {
  const digested = envelopes.map((envelope) => {
    const digest = digestOf(envelope.message)
    return { ...envelope, digest, known: ledger.receipt(envelope.topic, digest) }
  })
  // One node_ns for all envelopes of the request, later than any of their topics, and than any other of
  // the store if the clock stepped back: times compare between topics.
  let nodeNs = nowNs < newestNs ? newestNs + 1n : nowNs
  for (const { topic, known } of digested) {
    if (known !== undefined) continue
    const latestNs = ledger.latestNs(topic)
    if (nodeNs <= latestNs) nodeNs = latestNs + 1n
  }
  const receipts: Receipt[] = []
  /** What this request stored, by topic and digest. */
  const own = new Map<string, Receipt>()
  let outcome: Outcome = { kind: 'published', receipts }
  ledger.attempt(() => {
    for (const [envelopeIndex, envelope] of digested.entries()) {
      const { topic, message, digest } = envelope
      const name = `${topic} ${Buffer.from(digest).toString('base64')}`
      // Known bytes are answered before any other rule, also if this request stored them.
      const known = envelope.known ?? own.get(name)
      if (known !== undefined) {
        receipts.push(known)
        continue
      }
      const signatureStatus = statuses?.get(envelopeIndex)
      const verdict = acceptEnvelope(topic, message, ledger, {
        nowNs,
        chainIds,
        signatureStatus,
      })
      if (!verdict.ok) {
        outcome =
          'question' in verdict
            ? { kind: 'asks', question: verdict.question, envelopeIndex }
            : { kind: 'refused', code: verdict.code, envelopeIndex, why: verdict.why }
        return false
      }
      const { effect } = verdict
      const sequence = ledger.append({ topic, message, digest, nodeNs, effect })
      receipts.push({ sequence, nodeNs, fresh: true })
      own.set(name, { sequence, nodeNs, fresh: false })
    }
    return true
  })
  return outcome
}
