/** axe, a tool for accessibility: its script, to be run in a page, and what it objects to there. */
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import type { AxeResults } from 'axe-core'

/** Gives a page the global `axe`. */
export const axeSource = readFileSync(
  createRequire(import.meta.url).resolve('axe-core/axe.min.js'),
  'utf8',
)

/** @throws Error when axe found next to nothing to look at: it was not the page that was meant. */
export const listObjections = ({ passes, violations }: AxeResults): readonly string[] => {
  if (passes.length <= 10) throw new Error(`axe looked at ${passes.length} things only`)
  return violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(' ')}`)
}
