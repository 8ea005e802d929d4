/** Searches the tree, the commit messages and everything built for the patterns in leaks.ts. */
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { homedir, hostname, userInfo } from 'node:os'
import { extname, join } from 'node:path'
import { parseSync } from 'vite'
import { listFilesBelow, listSourceFiles, root } from './files.ts'
import { isScript } from './imports.ts'
import { findLeaks, type Kind, type Leak, rulesFor } from './leaks.ts'

const hostsIn = (text: string): string[] =>
  [...text.matchAll(/https?:\/\/([\w.-]+)/g)].map((match) => match[1] ?? '')

/** Hosts that this machine's settings point npm and cargo to, except the public ones. */
const listRegistryHosts = (): string[] => {
  const cargoHome = process.env.CARGO_HOME ?? join(homedir(), '.cargo')
  const files = [
    join(cargoHome, 'config.toml'),
    join(cargoHome, 'config'),
    join(homedir(), '.npmrc'),
  ]
  const settings = files
    .filter((path) => existsSync(path))
    .map((path) => readFileSync(path, 'utf8'))
  const variables = [process.env.npm_config_registry ?? '', process.env.CARGO_REGISTRY_INDEX ?? '']
  const isPublic = /(?:^|\.)(?:github\.com|crates\.io|npmjs\.org)$/
  return [...settings, ...variables].flatMap(hostsIn).filter((host) => !isPublic.test(host))
}

const ofThisMachine = rulesFor([
  root,
  homedir(),
  userInfo().username,
  hostname(),
  ...listRegistryHosts(),
])

let found = 0
const report = (where: string, leaks: readonly Leak[]): void => {
  found += leaks.length
  for (const { line, says, text } of leaks) console.log(`${where}:${line}: ${says}: ${text}`)
}

/** Only the comments, each still on its line. */
const blankCode = (path: string, text: string): string => {
  let blank = text.replaceAll(/[^\n]/g, ' ')
  for (const { start, end } of parseSync(path, text).comments) {
    blank = blank.slice(0, start) + text.slice(start, end) + blank.slice(end)
  }
  return blank
}

const readLineComments = (text: string): string =>
  text.replaceAll(/^(?!\s*(?:\/\/|\*|\/\*)).*$/gm, '')

/** The part of a file that people read as prose; nothing for files that have none. */
const readProse = (path: string, text: string): string => {
  if (extname(path) === '.md') return text
  if (isScript(path)) return blankCode(path, text)
  return ['.rs', '.proto', '.css'].includes(extname(path)) ? readLineComments(text) : ''
}

const inBoth = (a: readonly Leak[], b: readonly Leak[]): Leak[] => {
  const known = new Set(a.map((leak) => `${leak.line} ${leak.text}`))
  return [...a, ...b.filter((leak) => !known.has(`${leak.line} ${leak.text}`))]
}

const sources = listSourceFiles()
for (const path of sources) {
  // Cargo names the one public index by its address, the same for everyone.
  if (path.endsWith('Cargo.lock')) continue
  const text = readFileSync(join(root, path), 'utf8')
  const prose = findLeaks(readProse(path, text), 'prose', ofThisMachine)
  report(path, inBoth(findLeaks(text, 'source', ofThisMachine), prose))
}

const log = execFileSync('git', ['log', '--format=%H%n%B'], {
  cwd: root,
  encoding: 'utf8',
  maxBuffer: 64 * 2 ** 20,
})
for (const message of log.split(/^(?=[0-9a-f]{40}$)/m)) {
  report(`commit ${message.slice(0, 10)}`, findLeaks(message, 'prose', ofThisMachine))
}

const built = ['dist', 'node/dist', 'demo/dist', 'wasm/pkg'].flatMap(listFilesBelow)
for (const path of built) {
  const kind: Kind = 'built'
  report(path, findLeaks(readFileSync(join(root, path), 'latin1'), kind, ofThisMachine))
}

console.log(`${sources.length} source and ${built.length} built files searched, ${found} leaks`)
process.exit(found === 0 ? 0 : 1)
