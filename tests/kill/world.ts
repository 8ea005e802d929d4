/** What the clients of a kill test share: the nodes, the log, and the installations so far. */
import { TestInstallation, testAccount } from '../node/support.ts'
import { seededRandom } from '../support/random.ts'
import { Caller, type Random } from './caller.ts'
import type { Ledger, PublishLog } from './ledger.ts'
import type { NodeGroup } from './node-group.ts'
import { Stock } from './stock.ts'

/** An installation whose registration was acknowledged, and which stays. */
export interface Member {
  readonly installation: TestInstallation
  readonly stock: Stock
}

export interface Client {
  readonly caller: Caller
  /** Choices that the seed repeats. */
  readonly random: Random
  /** Unlike any other's, in any run with another seed. */
  readonly name: string
}

export interface PublishOptions {
  /** It must be refused so. */
  readonly refused?: { readonly code: string; readonly index: number }
  /** It may be refused so, for its first envelope. */
  readonly allowed?: string
  /** The client gives up after so many. */
  readonly tries?: number
}

export const nowNs = (): bigint => BigInt(Date.now()) * 1_000_000n

const proofLifetimeNs = 300_000_000_000n

export class World {
  readonly seed: number
  readonly nodes: NodeGroup
  readonly ledger: Ledger
  readonly members: Member[] = []
  /** Everybody who has an inbox topic that something was sent to, by that topic. */
  readonly owners = new Map<string, TestInstallation>()
  nodeId: Uint8Array = new Uint8Array()
  /** Set once: clients finish what they have begun, and end. */
  stopping = false
  #clients = 0

  constructor(seed: number, nodes: NodeGroup, ledger: Ledger) {
    this.seed = seed
    this.nodes = nodes
    this.ledger = ledger
  }

  /** A client of its own, with one of the three wire protocols. */
  newClient(): Client {
    const number = this.#clients
    this.#clients += 1
    return {
      caller: new Caller(this.nodes, this.ledger, number),
      random: seededRandom(this.seed * 1_000 + number),
      name: `${this.seed}-${number}`,
    }
  }

  /** An installation that no node knows yet, of an account of its own. */
  newInstallation(name: string): TestInstallation {
    const installation = new TestInstallation(testAccount(name), name)
    this.owners.set(installation.inbox, installation)
    return installation
  }

  /** Publishes until there is an answer, and notes it. */
  async publish(
    caller: Caller,
    log: PublishLog,
    { refused, allowed, tries }: PublishOptions = {},
  ): Promise<'answered' | 'refused' | 'given-up'> {
    const envelopes = [...log.envelopes]
    const answer = await caller.call(
      (client, options) => client.publish({ envelopes }, options),
      tries,
    )
    if (answer.kind === 'answered') {
      if (refused !== undefined) {
        this.ledger.report(`request ${log.id} was stored: ${refused.code} was right`)
      }
      this.ledger.acknowledged(log, answer.value.receipts)
    } else if (answer.kind === 'refused') {
      const { code, envelopeIndex } = answer.refusal
      const expected = refused ?? (code === allowed ? { code: allowed ?? '', index: 0 } : undefined)
      if (expected === undefined) {
        this.ledger.report(`request ${log.id} was refused: ${code} at ${envelopeIndex}`)
      } else this.ledger.refused(log, answer.refusal, expected.code, expected.index)
    } else this.ledger.count('publishes given up')
    return answer.kind
  }

  /** Registers an installation, with its first prekeys in the same request. */
  async register(caller: Caller, installation: TestInstallation): Promise<Member> {
    const stock = new Stock(installation)
    const upload = stock.next({ oneTime: 20, fallback: true, replace: false })
    const envelopes = [await installation.bundle(nowNs()), upload.envelope]
    await this.publish(caller, this.ledger.open(envelopes))
    stock.stored(upload)
    this.ledger.count('registrations')
    return { installation, stock }
  }

  /** Proofs for the inboxes and prekey topics among these, good for five minutes. */
  proofs(topics: readonly string[]) {
    const expiresNs = nowNs() + proofLifetimeNs
    return topics.flatMap((topic) => {
      const owner = this.owners.get(topic.replace(/^prekey-/, 'message-'))
      return owner === undefined ? [] : [owner.proof(this.nodeId, expiresNs)]
    })
  }
}
