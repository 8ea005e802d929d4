/** Reads what tests compare in the Markdown of README.md and docs/: blocks, tables, headings, links. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { listSourceFiles, root } from '../../scripts/files.ts'

export interface Block {
  /** Line of its first line of code, from 1. */
  readonly line: number
  readonly code: string
}

export const readText = (path: string): string => readFileSync(join(root, path), 'utf8')

/** Every Markdown file that people read as documentation. */
export const documents = (): readonly string[] =>
  listSourceFiles().filter((path) =>
    /^(?:[A-Z]+|docs\/[\w-]+|tests\/vectors\/README)\.md$/.test(path),
  )

/** The fenced blocks of a language. */
export const blocksOf = (text: string, language: string): readonly Block[] => {
  const fences = text.matchAll(new RegExp(`^\`\`\`${language}\n(.*?)^\`\`\`$`, 'gms'))
  return [...fences].map(({ index, 1: code = '' }) => ({
    line: text.slice(0, index).split('\n').length + 1,
    code,
  }))
}

/** The \`\`\`ts blocks below the comments that mark them as runnable. */
export const runnableBlocks = (text: string): readonly Block[] =>
  [...text.matchAll(/^<!-- runnable\b.*-->\n(?=```ts$)/gm)].map((marker) => {
    const start = text.slice(0, marker.index + marker[0].length)
    const [block] = blocksOf(text.slice(start.length), 'ts')
    if (!block) throw new Error('no block follows the mark')
    return { ...block, line: block.line + start.split('\n').length - 1 }
  })

/** The blocks below a comment such as `<!-- file: chat.tsx -->`, by the name that it gives. */
export const fileBlocks = (text: string): ReadonlyMap<string, string> => {
  const blocks = text.matchAll(/^<!-- file: (\S+) -->\n```tsx?\n(.*?)^```$/gms)
  return new Map([...blocks].map(([, name = '', code = '']) => [name, code]))
}

/** The rows of the first table whose head begins with these cells, each as its trimmed cells. */
export const tableBelow = (
  text: string,
  head: readonly string[],
): readonly (readonly string[])[] => {
  const lines = text.split('\n')
  const at = lines.findIndex((line) => line.startsWith(`| ${head.join(' | ')} |`))
  if (at < 0) throw new Error(`no table has the head ${head.join(', ')}`)
  const rest = lines.slice(at + 2)
  const end = rest.findIndex((line) => !line.startsWith('|'))
  return rest.slice(0, end < 0 ? undefined : end).map((line) =>
    line
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim()),
  )
}

/** The words in backticks of a cell. */
export const codesIn = (cell: string): readonly string[] =>
  [...cell.matchAll(/`(\w+)`/g)].map(([, code = '']) => code)

/** The anchors that a document's headings make. */
export const anchorsOf = (text: string): readonly string[] =>
  [...text.matchAll(/^#+ (.+)$/gm)].map(([, title = '']) =>
    title
      .toLowerCase()
      .replaceAll(/[^\w\- ]/g, '')
      .replaceAll(' ', '-'),
  )

/** Where links lead, those to other sites left out. */
export const linksOf = (text: string): readonly string[] =>
  [...text.matchAll(/\]\(([^)\s]+)\)/g)]
    .map(([, target = '']) => target)
    .filter((target) => !/^[a-z]+:/.test(target))
