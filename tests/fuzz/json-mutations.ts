/**
 * Damage to JSON requests: wrong types, numbers out of range, doubled keys, depth, text that is not
 * UTF-8, and bytes after the end. All choices come from the seed.
 */
import type { Mutated } from './mutations.ts'
import type { Random } from './samples.ts'

// A value that no request has, to be replaced by text that JSON.stringify would never write.
const placeholder = '\u0001here'

const strangeValues = [
  'null',
  'true',
  '0',
  '-1',
  '1.5',
  '1e400',
  '-1e400',
  '18446744073709551616',
  '99999999999999999999999999999999999999',
  '"18446744073709551616"',
  '"-1"',
  '"1e3"',
  '"NaN"',
  '""',
  '"\\ud800"',
  '"\\u0000"',
  '"not base64 !!"',
  '"AA="',
  '[]',
  '{}',
  '[[[[]]]]',
  '{"__proto__":{"a":1}}',
  '{"constructor":{"prototype":{}}}',
  '{"toString":1}',
  'NaN',
  'undefined',
  '01',
  "'x'",
  '"unended',
]

const deep = (random: Random): string => {
  const depth = random.pick([50, 2_000, 100_000])
  const open = random.pick(['[', '{"a":'])
  const close = open === '[' ? ']' : '}'
  return `${open.repeat(depth)}1${random.chance(0.5) ? close.repeat(depth) : ''}`
}

/** All places in a value, each as a way to put something else there. */
function placesOf(value: unknown, put: (changed: unknown) => unknown): ((v: unknown) => unknown)[] {
  const here = [put]
  if (Array.isArray(value)) {
    const items: readonly unknown[] = value
    for (const [index, item] of items.entries()) {
      here.push(...placesOf(item, (changed) => put(items.with(index, changed))))
    }
  } else if (typeof value === 'object' && value !== null) {
    for (const [name, item] of Object.entries(value)) {
      here.push(...placesOf(item, (changed) => put({ ...value, [name]: changed })))
    }
  }
  return here
}

/** Puts text, which need not be JSON, anywhere in a JSON text. */
function replaced(text: string, raw: string, random: Random): string {
  const places = placesOf(JSON.parse(text), (changed) => changed)
  const changed = random.pick(places)(placeholder)
  return JSON.stringify(changed).replace(JSON.stringify(placeholder), () => raw)
}

const damages: { readonly [what: string]: (text: string, random: Random) => string | Uint8Array } =
  {
    'a wrong value': (text, random) => replaced(text, random.pick(strangeValues), random),
    'great depth': (text, random) => replaced(text, deep(random), random),
    'an unknown key': (text, random) =>
      text.replace('{', `{"unknown":${random.pick(strangeValues)},`),
    'a doubled key': (text) => `{"envelopes":[],"topics":[],"claimId":"",${text.slice(1)}`,
    'a bit of the text': (text, random) => {
      const bytes = Buffer.from(text)
      const at = random.below(bytes.length)
      bytes[at] = (bytes[at] ?? 0) ^ (1 << random.below(8))
      return bytes
    },
    'cut off': (text, random) => text.slice(0, random.below(text.length)),
    'trailing data': (text, random) => `${text}${random.pick(['{}', ',', '\0', 'x', ']', text])}`,
    'a byte order mark': (text) => `\ufeff${text}`,
    'a comment': (text) => `/* hello */ ${text}`,
    'much space': (text) => `${' '.repeat(100_000)}${text}`,
    'no UTF-8': (text, random) => {
      const at = random.below(text.length)
      const wrong = Uint8Array.of(0xff, 0xc0, 0x80)
      return Buffer.concat([Buffer.from(text.slice(0, at)), wrong, Buffer.from(text.slice(at))])
    },
    'another encoding': (text) => Buffer.from(text, 'utf16le'),
    'no object': (_, random) => random.pick(strangeValues),
    'a long list': (text, random) =>
      replaced(text, `[${Array(5_000).fill(random.pick(['{}', '""', 'null', '[]']))}]`, random),
  }

/** One damage to a JSON text. */
export function mutateJson(text: string, random: Random): Mutated {
  const what = random.pick(Object.keys(damages))
  const changed = damages[what]?.(text, random) ?? text
  return {
    what: `JSON: ${what}`,
    bytes: typeof changed === 'string' ? Buffer.from(changed) : changed,
  }
}
