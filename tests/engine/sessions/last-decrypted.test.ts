/** Which session decrypted last, and so is sent on: docs/protocol.md section 7. */

import { expect, test } from 'vitest'
import { chooseSession } from '../../../src/engine/sessions/session-rules.ts'
import { Sessions } from '../../../src/engine/sessions/sessions.ts'
import { encodeHex } from '../../../src/protocol/bytes.ts'
import { set } from '../../support/envelope-forge/fields.ts'
import { forge, type Line, textContent } from '../../support/envelope-forge/forge.ts'
import { aReceiver } from '../../support/envelope-forge/receiver.ts'

const text = (line: Line, said: string) => forge(line, { payload: set(4, textContent(said)) })

/** A receiver with two sessions of one sender, and which of them it would send on. */
const twoLines = async () => {
  const bob = await aReceiver()
  const sender = await bob.sender()
  const lines = [bob.begin(sender), bob.begin(sender)] as const
  const chosen = async (): Promise<string> => {
    const sessions = new Sessions(bob.store)
    await sessions.load([sender.id])
    const session = chooseSession(sessions.of(sender.id))
    return session ? encodeHex(session.sessionId) : ''
  }
  const names = lines.map(({ sessionId }) => encodeHex(sessionId))
  return { bob, lines, chosen, names }
}

test('section 7: of two sessions in one batch the one whose message came last is sent on', async () => {
  for (const order of [
    [0, 1, 0],
    [1, 0, 1],
  ]) {
    const { bob, lines, chosen, names } = await twoLines()
    const next = [...lines]
    const batch = order.map((at, nth) => {
      const line = next[at]
      if (!line) throw new Error('no line')
      const made = text(line, `message ${nth}`)
      next[at] = made.next
      return made.message
    })
    expect((await bob.deliver(...batch)).outcomes).toEqual(['kept', 'kept', 'kept'])
    expect(await chosen()).toBe(names[order[2] ?? 0])
  }
})

test('section 7: a clock that was set back does not make an older session the last one', async () => {
  const { bob, lines, chosen, names } = await twoLines()
  const [first, second] = lines
  bob.control.aheadMs = 0
  await bob.deliver(text(first, 'one').message)
  bob.control.aheadMs -= 86_400_000
  await bob.deliver(text(second, 'two').message)
  expect(await chosen()).toBe(names[1])
})
