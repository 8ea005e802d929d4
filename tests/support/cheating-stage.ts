/**
 * Where cheating is tried: a victim behind a node that cheats on demand, an honest peer and an honest
 * third party at the real node, and what must still be true after each trick.
 */

import type { PrivateKeyAccount } from 'viem/accounts'
import { expect } from 'vitest'
import type { Network } from '../../src/network/network.ts'
import type { Platform } from '../../src/platform/platform.ts'
import { type InstallationId, parseInstallationId } from '../../src/protocol/ids.ts'
import { contactTopic, messageTopic, prekeyTopic, revokedTopic } from '../../src/protocol/topics.ts'
import type { TurnedClock } from './cheating-clock.ts'
import { CheatingNode } from './cheating-node/cheating-node.ts'
import { addressOf, passed } from './checked.ts'
import {
  anAccount,
  anEngineWorld,
  type EngineWorld,
  freshDatabase,
  never,
  type Opened,
  untilState,
  untilTexts,
} from './engine.ts'

export const idOf = ({ engine }: Opened): InstallationId =>
  passed(parseInstallationId(engine.installationId))

export const accusations = ({ events }: Opened) =>
  events.filter((event) => event.kind === 'node-accused')

/** All texts of a conversation as they are shown, oldest first. */
export const shownTexts = async ({ engine }: Opened, id: string): Promise<(string | undefined)[]> =>
  (await engine.history(id, undefined, 500)).map(({ content }) => content).reverse()

/** Sends, and returns when the node has it. */
export const say = async ({ engine }: Opened, id: string, text: string): Promise<void> => {
  const message = await engine.send(id, text)
  expect((await engine.whenSent(message.id, never)).state).toBe('sent')
}

export interface Stage {
  readonly world: EngineWorld
  /** Between the victim and the real node. */
  readonly node: CheatingNode
  /** What leads to it, for more victims. */
  readonly network: Network
  readonly alice: PrivateKeyAccount
  readonly bob: PrivateKeyAccount
  /** Honest, at the real node. */
  readonly atAlice: Opened
  /** The victim; `openBob` opens it again when it is closed. */
  readonly atBob: Opened
  readonly bobDatabase: string
  openBob(options?: { readonly database?: string }): Promise<Opened>
  /** The conversation of Alice and Bob. */
  readonly id: string
  readonly topics: {
    readonly alice: { readonly contact: string; readonly revoked: string }
    readonly bob: {
      readonly contact: string
      readonly revoked: string
      readonly inbox: string
      readonly prekey: string
    }
  }
}

export interface StageOptions {
  /** Everybody's, the real node's included. */
  readonly clock?: TurnedClock
  /** Whether Alice has written and Bob has answered. */
  readonly haveTalked?: boolean
}

export const aStage = async (options: StageOptions = {}): Promise<Stage> => {
  const world = await anEngineWorld(options.clock ? { clock: options.clock.nowNs } : {})
  const node = new CheatingNode(world.node)
  const network = await node.listen()
  const platform = options.clock ? { platform: options.clock.platform } : {}
  const [alice, bob] = [anAccount(), anAccount()]
  const bobDatabase = freshDatabase()
  const openBob = async ({ database = bobDatabase } = {}) =>
    world.open({ account: bob, database, network: () => network, ...platform })
  const atAlice = await world.open({ account: alice, database: freshDatabase(), ...platform })
  const atBob = await openBob()
  for (const one of [atAlice, atBob]) await untilState(one, 'live')
  const { id } = await atAlice.engine.conversation(bob.address)
  await atBob.engine.conversation(alice.address)
  if (options.haveTalked) {
    await say(atAlice, id, 'one')
    await untilTexts(atBob, id, 1)
    await say(atBob, id, 'two')
    await untilTexts(atAlice, id, 2)
  }
  const [a, b] = [addressOf(alice), addressOf(bob)]
  const installationId = idOf(atBob)
  return {
    world,
    node,
    network,
    alice,
    bob,
    atAlice,
    atBob,
    bobDatabase,
    openBob,
    id,
    topics: {
      alice: { contact: contactTopic(a), revoked: revokedTopic(a) },
      bob: {
        contact: contactTopic(b),
        revoked: revokedTopic(b),
        inbox: messageTopic(installationId),
        prekey: prekeyTopic(installationId),
      },
    },
  }
}

/** Someone new, at the real node. */
export const aThird = async (
  { world }: Pick<Stage, 'world'>,
  platform?: Partial<Platform>,
): Promise<Opened & { readonly account: PrivateKeyAccount }> => {
  const account = anAccount()
  const database = freshDatabase()
  const opened = await world.open({ account, database, ...(platform ? { platform } : {}) })
  await untilState(opened, 'live')
  return { ...opened, account }
}

/** A third party's message reaches the victim exactly once, whatever was tried before. */
export const expectHonest = async (
  stage: Pick<Stage, 'world' | 'bob'> & { readonly atBob: Opened },
  text = 'honest',
): Promise<void> => {
  const third = await aThird(stage)
  const { id } = await third.engine.conversation(stage.bob.address)
  await say(third, id, text)
  await untilTexts(stage.atBob, id, 1)
  // One more behind it: what would come twice would have come by then.
  await say(third, id, `${text}, again`)
  expect(await untilTexts(stage.atBob, id, 2)).toEqual([text, `${text}, again`])
  expect(await shownTexts(stage.atBob, id)).toEqual([text, `${text}, again`])
}
