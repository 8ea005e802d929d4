/** A message is plain data with something that one can do with it: wherever it comes from. */
import { afterEach, expect, test } from 'vitest'
import { makeConversation } from '../../src/facade/conversation.ts'
import { makeEvent, makeMessage } from '../../src/facade/message.ts'
import { streamMessages } from '../../src/facade/stream.ts'
import type { ConversationInfo, MessageData, WorkerApi } from '../../src/worker/contract.ts'
import { connectRpc } from '../../src/worker/rpc.ts'
import { codeOf } from '../support/engine.ts'

const ports: MessagePort[] = []
afterEach(() => {
  for (const port of ports.splice(0)) port.close()
})

const message: MessageData = {
  id: 'one',
  cursor: '1',
  order: 'a',
  conversationId: 'dm:a:b',
  consent: 'allowed',
  sender: 'a',
  senderInstallation: 'i',
  isOwn: false,
  sentAtMs: 1,
  state: 'received',
  type: 'text',
  content: 'hello',
}
const info: ConversationInfo = {
  id: 'dm:a:b',
  peer: 'b',
  createdAtMs: 0,
  lastMessageAtMs: 1,
  consent: 'allowed',
  messageCount: 1,
  leftOutCount: 0,
  lastMessage: message,
}

/** A worker that has one message, and notes what is to be deleted. */
const aWorker = () => {
  const { port1, port2 } = new MessageChannel()
  ports.push(port1, port2)
  for (const port of [port1, port2]) port.start()
  const deleted: unknown[] = []
  connectRpc<object, object>(port2, {
    send: async () => message,
    history: async () => [message],
    nextMessages: async () => ({ messages: [message], cursor: '1' }),
    delete: async (arg: unknown) => {
      deleted.push(arg)
    },
  })
  const { remote } = connectRpc<object, WorkerApi>(port1, {})
  return { remote, deleted }
}

test('a message can be deleted wherever it came from, and only for this person', async () => {
  const { remote, deleted } = aWorker()
  const conversation = makeConversation(remote, info, () => undefined)
  const found = [
    await conversation.send('hello'),
    ...(await conversation.history()),
    conversation.lastMessage,
  ]
  for await (const one of streamMessages(remote, undefined, { since: '0' })) {
    found.push(one)
    break
  }
  const event = makeEvent(remote, { kind: 'message-state', message })
  if (event.kind === 'message-state') found.push(event.message)
  expect(found).toHaveLength(5)
  for (const one of found) await one?.delete({ for: 'me' })
  const one = { conversationId: 'dm:a:b', messageIds: ['one'] }
  expect(deleted).toEqual([one, one, one, one, one])
  const everyone = { for: 'everyone' } as unknown as { readonly for: 'me' }
  expect(await codeOf(makeMessage(remote, message).delete(everyone))).toBe('invalid_argument')
  await conversation.delete()
  expect(deleted.at(-1)).toEqual({ conversationId: 'dm:a:b', messageIds: undefined })
})

test('a message is copied, posted, compared and written out as the data that it is', () => {
  const { remote } = aWorker()
  const made = makeMessage(remote, message)
  expect(structuredClone(made)).toEqual(message)
  expect(JSON.parse(JSON.stringify(made))).toEqual(message)
  expect({ ...made }).toEqual(message)
  expect(Object.keys(made)).not.toContain('delete')
})
