/**
 * What must not appear in a public tree: folders, users and hosts of the machine that built it, the
 * registries it installs from, and references that only its authors can follow.
 */

/** `prose` is read by people: comments, Markdown, commit messages. `built` is read by machines. */
export type Kind = 'source' | 'prose' | 'built'

export interface Rule {
  readonly pattern: RegExp
  readonly says: string
  readonly kinds: readonly Kind[]
}

export interface Leak {
  readonly line: number
  readonly says: string
  readonly text: string
}

const everywhere: readonly Kind[] = ['source', 'prose', 'built']

/** A path begins here: what precedes it is not part of a longer path, address or expression. */
const start = String.raw`(?<![\w.~)}\]$*@%+-])`

const rules: readonly Rule[] = [
  {
    pattern: new RegExp(`${start}/(?:home|Users|root|work|tmp|private|var/folders)/[\\w.-]+`, 'g'),
    says: 'a folder of one machine',
    kinds: everywhere,
  },
  {
    pattern: /(?:\.cargo\/registry|\.rustup\/toolchains|index\.crates\.io-[0-9a-f]{8})/g,
    says: 'a folder of the Rust tools',
    kinds: ['built'],
  },
  {
    pattern: /\bregistry\.(?:npmjs\.org|yarnpkg\.com|npmmirror\.com)\b|_auth[T]oken/g,
    says: 'a package registry',
    kinds: everywhere,
  },
  { pattern: /\.\.\/shared\b/g, says: 'a folder outside the repository', kinds: everywhere },
  { pattern: /\bissues?\s+#?\d+\b/gi, says: 'the number of an issue', kinds: ['source', 'prose'] },
  {
    pattern: /(?<=^|[\s(])(?<!PKCS )#\d{1,5}\b(?![-\w])/gm,
    says: 'the number of an issue',
    kinds: ['prose'],
  },
]

/** One rule for each word that identifies this machine; short words would match by chance. */
export const rulesFor = (words: readonly string[]): Rule[] =>
  [...new Set(words)]
    .filter((word) => word.length >= 5 && !/^\/(?:usr|tmp|root|home)?$/.test(word))
    .map((word) => ({
      pattern: new RegExp(word.replaceAll(/[^\w]/g, String.raw`\$&`), 'g'),
      says: 'a name of this machine',
      kinds: everywhere,
    }))

/** Finds what must not appear in `text`, with line numbers from 1. */
export const findLeaks = (text: string, kind: Kind, ofThisMachine: readonly Rule[] = []): Leak[] =>
  [...rules, ...ofThisMachine]
    .filter((rule) => rule.kinds.includes(kind))
    .flatMap((rule) =>
      [...text.matchAll(rule.pattern)].map((match) => ({
        line: text.slice(0, match.index).split('\n').length,
        says: rule.says,
        text: match[0],
      })),
    )
