/** What a stream gave so far, and a way to wait for more. */
export class Recorder<T> {
  readonly items: T[] = []
  #news = Promise.withResolvers<void>()

  push(item: T): void {
    this.items.push(item)
    this.#news.resolve()
    this.#news = Promise.withResolvers<void>()
  }

  async atLeast(count: number): Promise<readonly T[]> {
    while (this.items.length < count) await this.#news.promise
    return this.items
  }
}
