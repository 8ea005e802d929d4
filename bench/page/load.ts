/** A module Worker that loads one of the two libraries and says how long that took. */

addEventListener('message', ({ data }: MessageEvent<string>) => {
  const start = performance.now()
  import(data)
    .then(({ use }: { use(): Promise<number> }) => use())
    .then(
      () => postMessage(performance.now() - start),
      (error: unknown) => postMessage(String(error)),
    )
})
