/** Installs Debian packages if this user may: as root, or through sudo without a password. */
import { existsSync } from 'node:fs'
import { run } from './process.ts'

export const isRoot = process.getuid?.() === 0

/**
 * Runs one command as root, showing its output only when it fails. False if it failed or this user
 * may not run it.
 */
export const runAsRoot = async (...words: readonly string[]): Promise<boolean> => {
  const [command = '', ...rest] = [...(isRoot ? [] : ['sudo', '-n']), ...words]
  const env = { DEBIAN_FRONTEND: 'noninteractive' }
  const { code, output } = await run(command, rest, { env, output: 'collect' })
  if (code !== 0) console.log(output.trimEnd())
  return code === 0
}

/** False if there is no apt, this user may not install, or apt failed (and said why). */
export const installDebianPackages = async (names: readonly string[]): Promise<boolean> => {
  if (!existsSync('/usr/bin/apt-get')) return false
  if (!isRoot && (await run('sudo', ['-n', 'true'], { output: 'collect' })).code !== 0) return false
  return (
    (await runAsRoot('apt-get', 'update', '-q')) &&
    (await runAsRoot('apt-get', 'install', '-q', '-y', '--no-install-recommends', ...names))
  )
}
