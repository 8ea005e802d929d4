/** Prints what a check found. */
import type { CheckReport } from '../store/check/report.ts'
import { readableBytes } from './command-line.ts'

/** Counts to standard output, problems to standard error. */
export function printReport(what: string, report: CheckReport): void {
  const { counts, nodeId, problems, problemCount, schemaVersion } = report
  const say = (name: string, text: string): void => console.log(`${name.padEnd(14)}${text}`)
  say('checked', what)
  say('node id', nodeId === undefined ? 'none' : Buffer.from(nodeId).toString('hex'))
  say('schema', `${schemaVersion}`)
  say('topics', `${counts.topics}`)
  say('envelopes', `${counts.envelopes}, ${readableBytes(counts.bytes)}`)
  say('bundles', `${counts.bundles}`)
  say('revocations', `${counts.revocations}`)
  say('accounts', `${counts.accounts}, with ${counts.installations} installations`)
  say('prekeys', `${counts.prekeys} in stock, ${counts.claims} claims remembered`)
  if (counts.contractSignatures > 0) {
    say('not checked', `${counts.contractSignatures} signatures of contracts: only a chain can`)
  }
  for (const { place, sequence, what: text } of problems) {
    console.error(`${place}${sequence === undefined ? '' : ` ${sequence}`}: ${text}`)
  }
  const left = problemCount - problems.length
  if (left > 0) console.error(`and ${left} more problems`)
  say('problems', problemCount === 0 ? 'none' : `${problemCount}`)
}
