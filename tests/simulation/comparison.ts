/** The same day with and without strangers: what they may cost honest people. */
import type { Outcome } from './run.ts'

/** Of honest messages, to whoever is there. */
const slower = 2
/** Who was away reads first what strangers put into the inbox meanwhile. */
const msPerEnvelope = 1
/**
 * What is read at a start besides the installations of accounts that are followed: sessions, conversations
 * and the like of the strangers among them.
 */
const recordsMore = 500

/** @returns what strangers cost more than they may */
export const compareDays = (without: Outcome, beside: Outcome): readonly string[] => {
  if (!without.quiet || !beside.quiet) return ['no quiet day was lived through']
  const problems: string[] = []
  const { put, held, readAtStart } = beside.quiet
  const toRead = (put.envelopes / beside.devices) * msPerEnvelope
  const wereAway = new Set(beside.quiet.found)
  const texts = Object.keys(without.quiet.delays)
  if (texts.length === 0) problems.push('nobody wrote to anybody')
  for (const text of texts) {
    const before = without.quiet.delays[text] ?? 0
    const after = beside.quiet.delays[text] ?? Number.POSITIVE_INFINITY
    const limit = slower * before + (wereAway.has(text) ? toRead : 0)
    if (after > limit) {
      problems.push(`${text}: ${after.toFixed(0)} ms, without strangers ${before.toFixed(0)} ms`)
    }
  }
  const mayRead = without.quiet.readAtStart + (held.installations ?? 0) + recordsMore
  if (readAtStart > mayRead) {
    problems.push(`a start reads ${readAtStart} records, allowed are ${mayRead}`)
  }
  return problems
}

/** How many times as long honest messages took: on average and at worst, to whoever was there. */
export const slowdownOf = (without: Outcome, beside: Outcome) => {
  const ratios = Object.entries(without.quiet?.delays ?? {}).flatMap(([text, before]) =>
    beside.quiet && !beside.quiet.found.includes(text)
      ? [(beside.quiet.delays[text] ?? Number.POSITIVE_INFINITY) / before]
      : [],
  )
  const sum = ratios.reduce((total, ratio) => total + ratio, 0)
  return { mean: sum / ratios.length, worst: Math.max(...ratios) }
}
