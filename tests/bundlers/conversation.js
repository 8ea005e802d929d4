/**
 * What every project of this folder runs: Alice writes to Bob and Bob answers, and the page's title
 * tells how it went. Plain JavaScript, as each bundler takes it. Wallets live outside the page.
 */
import { createClient } from 'padlock-sdk'

const node = new URLSearchParams(location.search).get('node')

const open = async (name) =>
  createClient({
    wallet: {
      address: await window.walletAddress(name),
      signMessage: ({ message }) => window.walletSign(name, message),
    },
    node,
    database: name,
  })

const nextFrom = async (messages, sender) => {
  for await (const message of messages) if (message.sender === sender) return message.content
}

const run = async () => {
  const [alice, bob] = await Promise.all([open('alice'), open('bob')])
  const atBob = nextFrom(bob.messages(), alice.address)
  const atAlice = nextFrom(alice.messages(), bob.address)
  await (await alice.conversation(bob.address)).send('gm', { until: 'sent' })
  const heard = await atBob
  await (await bob.conversation(alice.address)).send(`${heard}, and good night`, { until: 'sent' })
  const answer = await atAlice
  await Promise.all([alice.close(), bob.close()])
  return answer
}

run().then(
  (answer) => {
    document.title = `answer: ${answer}`
  },
  (error) => {
    document.title = `error: ${error.code} ${error.message} ${error.cause ?? ''}`
  },
)
