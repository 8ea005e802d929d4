/** Stores envelopes, asking chains about contract signatures on the way. */
import type { Chains } from './chains/chains.ts'
import type { Observer } from './observe/observer.ts'
import type { ContractQuestion, SignatureStatus } from './rules/signature-status.ts'
import { questionIn } from './rules/signed.ts'
import {
  type NewEnvelope,
  type PublishOutcome,
  type PublishRefusal,
  type Store,
  StoreFailure,
} from './store/store.ts'

export interface AskingStoreOptions {
  readonly store: Pick<Store, 'publish'>
  readonly chains: Chains
  readonly observer: Observer
  /** Called before each question. @throws ConnectError if the caller asks too much */
  readonly admit: (caller: string) => void
}

type Stored = Extract<PublishOutcome, { ok: true }> | PublishRefusal

/**
 * What comes behind the first contract signature is asked at once, up to the first that is not valid:
 * the store checks everything again after each answer.
 */
export function createAskingStore({ store, chains, observer, admit }: AskingStoreOptions) {
  return async (envelopes: readonly NewEnvelope[], caller: string): Promise<Stored> => {
    const statuses = new Map<number, SignatureStatus>()
    const ask = async (question: ContractQuestion, index: number): Promise<boolean> => {
      admit(caller)
      const status = await chains.verify(question)
      observer.chainAnswered(status)
      statuses.set(index, status)
      return status === 'valid' || status === 'delegated'
    }
    for (;;) {
      const outcome = await store.publish(envelopes, statuses)
      if (outcome.ok || 'code' in outcome) return outcome
      // A store that repeats an answered question would repeat it for ever.
      if (statuses.has(outcome.envelopeIndex)) throw new StoreFailure('the same question again')
      let isValid = await ask(outcome.question, outcome.envelopeIndex)
      for (let at = outcome.envelopeIndex + 1; isValid && at < envelopes.length; at += 1) {
        const envelope = envelopes[at]
        const question = envelope && questionIn(envelope)
        if (question === undefined || !chains.ids.includes(question.chainId)) continue
        isValid = await ask(question, at)
      }
    }
  }
}
