/** Which packages a bundle contains, according to esbuild, and whether it may contain them. */
import type { Metafile } from 'esbuild'

type Output = Metafile['outputs'][string]

/** Folders, relative to where esbuild ran, of the packages with code left in these files. */
export const listPackageFolders = (outputs: readonly Output[]): string[] => {
  // A package that tree shaking removed entirely is not in the bundle.
  const inputs = outputs.flatMap((output) =>
    Object.entries(output.inputs).flatMap(([path, { bytesInOutput }]) =>
      bytesInOutput > 0 ? path : [],
    ),
  )
  const folders = inputs.map((path) => /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(path)?.[0])
  return [...new Set(folders.filter((folder) => folder !== undefined))].sort()
}

/** @throws Error that names the packages that are not among `allowed`. */
export const refuseStrangers = (folders: readonly string[], allowed: readonly string[]): void => {
  const strangers = folders.filter(
    (folder) => !allowed.includes(folder.replace(/^.*node_modules\//, '')),
  )
  if (strangers.length > 0) {
    throw new Error(`these packages must not end up in the bundle: ${strangers.join(', ')}`)
  }
}
