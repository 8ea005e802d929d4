/**
 * Exits with 0 if node_modules holds what package-lock.json names, and with 1 if it must be
 * installed. Plain JavaScript: it runs on the machine's own Node, before anything is installed.
 */
import { existsSync, readFileSync } from 'node:fs'

const readPackages = (path) => JSON.parse(readFileSync(path, 'utf8')).packages

// An optional package may be absent, unless it is meant for exactly this kind of machine.
const isForThisMachine = ({ os, cpu, libc }) =>
  os?.includes(process.platform) && cpu?.includes(process.arch) && !libc

const isInstalled = () => {
  if (!existsSync('node_modules/.package-lock.json')) return false
  const wanted = readPackages('package-lock.json')
  const present = readPackages('node_modules/.package-lock.json')
  return Object.entries(wanted).every(([path, entry]) => {
    if (!path.startsWith('node_modules/') && !path.includes('/node_modules/')) return true
    const found = present[path]
    if (!found) return entry.optional === true && !isForThisMachine(entry)
    return found.version === entry.version && found.integrity === entry.integrity
  })
}

process.exit(isInstalled() ? 0 : 1)
