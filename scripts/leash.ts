/** Ties a program to the process that starts it, in case that is killed and cannot end it. */
import { existsSync } from 'node:fs'

/**
 * The command that starts this program so that the kernel signals it when this process ends.
 * Without setpriv (every Linux has it, other systems do not), it is the command itself.
 */
export const leashed = (signal: 'QUIT' | 'KILL', words: readonly string[]): readonly string[] =>
  existsSync('/usr/bin/setpriv') ? ['/usr/bin/setpriv', `--pdeathsig=${signal}`, ...words] : words
