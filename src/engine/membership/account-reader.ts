/**
 * Reads an account's topics from their beginning, for somebody who has no database: which
 * installations it has, by the same rules as the directory (docs/protocol.md section 3).
 */

import type { Chains } from '../../chains/chains.ts'
import type { Crypto } from '../../crypto/crypto.ts'
import { PadlockError } from '../../errors.ts'
import type { Network, NodeEnvelope } from '../../network/network.ts'
import type { Platform } from '../../platform/platform.ts'
import type { Address, InstallationId } from '../../protocol/ids.ts'
import { contactTopic, revokedTopic } from '../../protocol/topics.ts'
import { isWorthVerifying, parseContractStatement, questionOf } from './contract-statements.ts'
import { changedStates, type KnownAccount, type KnownInstallation } from './known-installations.ts'
import { confirm, readContact, readRevocation } from './statements.ts'

export interface AccountSources {
  readonly network: Network
  readonly crypto: Crypto
  readonly chains: Chains
  readonly platform: Platform
}

/** An honest account's topics are far smaller. */
const maxPages = 100
/** Chain requests of one reading. */
const maxQuestions = 200
/** Statements that chains verify at a time. */
const batchSize = 4

/**
 * @param nodeNs the node's time, if known
 * @throws PadlockError network_unavailable, bad_response, aborted and the node's refusals
 */
export const readAccount = async (
  { network, crypto, chains, platform }: AccountSources,
  address: Address,
  signal: AbortSignal,
  nodeNs?: bigint,
): Promise<KnownAccount> => {
  const account = new Map<InstallationId, KnownInstallation>()
  const nowNs = nodeNs ?? (await network.getInfo(signal)).nodeNs
  const clockNs = BigInt(Math.trunc(platform.nowMs())) * 1_000_000n
  const passedNs = clockNs < nowNs ? clockNs : nowNs
  // Reading goes by grants alone; what they make of each other is judged once, at the end.
  const apply = (updates: readonly KnownInstallation[]) => {
    for (const installation of updates) account.set(installation.id, installation)
  }
  const unverified: NodeEnvelope[] = []
  const contact = contactTopic(address)
  for await (const envelope of envelopesOf(network, [contact, revokedTopic(address)], signal)) {
    const { topic, message, nodeNs: sinceNs } = envelope
    const { updates, asks } =
      topic === contact
        ? readContact(crypto, address, message, sinceNs, account)
        : readRevocation(address, message, sinceNs, account)
    apply(updates)
    if (asks && unverified.length < maxQuestions) unverified.push(envelope)
  }
  // Grants first: a revocation is verified once a grant has shown which chain the account is on.
  const ordered = [true, false].flatMap((isGrant) =>
    unverified.flatMap(({ topic, message, nodeNs }) => {
      const statement =
        (topic === contact) === isGrant ? parseContractStatement(message, isGrant) : undefined
      return statement ? [{ statement, nodeNs }] : []
    }),
  )
  for (let at = 0; at < ordered.length; at += batchSize) {
    await Promise.all(
      ordered.slice(at, at + batchSize).map(async ({ statement, nodeNs }) => {
        const question = questionOf(address, statement)
        if (!question || !isWorthVerifying(account, statement)) return
        if (!chains.ids.has(statement.chainId)) return
        const status = await chains.verify(question, signal)
        if (status !== 'valid' && status !== 'delegated') return
        const isDelegated = status === 'delegated'
        apply(confirm(statement, isDelegated, nodeNs, account) ?? [])
      }),
    )
  }
  apply(changedStates(account, passedNs))
  return account
}

async function* envelopesOf(
  network: Network,
  topics: readonly string[],
  signal: AbortSignal,
): AsyncGenerator<NodeEnvelope> {
  const positions = new Map(topics.map((topic) => [topic, 0n]))
  for (let page = 0; page < maxPages; page += 1) {
    const asked = Array.from(positions, ([topic, afterSequence]) => ({ topic, afterSequence }))
    const { envelopes, hasMore } = await network.query(asked, signal)
    let isNews = false
    for (const envelope of envelopes) {
      const position = positions.get(envelope.topic)
      if (position === undefined || envelope.sequence <= position) continue
      positions.set(envelope.topic, envelope.sequence)
      isNews = true
      yield envelope
    }
    // A node that promises more and sends nothing new would keep us here forever.
    if (!hasMore || !isNews) return
  }
  throw new PadlockError('bad_response')
}
