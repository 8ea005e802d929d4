/** Checks the version of Node.js: node:sqlite, for one, came with 22. */

/** The oldest version that works, as in `engines` of package.json. */
export const oldestNode = { major: 22, minor: 16 } as const

/** A sentence for the operator if this version, such as `20.19.4`, is too old; else undefined. */
export function whyTooOld(version: string): string | undefined {
  const [major = 0, minor = 0] = version.split('.').map(Number)
  const isNewEnough =
    major > oldestNode.major || (major === oldestNode.major && minor >= oldestNode.minor)
  if (isNewEnough) return undefined
  return `it needs Node.js ${oldestNode.major}.${oldestNode.minor} or newer, and this is Node.js ${version}.`
}
