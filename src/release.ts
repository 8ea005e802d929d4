/**
 * Which build of Padlock a file belongs to. `index.js`, `worker.js` and `padlock.wasm` of one build
 * name the same release; a page that loaded them from two builds says so at once instead of failing
 * later.
 */

/** Put in by the build (scripts/bundle.ts). */
declare const PADLOCK_RELEASE: string | undefined

/** When run from source, as in tests: matches every release. */
const fromSources = 'sources'

/** Version and digest of the sources, such as `0.1.0+3f2a…`. */
export const release: string = typeof PADLOCK_RELEASE === 'string' ? PADLOCK_RELEASE : fromSources

/** Whether two files may be used together. */
export const isSameRelease = (one: string, other: string): boolean =>
  one === other || one === fromSources || other === fromSources
