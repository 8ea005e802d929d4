/** The kinds of option values: each reads a text, or says what it expects. */
import { parseChainOptions } from '../chains/chain-option.ts'
import { type Rates, rateDefaults } from '../limits/rates.ts'
import { type AddressRange, readRange } from '../server/proxies.ts'
import { urlsOf } from '../store/postgres/urls.ts'

/** Why a text is not a value, as the end of a sentence that begins with the option. */
export class Problem {
  readonly why: string

  constructor(why: string) {
    this.why = why
  }
}

/** A way to write a value. */
export interface Kind<T> {
  /** What stands for a value in the help: `<folder>`. */
  readonly placeholder: string
  /** May be given several times; in its variable, several texts with commas between. */
  readonly isRepeatable?: boolean
  read(texts: readonly string[]): T | Problem
}

const single = <T>(placeholder: string, read: (text: string) => T | Problem): Kind<T> => ({
  placeholder,
  read: ([text = '', ...more]) =>
    more.length > 0 ? new Problem('is given more than once.') : read(text),
})

/** Any text but an empty one. */
export const aText = (placeholder: string): Kind<string> =>
  single(placeholder, (text) => (text === '' ? new Problem('needs a value.') : text))

/** One of a few words. */
export const oneOf = <const W extends string>(...words: readonly W[]): Kind<W> =>
  single(words.join('|'), (text) => {
    const word = words.find((known) => known === text)
    return word ?? new Problem(`${text} is not one of ${words.join(', ')}.`)
  })

const wholeNumber = (text: string, from: number, to: number): number | undefined => {
  const value = Number(text)
  return /^\d{1,15}$/.test(text) && value >= from && value <= to ? value : undefined
}

/** A whole number within bounds, these included. */
export const aCount = (from: number, to: number): Kind<number> =>
  single(
    '<number>',
    (text) =>
      wholeNumber(text, from, to) ??
      new Problem(`${text} is not a whole number from ${from} to ${to}.`),
  )

const readPort = (text: string): number | Problem =>
  wholeNumber(text, 0, 65_535) ?? new Problem(`${text} is not a port number (0 to 65535).`)

/** A TCP port; 0 is any free one. */
export const aPort: Kind<number> = single('<port>', readPort)

/** A TCP port, or nothing. */
export const aPortOrOff: Kind<number | undefined> = single('<port>|off', (text) =>
  text === 'off' ? undefined : readPort(text),
)

const units = (table: Readonly<Record<string, number>>, bare: number) => {
  const pattern = new RegExp(`^(\\d{1,12})(${Object.keys(table).join('|')})?$`)
  return (text: string): number | undefined => {
    const [, digits, unit] = pattern.exec(text) ?? []
    if (digits === undefined) return undefined
    return Number(digits) * (unit === undefined ? bare : (table[unit] ?? Number.NaN))
  }
}

const milliseconds = units({ ms: 1, s: 1_000, m: 60_000, h: 3_600_000 }, 1_000)
/** Bytes, of a text such as 1GiB; undefined if it is not one. */
export const readSize = units({ KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3 }, 1)

interface Measure {
  /** `time`, as the help and problems call it. */
  readonly noun: string
  readonly read: (text: string) => number | undefined
  readonly show: (value: number) => string
  readonly examples: string
}

/** A measure within bounds, these included. */
const within =
  ({ noun, read, show, examples }: Measure) =>
  (from: number, to: number): Kind<number> =>
    single(`<${noun}>`, (text) => {
      const value = read(text)
      if (value !== undefined && value >= from && value <= to) return value
      const bounds = `${show(from)} to ${show(to)}`
      return new Problem(`${text} is not a ${noun} from ${bounds}, such as ${examples}.`)
    })

/** A time as it is written in an option. */
export const showTime = (ms: number): string => {
  if (ms % 60_000 === 0 && ms > 0) return `${ms / 60_000}m`
  return ms % 1_000 === 0 ? `${ms / 1_000}s` : `${ms}ms`
}

/** A size as it is written in an option. */
export const showSize = (size: number): string => {
  for (const [unit, of] of [
    ['GiB', 1024 ** 3],
    ['MiB', 1024 ** 2],
    ['KiB', 1024],
  ] as const) {
    if (size >= of && size % of === 0) return `${size / of}${unit}`
  }
  return `${size}`
}

/** A time with its unit, in milliseconds; without a unit, of seconds. */
export const aTime = within({
  noun: 'time',
  read: milliseconds,
  show: showTime,
  examples: '500ms, 30s or 2m',
})

/** An amount of bytes. */
export const aSize = within({
  noun: 'size',
  read: readSize,
  show: showSize,
  examples: '64KiB, 32MiB or 1GiB',
})

/** The connection string of a PostgreSQL. It may hold a password, so a problem repeats none of it. */
export const aDatabase: Kind<string> = single('<url>', (text) => {
  const isPostgres =
    /^postgres(ql)?:\/\//.test(text) && urlsOf(text).every((url) => URL.canParse(url))
  return isPostgres ? text : new Problem('is not a URL of the form postgres://user@host:5432/name.')
})

/** Chains by id with the URL of a server for each, which may hold a key. */
export const chains: Kind<ReadonlyMap<bigint, string>> = {
  placeholder: '<id>=<url>',
  isRepeatable: true,
  read(texts) {
    const read = parseChainOptions(texts)
    return 'problem' in read ? new Problem(`is not right. ${read.problem}`) : read
  },
}

/** Ranges of addresses; undefined for none given. */
export const ranges: Kind<readonly AddressRange[] | undefined> = {
  placeholder: '<range>',
  isRepeatable: true,
  read(texts) {
    const given = texts.filter((text) => text !== '')
    const read: AddressRange[] = []
    for (const text of given) {
      const range = readRange(text)
      if (range === undefined) {
        return new Problem(`${text} is not a range of addresses, such as 10.0.0.0/8.`)
      }
      read.push(range)
    }
    return read.length === 0 ? undefined : read
  },
}

const kebab = (name: string): string =>
  name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)

const isRate = (name: string): name is keyof Rates => name in rateDefaults

/** Each rate by the name that an operator writes: `requests-per-second`. */
export const rateNames: ReadonlyMap<string, keyof Rates> = new Map(
  Object.keys(rateDefaults)
    .filter(isRate)
    .map((name) => [kebab(name), name]),
)

/** Rates by name, or `off` for none at all. */
export const rates: Kind<Partial<Rates> | 'off'> = {
  placeholder: '<name>=<number>|off',
  isRepeatable: true,
  read(texts) {
    if (texts.includes('off')) {
      return texts.length === 1 ? 'off' : new Problem('off leaves nothing to set.')
    }
    const given: Partial<Record<keyof Rates, number>> = {}
    for (const text of texts) {
      const [, written = '', number = ''] = /^([a-z-]+)=(\d{1,15}(?:\.\d{1,6})?)$/.exec(text) ?? []
      const name = rateNames.get(written)
      if (name === undefined) {
        return new Problem(`${text} is not <name>=<number> with a name that --help lists, or off.`)
      }
      if (given[name] !== undefined) return new Problem(`${written} is given more than once.`)
      given[name] = Number(number)
    }
    return given
  },
}
