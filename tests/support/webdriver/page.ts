/** A page and a profile (browser-page.ts) over WebDriver: one session, so one browser, is one profile. */
import type { BrowserPage, BrowserProfile, Exposed } from '../browser-page.ts'
import type { Session } from './client.ts'

interface Call {
  readonly id: number
  readonly name: string
  readonly args: readonly unknown[]
}

interface Answer {
  resolve(value: unknown): void
  reject(error: Error): void
}

declare global {
  interface Window {
    /** Calls of exposed functions that nobody out here has taken yet, and those without an answer. */
    testCalls?: {
      readonly made: Call[]
      readonly waiting: Map<number, Answer>
      /** Wakes the one that waits for a call. */
      wake: () => void
    }
  }
}

/** In the page, which may be one of an old browser: gives it functions that note their calls. */
const addExposed = (names: readonly string[]): void => {
  const calls = { made: [] as Call[], waiting: new Map<number, Answer>(), wake: () => {} }
  window.testCalls = calls
  let last = 0
  for (const name of names) {
    const ask = (...args: readonly unknown[]): Promise<unknown> =>
      new Promise((resolve, reject) => {
        last += 1
        calls.waiting.set(last, { resolve, reject })
        calls.made.push({ id: last, name, args })
        calls.wake()
      })
    Reflect.set(window, name, ask)
  }
}

/** In the page: the calls made so far, as soon as there is one. */
const takeCalls = async (): Promise<readonly Call[]> => {
  const calls = window.testCalls
  if (!calls) throw new Error('nothing is exposed')
  if (calls.made.length === 0) {
    await new Promise<void>((resolve) => {
      calls.wake = resolve
    })
  }
  return calls.made.splice(0)
}

/** In the page. */
const answerCall = ({
  id,
  value,
  error,
}: {
  id: number
  value?: unknown
  error?: string
}): void => {
  const waiting = window.testCalls?.waiting
  const answer = waiting?.get(id)
  waiting?.delete(id)
  if (error === undefined) answer?.resolve(value)
  else answer?.reject(new Error(error))
}

export class WebDriverPage implements BrowserPage {
  readonly session: Session
  readonly window: string
  readonly #exposed: ReadonlyMap<string, Exposed>
  readonly #leave: (page: WebDriverPage) => Promise<void>
  /** Counts the documents that were in this window: what fails in an older one is over, not broken. */
  #document = 0
  #broken: unknown

  constructor(
    session: Session,
    window: string,
    exposed: ReadonlyMap<string, Exposed>,
    leave: (page: WebDriverPage) => Promise<void>,
  ) {
    this.session = session
    this.window = window
    this.#exposed = exposed
    this.#leave = leave
  }

  async goto(url: string): Promise<void> {
    this.#document += 1
    await this.session.command(this.window, 'POST', '/url', { url })
    await this.#arrive()
  }

  async reload(): Promise<void> {
    this.#document += 1
    await this.session.command(this.window, 'POST', '/refresh')
    await this.#arrive()
  }

  evaluate<Result>(run: () => Result | Promise<Result>): Promise<Result>
  evaluate<Result, Arg>(run: (arg: Arg) => Result | Promise<Result>, arg: Arg): Promise<Result>
  async evaluate<Result, Arg>(
    run: (arg: Arg) => Result | Promise<Result>,
    arg?: Arg,
  ): Promise<Result> {
    if (this.#broken !== undefined) throw this.#broken
    // The function is written in, not evaluated by the page, whose content policy may forbid that. Its
    // answer comes as a text, since the driver makes null of everything undefined.
    const script = `const [arg, done] = arguments
const answer = (given) => done(JSON.stringify(given))
Promise.resolve(arg).then(${run}).then(
  (value) => answer({ value }),
  (error) => answer({ error: String(error) + '\\n' + (error?.stack ?? '') }),
)`
    const answer = await this.session.executeAsync(this.window, script, arg ?? null)
    const { value, error } = JSON.parse(String(answer)) as { value: Result; error?: string }
    if (error !== undefined) throw new Error(error)
    return value
  }

  async waitForFunction(run: () => boolean): Promise<void> {
    const script = `const [done] = arguments
const look = () => ((${run})() ? done(null) : setTimeout(look, 20))
look()`
    await this.session.executeAsync(this.window, script)
  }

  async close(): Promise<void> {
    this.forget()
    await this.#leave(this)
  }

  /** What is still running in the page may fail from now on. */
  forget(): void {
    this.#document += 1
  }

  async #arrive(): Promise<void> {
    if (this.#exposed.size === 0) return
    await this.evaluate(addExposed, [...this.#exposed.keys()])
    const document = this.#document
    this.#answerCalls().catch((error: unknown) => {
      if (this.#document === document) this.#broken = error
    })
  }

  /** Ends with an error, at the latest when the document goes. */
  async #answerCalls(): Promise<never> {
    const document = this.#document
    for (;;) {
      const calls = await this.evaluate(takeCalls)
      // Begun in order; one that takes long holds up no other.
      for (const call of calls) void this.#answer(call, document)
    }
  }

  async #answer({ id, name, args }: Call, document: number): Promise<void> {
    let answer: { id: number; value?: unknown; error?: string }
    try {
      answer = { id, value: await Promise.resolve(this.#exposed.get(name)?.(...(args as never[]))) }
    } catch (error) {
      answer = { id, error: String(error) }
    }
    if (this.#document !== document) return
    try {
      await this.evaluate(answerCall, answer)
    } catch (error) {
      if (this.#document === document) this.#broken = error
    }
  }
}

/**
 * The browser ends with its last window, and its data with it: WebKitGTK's automation keeps everything
 * in memory. So a profile whose pages are all closed has a blank one.
 */
export class WebDriverProfile implements BrowserProfile {
  readonly #session: Session
  readonly #end: () => Promise<void>
  readonly #exposed = new Map<string, Exposed>()
  readonly #pages = new Set<WebDriverPage>()
  #blank: string | undefined

  private constructor(session: Session, blank: string, end: () => Promise<void>) {
    this.#session = session
    this.#blank = blank
    this.#end = end
  }

  static async of(session: Session, end: () => Promise<void>): Promise<WebDriverProfile> {
    return new WebDriverProfile(session, await session.firstWindow(), end)
  }

  async expose(name: string, answer: Exposed): Promise<void> {
    this.#exposed.set(name, answer)
  }

  async newPage(): Promise<WebDriverPage> {
    const [other] = this.#pages
    const window = this.#blank ?? (other && (await this.#session.newWindow(other.window)))
    if (window === undefined) throw new Error('the profile is closed')
    this.#blank = undefined
    const page = new WebDriverPage(this.#session, window, this.#exposed, (it) => this.#leave(it))
    this.#pages.add(page)
    return page
  }

  async #leave(page: WebDriverPage): Promise<void> {
    if (!this.#pages.delete(page)) return
    if (this.#pages.size === 0) this.#blank = await this.#session.newWindow(page.window)
    await this.#session.closeWindow(page.window)
  }

  async close(): Promise<void> {
    for (const page of this.#pages) page.forget()
    this.#pages.clear()
    this.#blank = undefined
    await this.#end()
  }
}
