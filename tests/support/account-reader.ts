/** What a client makes of grants and revocations, step by step. */

import {
  isWorthVerifying,
  parseContractStatement,
} from '../../src/engine/membership/contract-statements.ts'
import { change, type KnownAccount } from '../../src/engine/membership/known-installations.ts'
import {
  confirm,
  type ReadEnvelope,
  readContact,
  readRevocation,
} from '../../src/engine/membership/statements.ts'
import type { Account } from '../../src/engine/runtime/context.ts'
import { theAddress } from './contract-grants.ts'
import { loadTestCrypto } from './engine.ts'

const crypto = await loadTestCrypto()

/** An account as a client comes to know it, step by step. */
export class Reader {
  account: KnownAccount = new Map()
  /** The time that has passed by both clocks. */
  passedNs = 1_000n
  #nodeNs = 100n

  grant(message: Uint8Array): ReadEnvelope {
    return this.#take(readContact(crypto, theAddress, message, this.#nodeNs++, this.account))
  }

  revocation(message: Uint8Array): ReadEnvelope {
    return this.#take(readRevocation(theAddress, message, this.#nodeNs++, this.account))
  }

  /** The chain says yes. */
  confirm(message: Uint8Array, isGrant = true, isDelegated = false): void {
    const question = parseContractStatement(message, isGrant)
    if (!question) throw new Error('no question')
    const updates = confirm(question, isDelegated, this.#nodeNs++, this.account) ?? []
    this.#take({ updates, asks: false })
  }

  isWorthAsking(message: Uint8Array, isGrant = true): boolean {
    const question = parseContractStatement(message, isGrant)
    return question !== undefined && isWorthVerifying(this.account, question)
  }

  of({ installationId }: Account) {
    const installation = this.account.get(installationId)
    if (!installation) throw new Error('it is not known')
    return installation
  }

  state(device: Account): string {
    const installation = this.of(device)
    return installation.revokedNs > 0n ? 'revoked' : installation.state
  }

  #take(read: ReadEnvelope): ReadEnvelope {
    const next = new Map(this.account)
    for (const installation of change(next, read.updates, this.passedNs))
      next.set(installation.id, installation)
    this.account = next
    return read
  }
}
