/** Ties a program to the process that starts it, for when that is killed and can end nothing itself. */
import { existsSync } from 'node:fs'

/**
 * The words that start this program so that the kernel sends it the signal when this process ends.
 * Where there is no setpriv (it is in every Linux, and in nothing else), they are the same words.
 */
export const leashed = (signal: 'QUIT' | 'KILL', words: readonly string[]): readonly string[] =>
  existsSync('/usr/bin/setpriv') ? ['/usr/bin/setpriv', `--pdeathsig=${signal}`, ...words] : words
