/** Reads the command line and the environment: what they ask for, or what is wrong with them. */
import { parseArgs } from 'node:util'
import { Problem } from './kinds.ts'
import {
  type Option,
  type OptionName,
  optionNames,
  optionTable,
  type Settings,
  variableOf,
} from './table.ts'

export type Environment = Readonly<Record<string, string | undefined>>

export type Asked =
  | { readonly kind: 'run'; readonly settings: Settings; readonly warnings: readonly string[] }
  | { readonly kind: 'help' }
  | { readonly kind: 'version' }
  /** A sentence for the operator; it holds no password. */
  | { readonly kind: 'problem'; readonly sentence: string }

/** The command line wins over the environment, and both over the defaults. */
export function readOptions(args: readonly string[], environment: Environment): Asked {
  try {
    const { values } = parseArgs({ args: [...args], options: parseArgsOptions })
    if (values.help === true) return { kind: 'help' }
    if (values.version === true) return { kind: 'version' }
    const texts: Readonly<Record<string, unknown>> = values
    const given = new Map<OptionName, Given>()
    for (const name of optionNames) {
      const found = findGiven(name, texts[name], environment)
      if (found !== undefined) given.set(name, found)
    }
    const settings = readSettings(given)
    checkTogether(settings, given)
    return { kind: 'run', settings, warnings: unknownVariables(environment) }
  } catch (error) {
    if (error instanceof Refused) return { kind: 'problem', sentence: error.message }
    const message = error instanceof Error ? error.message : 'Wrong arguments'
    // The first sentence, without advice about positional arguments, and without a URL's password.
    const [first = ''] = message.split(/[.\n] ?/, 1)
    const shown = message.includes('://') ? 'Unexpected argument' : first
    return { kind: 'problem', sentence: `${shown}. Try --help.` }
  }
}

/** Stops the reading; the message is a sentence. */
class Refused extends Error {}

interface Given {
  /** `--name` or `PADLOCK_NAME`, as it was used. */
  readonly source: string
  readonly texts: readonly string[]
}

const parseArgsOptions = {
  ...Object.fromEntries(
    optionNames.map((name) => [name, { type: 'string' as const, multiple: true as const }]),
  ),
  help: { type: 'boolean' as const },
  version: { type: 'boolean' as const },
}

function findGiven(
  name: OptionName,
  argument: unknown,
  environment: Environment,
): Given | undefined {
  if (Array.isArray(argument)) return { source: `--${name}`, texts: argument.map(String) }
  const variable = variableOf(name)
  const text = environment[variable]
  // Compose files and units set an option that they leave out to an empty text.
  if (text === undefined || text === '') return undefined
  const described: Option<unknown> = optionTable[name]
  const isRepeatable = described.kind.isRepeatable === true
  const texts = isRepeatable ? text.split(',').map((part) => part.trim()) : [text]
  return { source: variable, texts }
}

function readSettings(given: ReadonlyMap<OptionName, Given>): Settings {
  const read: Partial<Record<OptionName, unknown>> = {}
  for (const name of optionNames) {
    const described: Option<unknown> = optionTable[name]
    const { source, texts } = given.get(name) ?? byDefault(name, described)
    const value = texts === undefined ? undefined : described.kind.read(texts)
    if (value instanceof Problem) throw new Refused(`${source} ${value.why}`)
    read[name] = value
  }
  // Each value was read by the kind in the table.
  return read as Settings
}

function byDefault(name: OptionName, described: Option<unknown>) {
  const source = `--${name}`
  if (described.default === undefined) return { source, texts: undefined }
  return { source, texts: described.default === '' ? [] : [described.default] }
}

/** Options that do not go together. */
function checkTogether(settings: Settings, given: ReadonlyMap<OptionName, Given>): void {
  const both = (one: OptionName, other: OptionName) =>
    `${given.get(one)?.source} and ${given.get(other)?.source}`
  if (given.has('data') && given.has('database')) {
    throw new Refused(`${both('data', 'database')} are given: choose one.`)
  }
  for (const name of ['doorbell', 'database-connections'] as const) {
    if (given.has(name) && settings.database === undefined) {
      throw new Refused(`${given.get(name)?.source} is about PostgreSQL: give --database too.`)
    }
  }
  if ((settings['tls-cert'] === undefined) !== (settings['tls-key'] === undefined)) {
    throw new Refused('--tls-cert and --tls-key belong together: give both, or neither.')
  }
  if (settings['request-timeout'] < settings['headers-timeout']) {
    throw new Refused(
      '--request-timeout includes the headers: it cannot be below --headers-timeout.',
    )
  }
}

/** A variable that looks like an option and is not one is probably a typing mistake. */
function unknownVariables(environment: Environment): readonly string[] {
  const known = new Set(optionNames.map(variableOf))
  return Object.keys(environment)
    .filter((name) => /^PADLOCK_(?!TEST_)/.test(name) && !known.has(name))
    .map((name) => `${name} is not an option of this release`)
}
