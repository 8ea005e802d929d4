/** Taken before a test takes time into its own hands. */
const { setTimeout: later } = globalThis

/** Resolves when it is so; for what no event tells of. How long that may take is the runner's to say. */
export const until = async (isTrue: () => boolean | Promise<boolean>): Promise<void> => {
  while (!(await isTrue())) await new Promise((resolve) => later(resolve, 5))
}
