/**
 * Writes tests/browser/newer-apis.json: what browsers have added since the oldest ones that Padlock
 * supports. The test removes all of it and sends messages without it.
 *
 *     node scripts/list-newer-apis.ts <data.json of @mdn/browser-compat-data>
 *
 * Run it when the oldest browsers change (scripts/bundle.ts); the data set is not a dependency.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { oldestBrowsers } from './bundle.ts'
import { root } from './files.ts'

type Json = Readonly<Record<string, unknown>>

const isJson = (value: unknown): value is Json => typeof value === 'object' && value !== null

/** `{ chrome: 111, … }` of `['chrome111', …]`. */
const oldest = oldestBrowsers.map((text): readonly [string, number] => {
  const [, name = '', version = ''] = /^([a-z]+)([\d.]+)$/.exec(text) ?? []
  return [name, Number(version)]
})

/** The first version that has it without a flag or prefix; Infinity if none has. */
const sinceVersion = (statement: unknown): number => {
  const versions = (Array.isArray(statement) ? statement : [statement])
    .filter(isJson)
    .filter(({ flags, prefix, alternative_name, version_removed }) =>
      [flags, prefix, alternative_name, version_removed].every((given) => given === undefined),
    )
    .map(({ version_added }) => Number(String(version_added).replace('≤', '')))
    .filter((version) => !Number.isNaN(version))
  return Math.min(...versions, Number.POSITIVE_INFINITY)
}

const isNewer = (feature: unknown): boolean => {
  if (!isJson(feature) || !isJson(feature.__compat)) return false
  const { support } = feature.__compat
  return isJson(support) && oldest.some(([name, version]) => sinceVersion(support[name]) > version)
}

const isName = (name: string): boolean => /^[A-Za-z]\w*$/.test(name) && !/_event$/.test(name)

/** `Interface` or `Interface.member`, whether of the constructor or of its prototype. */
const listNewer = (interfaces: unknown): string[] => {
  if (!isJson(interfaces)) return []
  return Object.entries(interfaces).flatMap(([name, members]) => {
    if (!isName(name) || !isJson(members)) return []
    if (isNewer(members)) return [name]
    return Object.entries(members)
      .filter(([member, feature]) => isName(member) && isNewer(feature))
      .map(([member]) => `${name}.${member.replace(/_static$/, '')}`)
      .filter((path) => path !== `${name}.${name}`)
  })
}

const [path = ''] = process.argv.slice(2)
const data: unknown = JSON.parse(readFileSync(path, 'utf8'))
const { api, javascript } = isJson(data) ? data : {}
const builtins = isJson(javascript) ? javascript.builtins : undefined
const names = [...new Set([...listNewer(api), ...listNewer(builtins)])].sort()
writeFileSync(
  join(root, 'tests/browser/newer-apis.json'),
  `${JSON.stringify(names, undefined, 2)}\n`,
)
console.log(`${names.length} names`)
