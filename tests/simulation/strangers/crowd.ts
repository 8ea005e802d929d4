/**
 * All strangers of a simulation: some accounts with several installations each, who at the same time put
 * into every honest inbox, and onto their own topics, what a share of the node's allowance lets them.
 */

import { rateDefaults } from '../../../node/src/limits/rates.ts'
import type { Network } from '../../../src/network/network.ts'
import { messageTopic } from '../../../src/protocol/topics.ts'
import type { Target } from '../../support/envelope-forge/forge.ts'
import { targetsAt } from '../../support/envelope-forge/targets.ts'
import type { Journal } from '../journal.ts'
import type { Person } from '../people.ts'
import type { Random } from '../random.ts'
import type { VirtualTime } from '../virtual-time.ts'
import { madeUpRevocation } from './revocations.ts'
import { Stranger, strangersWallet, tricks } from './stranger.ts'

const accounts = 3
const installationsOfAccount = 4
/**
 * On the topic of one account at once, and later: more than clients keep of an account. Of one only, as the
 * database's stand-in takes the square of what a list holds.
 */
const revocationsAtOnce = 4
const revocationEveryMs = 20 * 60_000
const tickMs = 20_000
/** Of one request. */
const publishedAtOnce = 100

export interface CrowdOptions {
  readonly network: Network
  readonly time: VirtualTime
  readonly journal: Journal
  readonly random: Random
  /** Of what the node allows one caller. */
  readonly share: number
}

export class Crowd {
  readonly #options: CrowdOptions
  readonly #addresses = new Set<string>()
  #members: readonly Stranger[] = []
  #revoker: ReturnType<typeof strangersWallet> | undefined
  #put = 0
  #bytes = 0

  constructor(options: CrowdOptions) {
    this.#options = options
  }

  has(address: string): boolean {
    return this.#addresses.has(address.toLowerCase())
  }

  get members(): readonly Stranger[] {
    return this.#members
  }

  /** Envelopes that lie in honest inboxes because of them, and their bytes. */
  get put(): { readonly envelopes: number; readonly bytes: number } {
    return { envelopes: this.#put, bytes: this.#bytes }
  }

  /** All that is allowed at once, and then what is allowed in the time that passes. */
  async besiege(people: readonly Person[], endMs: number): Promise<void> {
    const { time, share } = this.#options
    await this.#gather()
    const { callerInboxEnvelopesBurst: burst, callerInboxEnvelopesPerSecond: perSecond } =
      rateDefaults
    await this.#attack(people, Math.ceil(burst * share))
    let due = 0
    let revocationMs = time.nowMs + revocationEveryMs
    while (time.nowMs + tickMs < endMs) {
      await time.sleep(tickMs)
      due += (perSecond * share * tickMs) / 1_000
      await this.#attack(people, Math.floor(due))
      due -= Math.floor(due)
      if (time.nowMs < revocationMs) continue
      revocationMs += revocationEveryMs
      await this.#revoke()
    }
  }

  async #gather(): Promise<void> {
    const { network, random } = this.#options
    const members: Stranger[] = []
    for (let account = 0; account < accounts; account += 1) {
      const wallet = strangersWallet(random)
      this.#addresses.add(wallet.address.toLowerCase())
      for (let nth = 0; nth < installationsOfAccount; nth += 1) {
        members.push(await Stranger.register(network, random, wallet))
      }
      this.#revoker ??= wallet
    }
    for (let nth = 0; nth < revocationsAtOnce; nth += 1) await this.#revoke()
    this.#members = members
  }

  async #revoke(): Promise<void> {
    const { network, random, journal } = this.#options
    if (!this.#revoker) return
    journal.fault('strangers: made-up revocations', this.#revoker.address)
    await network.publish([await madeUpRevocation(this.#revoker, random)])
  }

  /** So many envelopes into each honest inbox. */
  async #attack(people: readonly Person[], count: number): Promise<void> {
    if (count === 0) return
    const { network } = this.#options
    for (const { address } of people) {
      for (const target of await targetsAt(network, address)) await this.#flood(target, count)
    }
  }

  async #flood(target: Target, count: number): Promise<void> {
    const { network, random, journal } = this.#options
    const topic = messageTopic(target.id)
    for (let done = 0; done < count; done += publishedAtOnce) {
      const envelopes = []
      for (let nth = done; nth < Math.min(count, done + publishedAtOnce); nth += 1) {
        const trick = random.pick(tricks)
        journal.fault(`strangers: ${trick}`, target.id)
        const message = await random.pick(this.#members).make(trick, target)
        envelopes.push({ topic, message })
        this.#bytes += message.length
      }
      this.#put += envelopes.length
      await network.publish(envelopes)
    }
  }
}
