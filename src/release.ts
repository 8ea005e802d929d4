/**
 * Which build of Padlock a file belongs to. `index.js`, `worker.js` and `padlock.wasm` of one build
 * name the same release; a page that got them from two says so instead of failing somewhere later.
 */

/** Put in by the build (scripts/bundle.ts). */
declare const PADLOCK_RELEASE: string | undefined

/** What runs from its sources, as in tests: it fits everything. */
const fromSources = 'sources'

/** Version and digest of the sources, such as `0.1.0+3f2a…`. */
export const release: string = typeof PADLOCK_RELEASE === 'string' ? PADLOCK_RELEASE : fromSources

/** Whether two files may work together. */
export const isSameRelease = (one: string, other: string): boolean =>
  one === other || one === fromSources || other === fromSources
