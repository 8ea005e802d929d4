/** Examples are found in Markdown and in doc comments, with the lines they stand on. */
import { expect, test } from 'vitest'
import { findExamples } from '../../scripts/examples.ts'

const fence = '```'

test('a block of a Markdown file is an example, an outline is not', () => {
  const text = `# Title\n\n${fence}ts\nconst a = 1\n\nconst b = 2\n${fence}\n\n${fence}ts outline\nsend(x): y\n${fence}\n`
  expect(findExamples('README.md', text)).toEqual([
    { path: 'README.md', line: 4, code: 'const a = 1\n\nconst b = 2' },
  ])
})

test('a block of a doc comment loses its asterisks', () => {
  const text = `/**\n * Sends.\n * ${fence}ts\n * if (x) {\n *   go()\n *\n * }\n * ${fence}\n */\n`
  expect(findExamples('src/a.ts', text)).toEqual([
    { path: 'src/a.ts', line: 4, code: 'if (x) {\n  go()\n\n}' },
  ])
})

test('an @example of a doc comment ends with the next tag or the comment', () => {
  const text = '/**\n * @example\n * await a()\n * @throws b\n */\n/**\n * @example\n * c()\n */\n'
  expect(findExamples('src/a.ts', text)).toEqual([
    { path: 'src/a.ts', line: 3, code: 'await a()' },
    { path: 'src/a.ts', line: 8, code: 'c()' },
  ])
})

test('a fenced @example is one example, of the lines between its fences', () => {
  const text = `/**\n * @example\n * ${fence}ts\n * a()\n * ${fence}\n */\n`
  expect(findExamples('src/a.ts', text)).toEqual([{ path: 'src/a.ts', line: 4, code: 'a()' }])
})

test('blocks of other languages are left alone', () => {
  expect(findExamples('README.md', `${fence}sh\nnpm ci\n${fence}\n`)).toEqual([])
})
