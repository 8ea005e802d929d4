/** The leak check finds what must not be public, and nothing else. */
import { expect, test } from 'vitest'
import { findLeaks, type Kind, rulesFor } from '../../scripts/leaks.ts'

// Put together here, so that this file passes the check that it tests.
const folder = (...parts: readonly string[]): string => ['', ...parts].join('/')

const find = (text: string, kind: Kind = 'source'): string[] =>
  findLeaks(text, kind).map((leak) => leak.text)

test('folders of a machine are found wherever they stand', () => {
  for (const path of [
    folder('home', 'someone', 'x'),
    folder('root', '.cargo'),
    folder('tmp', 'a.log'),
  ]) {
    expect(find(`see ${path}`)).toHaveLength(1)
    expect(find(`"${path}"`, 'built')).toHaveLength(1)
    expect(find(`--data=${path}`)).toHaveLength(1)
  }
})

test('addresses, relative paths and expressions are not folders of a machine', () => {
  for (const text of [
    `https://example.org${folder('home', 'x')}`,
    `.${folder('tmp', 'x')}`,
    `\${base}${folder('tmp', 'x')}`,
    `$CARGO_HOME${folder('root', 'x')}`,
    folder('usr', 'bin', 'chromium'),
  ]) {
    expect(find(text), text).toEqual([])
  }
})

test('numbers of issues are found in prose, colours and headings are not', () => {
  const number = `#${12}`
  expect(find(`as ${number} says`, 'prose')).toEqual([number])
  expect(find(`(${number})`, 'prose')).toEqual([number])
  expect(find(`issue ${7}`, 'source')).toHaveLength(1)
  expect(find(`color: ${number}3`, 'source')).toEqual([])
  expect(find(`[x](${number}-heading) and PKCS #${7}`, 'prose')).toEqual([])
})

test('a leak is reported with its line', () => {
  expect(findLeaks(`one\ntwo ${folder('root', 'x')}`, 'source')[0]?.line).toBe(2)
})

test('words of this machine are found, short ones are left alone', () => {
  const rules = rulesFor(['mirror.example', 'vm', '/', folder('root')])
  expect(findLeaks('get mirror.example now', 'source', rules)).toHaveLength(1)
  expect(findLeaks('get mirrorXexample, a vm', 'source', rules)).toEqual([])
})
