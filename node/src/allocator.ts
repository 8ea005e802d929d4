/**
 * Starts the process once more, in place, with an allocator that gives back what is freed. That of glibc
 * keeps a heap for each thread and, once large blocks have come and gone, takes further ones from those
 * heaps; under a siege the process grew to twice what it used. It reads this only when a process begins.
 */

const settings = { MALLOC_ARENA_MAX: '2', MALLOC_MMAP_THRESHOLD_: '131072' }

/** Returns if there is nothing to do; otherwise the program begins again. */
export function settleAllocator(): void {
  const { platform, env, execPath, execArgv, argv, connected } = process
  const isSet = Object.keys(settings).some((name) => env[name] !== undefined)
  // A channel to a parent process would be lost.
  if (platform !== 'linux' || isSet || connected || process.execve === undefined) return
  try {
    process.execve(execPath, [execPath, ...execArgv, ...argv.slice(1)], { ...env, ...settings })
  } catch {
    // Nothing happened: it works as before, with more memory.
  }
}
