/**
 * Finds the TypeScript examples of Markdown files and doc comments.
 */

export interface Example {
  /** The example's file, relative to the checkout. */
  readonly path: string
  /** Line number of its first line of code, from 1. */
  readonly line: number
  readonly code: string
}

interface Open {
  readonly line: number
  readonly code: string[]
  /** Fenced blocks end with their fence, an `@example` with the next tag or the comment. */
  readonly isFenced: boolean
}

const fence = /^```/
const nextTag = /^(?:@\w|\/$)/

/** Strips a doc comment line's prefix: `   * code` becomes `code`. */
const readCommentLine = (raw: string): string => raw.replace(/^\s*\*(?: |(?=\/$)|$)/, '')

/**
 * Every
 * ```` ```ts ```` block of `text`, and in TypeScript every `@example`, as plain code. A block that is not a program, such as a list of signatures, opens with ```` ```ts outline ````
 * and is left out.
 */
export const findExamples = (path: string, text: string): Example[] => {
  const isScript = path.endsWith('.ts')
  const examples: Example[] = []
  let open: Open | undefined
  const close = (): void => {
    if (open) examples.push({ path, line: open.line, code: open.code.join('\n').trimEnd() })
    open = undefined
  }
  for (const [index, raw] of text.split('\n').entries()) {
    const line = isScript ? readCommentLine(raw) : raw
    if (open === undefined) {
      const isInComment = !isScript || /^\s*\*/.test(raw)
      if (isInComment && /^```ts\s*$/.test(line)) {
        open = { line: index + 2, code: [], isFenced: true }
      } else if (isScript && isInComment && /^@example\s*$/.test(line)) {
        open = { line: index + 2, code: [], isFenced: false }
      }
    } else if (fence.test(line) && open.code.length === 0 && !open.isFenced) {
      // An `@example` whose code is fenced: the block itself is the example, if it is TypeScript.
      open = /^```ts\s*$/.test(line) ? { line: index + 2, code: [], isFenced: true } : undefined
    } else if (open.isFenced ? fence.test(line) : nextTag.test(line)) {
      close()
    } else {
      open.code.push(line)
    }
  }
  close()
  return examples
}
