/** The `padlock-node` command: runs a node, or one of the commands around one. */
import packageJson from '../package.json' with { type: 'json' }
import { settleAllocator } from './allocator.ts'
import { helpText } from './options/help.ts'
import { readOptions } from './options/read.ts'

const { version } = packageJson

interface Command {
  /** Prints what it found or did. @returns its exit code. */
  run(args: readonly string[]): Promise<number>
}

// Each is loaded on demand.
const commands = new Map<string, () => Promise<Command>>([
  ['backup', () => import('./commands/backup.ts')],
  ['restore', () => import('./commands/restore.ts')],
  ['check', () => import('./commands/check.ts')],
])

/** Does what the arguments say; a failure is a sentence on standard error and an exit code. */
export async function runCommandLine(args: readonly string[]): Promise<void> {
  const [first = '', ...rest] = args
  const command = commands.get(first)
  if (command === undefined) {
    await runNode(args)
  } else {
    const { run } = await command()
    process.exitCode = await run(rest)
  }
}

async function runNode(args: readonly string[]): Promise<void> {
  const asked = readOptions(args, process.env)
  switch (asked.kind) {
    case 'help':
      console.log(helpText(version))
      return
    case 'version':
      console.log(version)
      return
    case 'problem':
      console.error(`padlock-node: ${asked.sentence}`)
      process.exitCode = 1
      return
    case 'run': {
      settleAllocator()
      const { run } = await import('./run.ts')
      await run(version, asked.settings, asked.warnings)
    }
  }
}
