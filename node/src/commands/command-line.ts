/**
 * What the commands around a node share: options, and error sentences for the person who runs them.
 */
import { type ParseArgsConfig, parseArgs } from 'node:util'

/** A sentence for the person who runs the command, printed without a stack trace. */
export class CommandError extends Error {
  override readonly name = 'CommandError'
}

type Options = NonNullable<ParseArgsConfig['options']>

/** @throws CommandError for an unknown option or a surplus argument. */
export function readOptions<T extends Options>(argv: readonly string[], options: T) {
  try {
    return parseArgs({ args: [...argv], options, strict: true, allowPositionals: false }).values
  } catch (error) {
    throw new CommandError(
      `${error instanceof Error ? error.message : 'wrong arguments'} Try --help.`,
    )
  }
}

/** Runs a command. @returns its exit code; a failure is a sentence on standard error and 1. */
export async function runCommand(name: string, command: () => Promise<number>): Promise<number> {
  try {
    return await command()
  } catch (error) {
    console.error(`padlock-node ${name}: ${reasonOf(error)}`)
    return 1
  }
}

/** An error as a sentence; common errors of the system get their own words. */
function reasonOf(error: unknown): string {
  const message = error instanceof Error ? error.message : 'unknown'
  if (error instanceof CommandError) return message
  if (/database is locked/.test(message)) return 'the database is in use by a running node.'
  if (/file is not a database|malformed/.test(message)) {
    return `this is not a node's database, or it is damaged (${message}).`
  }
  return /[.!?]$/.test(message) ? message : `${message}.`
}

/** The folder or database that the environment names, as it does for the node itself. */
export const fromEnvironment = {
  get data(): string | undefined {
    return process.env.PADLOCK_DATA || undefined
  },
  get database(): string | undefined {
    return process.env.PADLOCK_DATABASE || undefined
  },
}

export const defaultData = './padlock-data'

/** A connection string for printing, without its password. */
export function printable(url: string): string {
  try {
    const parsed = new URL(url)
    parsed.password = ''
    parsed.searchParams.delete('password')
    return parsed.href
  } catch {
    return 'postgres://…'
  }
}

/** @throws CommandError if it is not a connection string of PostgreSQL. */
export function postgresUrl(given: string): string {
  if (!/^postgres(ql)?:\/\//.test(given)) {
    throw new CommandError('--database must begin with postgres://.')
  }
  return given
}

export const readableBytes = (bytes: number): string =>
  bytes < 10_000_000 ? `${Math.ceil(bytes / 1_000)} kB` : `${Math.ceil(bytes / 1_000_000)} MB`
