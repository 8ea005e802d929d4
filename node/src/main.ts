#!/usr/bin/env node
/**
 * Where `padlock-node` begins: looks at Node's version before anything loads that an old one does not
 * have. So nothing may be imported here but the question itself.
 */
import { whyTooOld } from './node-version.ts'

const problem = whyTooOld(process.versions.node)
if (problem === undefined) {
  const { runCommandLine } = await import('./command.ts')
  await runCommandLine(process.argv.slice(2))
} else {
  console.error(`padlock-node: ${problem}`)
  process.exitCode = 1
}
