#!/usr/bin/env node
/**
 * Where `padlock-node` begins: checks Node's version before it loads anything that an old Node
 * lacks. So this file may import nothing but the check itself.
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
