/** What a rule answers, and what accepting an envelope changes. Values, never exceptions. */
import type { IdentityKeys, InstallationId } from '../../../src/protocol/ids.ts'
import { isNodeCode, type NodeCode } from '../../../src/protocol/node-codes.ts'
import type { SignedPrekey } from '../../../src/protocol/prekey.ts'
import type { Refusal } from '../../../src/protocol/result.ts'
import type { ContractQuestion } from './signature-status.ts'

/** Who signed: the account's key, or its contract on a chain. */
export type WalletKind =
  | { readonly kind: 'eip191' }
  | { readonly kind: 'erc1271'; readonly chainId: bigint }

/** What storing an accepted envelope changes besides the topic itself. */
export type Effect =
  | {
      readonly kind: 'grant'
      readonly installationId: InstallationId
      readonly address: string
      readonly keys: IdentityKeys
      readonly wallet: WalletKind
      readonly sealingCreatedNs: bigint
    }
  | {
      readonly kind: 'revoke'
      readonly address: string
      readonly installationIds: readonly InstallationId[]
      readonly wallet: WalletKind
    }
  | { readonly kind: 'vouch'; readonly installationId: InstallationId }
  | {
      readonly kind: 'upload'
      readonly installationId: InstallationId
      readonly createdNs: bigint
      readonly oneTime: readonly SignedPrekey[]
      readonly fallback: SignedPrekey | undefined
      readonly replace: boolean
    }
  | { readonly kind: 'message' }

/** A refusal by its code alone. */
export interface Refused {
  readonly ok: false
  readonly code: NodeCode
  /** What of a reader's request is at fault. */
  readonly field?: string
  /** What is wrong with it; quotes nothing of it. */
  readonly why?: string
}

/** Undecided: the caller must first ask a chain about a contract's signature. */
export interface Asks {
  readonly ok: false
  readonly question: ContractQuestion
}

export type Verdict = { readonly ok: true; readonly effect: Effect } | Refused | Asks

export const accepted = (effect: Effect): Verdict => ({ ok: true, effect })

export const refused = (code: NodeCode): Refused => ({ ok: false, code })

/** Turns a refusal of the shared checks into a node's. */
export const passOn = ({ code, why }: Refusal): Refused => ({
  ...refused(isNodeCode(code) ? code : 'malformed'),
  why,
})
