/**
 * The order in which the parts of the engine act as the connection changes: registering at a node
 * that does not know us, detecting a rollback before anything is sent, going live, going down, and
 * stopping permanently when this installation was revoked.
 */

import type { NodeInfo } from '../network/network.ts'
import type { Address } from '../protocol/ids.ts'
import { coveredPeersLimit, coveredRequestsLimit } from '../protocol/limits.ts'
import type { Prekeys } from './keys/prekeys.ts'
import { registerAtNode } from './keys/registration.ts'
import { repairIfRolledBack } from './keys/rollback.ts'
import type { SealingKeys } from './keys/sealing-keys.ts'
import type { Directory } from './membership/directory.ts'
import type { Heads } from './membership/heads.ts'
import type { ConversationList } from './messages/conversation-list.ts'
import type { RejectionCounts } from './receiving/rejection-counts.ts'
import type { Seen } from './receiving/seen.ts'
import type { Context } from './runtime/context.ts'
import type { Sessions } from './sessions/sessions.ts'
import type { ConnectionListener } from './subscription/connection.ts'

/** A part that works in the background, and only while the client is live. */
export interface LivePart {
  setLive(isLive: boolean): void
  run(): Promise<void>
}

export interface LifecycleParts {
  readonly directory: Directory
  readonly conversationList: ConversationList
  readonly heads: Heads
  readonly sealingKeys: SealingKeys
  readonly prekeys: Prekeys
  readonly sessions: Sessions
  readonly seen: Seen
  readonly rejections: RejectionCounts
  readonly live: readonly LivePart[]
}

export class Lifecycle implements ConnectionListener {
  readonly #context: Context
  readonly #parts: LifecycleParts
  /** `created_ns` of the newest prekey upload that the node has. */
  #newestUploadNs = 0n
  /** The stock that the node reported before the check for a rollback. */
  #stockAtStart: number | undefined

  constructor(context: Context, parts: LifecycleParts) {
    this.#context = context
    this.#parts = parts
  }

  /**
   * Call this when our own account may have changed: stops sending permanently if this installation
   * was revoked, and warns while it is pending, as peers park what it sends then (section 3).
   */
  async checkOwn(): Promise<void> {
    const { account, status } = this.#context
    const own = (await this.#parts.directory.account(account.address)).get(account.installationId)
    if (own?.state === 'pending') status.warnOnce('vouch_needed')
    else status.clear('vouch_needed')
    if (!own || own.revokedNs === 0n) return
    status.setState('revoked')
    this.onDown()
  }

  /** Those that the person accepted, as many as there is room for; few of those who merely wrote. */
  async peers(): Promise<ReadonlySet<Address>> {
    const { conversationList } = this.#parts
    const accepted = await conversationList.peers(
      'allowed',
      coveredPeersLimit - coveredRequestsLimit,
    )
    const others = await conversationList.peers('unknown', coveredRequestsLimit)
    return new Set([...accepted, ...others])
  }

  async onNode({ nodeId, retentionNs }: NodeInfo): Promise<void> {
    const { seen, prekeys } = this.#parts
    seen.onRetention(retentionNs)
    this.#newestUploadNs = 0n
    this.#stockAtStart = undefined
    if (!this.#isRevoked()) await registerAtNode(this.#context, prekeys, nodeId)
  }

  async onCaughtUp(): Promise<void> {
    if (this.#isRevoked()) return
    const { prekeys, rejections } = this.#parts
    await repairIfRolledBack(this.#context, this.#parts, this.#newestUploadNs, rejections.unopened)
    if (this.#stockAtStart !== undefined) {
      void prekeys.onStock(this.#stockAtStart, this.#newestUploadNs)
    }
  }

  onLive(): void {
    // Another node may have said so only now.
    const isLive = !this.#isRevoked()
    for (const part of this.#parts.live) part.setLive(isLive)
    if (isLive) void this.#parts.heads.compare()
  }

  onDown(): void {
    for (const part of this.#parts.live) part.setLive(false)
  }

  onStock(oneTimeLeft: number, newestCreatedNs: bigint): void {
    this.#newestUploadNs = newestCreatedNs
    // Nothing is uploaded before the check for a rollback.
    if (this.#context.status.current.state === 'live') {
      void this.#parts.prekeys.onStock(oneTimeLeft, newestCreatedNs)
    } else this.#stockAtStart = oneTimeLeft
  }

  #isRevoked(): boolean {
    return this.#context.status.current.state === 'revoked'
  }
}
