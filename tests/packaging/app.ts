/**
 * The files of a stranger's project: one page with two people, built by vite, webpack and esbuild
 * without any configuration that concerns Padlock.
 */

/** Alice writes to Bob and Bob answers; the page's title tells how it went. */
const page = (entry: string): string => `
import { createClient } from '${entry}'
import { generatePrivateKey, privateKeyToAccount } from 'viem/accounts'

const node = new URLSearchParams(location.search).get('node')
const open = (database) =>
  createClient({ wallet: privateKeyToAccount(generatePrivateKey()), node, database })

const nextFrom = async (client, sender) => {
  for await (const message of client.messages({ since: undefined })) {
    if (message.sender === sender) return message.content
  }
}

const run = async () => {
  const [alice, bob] = await Promise.all([open('alice'), open('bob')])
  const atBob = nextFrom(bob, alice.address)
  const atAlice = nextFrom(alice, bob.address)
  const toBob = await alice.conversation(bob.address)
  await toBob.send('gm', { until: 'sent' })
  const heard = await atBob
  const toAlice = await bob.conversation(alice.address)
  await toAlice.send(heard + ', and good night', { until: 'sent' })
  const answer = await atAlice
  await Promise.all([alice.close(), bob.close()])
  return answer
}

run().then(
  (answer) => { document.title = 'answer: ' + answer },
  (error) => { document.title = 'error: ' + error.code + ' ' + error.message },
)
`

/** How the page says that both messages arrived. */
export const goodTitle = 'answer: gm, and good night'

const html = (script: string): string =>
  `<!doctype html><meta charset="utf-8"><title>running</title>${script}`

const webpackBuild = `
import { resolve } from 'node:path'
import webpack from 'webpack'

const stats = await new Promise((done, fail) =>
  webpack(
    { mode: 'production', entry: './page.js', output: { path: resolve('webpack-dist') } },
    (error, stats) => (error ? fail(error) : done(stats)),
  ),
)
console.log(stats.toString({ preset: 'errors-warnings' }))
process.exit(stats.hasErrors() ? 1 : 0)
`

/** What an application's own type check reads; it uses no more than the public API. */
const consumer = `
import { type Client, createClient, type Message, PadlockError } from 'padlock-sdk'

export const say = async (client: Client, to: string): Promise<Message> => {
  const chat = await client.conversation(to)
  return chat.send('gm')
}

export const open = (sign: () => Promise<\`0x\${string}\`>): Promise<Client> =>
  createClient({
    wallet: { address: '0x0000000000000000000000000000000000000001', signMessage: sign },
    node: 'https://node.example',
  })

export const isOffline = (error: unknown): boolean =>
  error instanceof PadlockError && error.code === 'network_unavailable'

// @ts-expect-error a node is needed
void createClient({ wallet: {} })
`

/** A project's tsconfig.json; the declarations of packages are checked too. */
const tsconfig = (module: string, moduleResolution: string): string =>
  JSON.stringify({
    compilerOptions: {
      target: 'ES2022',
      lib: ['ES2022', 'DOM', 'DOM.Iterable'],
      module,
      moduleResolution,
      strict: true,
      noEmit: true,
      skipLibCheck: false,
      types: [],
    },
    files: ['consumer.ts'],
  })

const server = `
import { createClient } from 'padlock-sdk'
const wallet = { address: '0x0000000000000000000000000000000000000001', signMessage: async () => '0x' }
createClient({ wallet, node: 'https://node.example' }).then(
  () => console.log('opened'),
  (error) => console.log(error.code),
)
`

/** The files of the project, by their paths. */
export const appFiles: Readonly<Record<string, string>> = {
  'page.js': page('padlock-sdk'),
  'inline-page.js': page('padlock-sdk/inline'),
  'inline-dist/index.html': html('<script type="module" src="./page.js"></script>'),
  'index.html': html('<script type="module" src="./page.js"></script>'),
  'webpack-dist/index.html': html('<script defer src="./main.js"></script>'),
  'build-webpack.js': webpackBuild,
  'consumer.ts': consumer,
  'tsconfig.bundler.json': tsconfig('ESNext', 'bundler'),
  'tsconfig.nodenext.json': tsconfig('NodeNext', 'NodeNext'),
  'server.js': server,
}
