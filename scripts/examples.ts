/**
 * Finds the TypeScript examples of Markdown files and doc comments.
 */

export interface Example {
  /** File the example stands in, relative to the checkout. */
  readonly path: string
  /** Line of its first line of code, from 1. */
  readonly line: number
  readonly code: string
}

/**
 * Every ```` ```ts ```` block of `text`, with the comment's asterisks taken off. A block that is no
 * program, such as a list of signatures, opens with ```` ```ts outline ```` and is left out.
 */
export const findExamples = (path: string, text: string): Example[] => {
  const examples: Example[] = []
  let code: string[] | undefined
  let line = 0
  let prefix = ''
  for (const [index, raw] of text.split('\n').entries()) {
    if (code === undefined) {
      const opening = /^(\s*(?:\*|\/\/[/!])? ?\s*)```ts\s*$/.exec(raw)
      if (opening) {
        prefix = opening[1] ?? ''
        code = []
        line = index + 2
      }
    } else if (raw.slice(prefix.length).startsWith('```')) {
      examples.push({ path, line, code: code.join('\n') })
      code = undefined
    } else {
      code.push(
        raw.startsWith(prefix) ? raw.slice(prefix.length) : raw.slice(prefix.trimEnd().length),
      )
    }
  }
  return examples
}
