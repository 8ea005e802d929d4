/**
 * A client of W3C WebDriver (https://www.w3.org/TR/webdriver2/), for the endpoints that our tests use.
 *
 * Not a package: `selenium-webdriver` and `webdriver` speak every browser's protocols, find and download
 * drivers, and bring websockets, proxies, zip files and loggers along. What is left for one driver on
 * this machine is one POST for each command.
 */

/** The name under which WebDriver passes references to elements (section 12, Elements). */
const elementName = 'element-6066-11e4-a52e-4f735466cecf'

/** An element of a page, valid until the page goes. */
export interface ElementRef {
  readonly [elementName]: string
}

export const isElement = (value: unknown): value is ElementRef =>
  typeof value === 'object' && value !== null && elementName in value

/** What the driver says when a command fails; `code` is one of the standard's, such as `no such window`. */
class WebDriverError extends Error {
  readonly code: string

  constructor(code: string, message: string) {
    super(`${code}: ${message}`)
    this.name = 'WebDriverError'
    this.code = code
  }
}

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null

const text = (value: unknown): string => (typeof value === 'string' ? value : '')

type Method = 'GET' | 'POST' | 'DELETE'

const call = async (method: Method, url: string, body?: unknown): Promise<unknown> => {
  const response = await fetch(url, {
    method,
    ...(method === 'POST' ? { body: JSON.stringify(body ?? {}) } : {}),
  })
  const answer: unknown = await response.json()
  const value = isRecord(answer) ? answer.value : undefined
  if (response.ok) return value
  const { error, message } = isRecord(value) ? value : {}
  throw new WebDriverError(text(error), text(message))
}

/** Whether a driver is there and would take a session. */
export const isReady = async (driver: string): Promise<boolean> => {
  try {
    const status = await call('GET', `${driver}/status`)
    return isRecord(status) && status.ready === true
  } catch (error) {
    if (error instanceof WebDriverError) return false
    // fetch says so while nobody listens.
    if (error instanceof TypeError) return false
    throw error
  }
}

/**
 * One browser with data of its own. Commands go to one window at a time, so each says which, and they
 * wait for each other; scripts that take long do not hold up what comes after them.
 */
export class Session {
  readonly #url: string
  #window: string | undefined
  #before: Promise<unknown> = Promise.resolve()
  #scripts = 0

  private constructor(url: string) {
    this.#url = url
  }

  static async open(driver: string): Promise<Session> {
    const value = await call('POST', `${driver}/session`, { capabilities: { alwaysMatch: {} } })
    const session = new Session(`${driver}/session/${text(isRecord(value) ? value.sessionId : '')}`)
    // The tests have limits of their own; one for a script would end what waits for news.
    await session.#send('POST', '/timeouts', { script: null })
    return session
  }

  #send(method: Method, path: string, body?: unknown): Promise<unknown> {
    return call(method, `${this.#url}${path}`, body)
  }

  /** Runs these commands with no other between them. */
  #inTurn<T>(run: () => Promise<T>): Promise<T> {
    const turn = this.#before.then(run)
    this.#before = turn.catch(() => {})
    return turn
  }

  async #switchTo(window: string): Promise<void> {
    if (this.#window === window) return
    await this.#send('POST', '/window', { handle: window })
    this.#window = window
  }

  /** One command to this window; paths and bodies are those of the standard. */
  command(window: string, method: Method, path: string, body?: unknown): Promise<unknown> {
    return this.#inTurn(async () => {
      await this.#switchTo(window)
      return this.#send(method, path, body)
    })
  }

  /** Runs the body of a function; its `arguments` are these. */
  execute(window: string, script: string, ...args: readonly unknown[]): Promise<unknown> {
    return this.command(window, 'POST', '/execute/sync', { script, args })
  }

  /** The same with one argument more, a function: the script ends when it is called, with its argument. */
  async executeAsync(
    window: string,
    script: string,
    ...args: readonly unknown[]
  ): Promise<unknown> {
    const id = ++this.#scripts
    const marked = `window.testScriptsBegun = ${id}; ${script}`
    const begun = await this.#inTurn(async () => {
      await this.#switchTo(window)
      let isOver = false
      const running = this.#send('POST', '/execute/async', { script: marked, args }).finally(() => {
        isOver = true
      })
      running.catch(() => {})
      // The next command may go to another window, and would take along a script that has not begun.
      const look = { script: `return window.testScriptsBegun >= ${id}`, args: [] }
      while (!isOver && (await this.#send('POST', '/execute/sync', look)) !== true);
      return { running }
    })
    return begun.running
  }

  /** The window that there is from the start on. */
  async firstWindow(): Promise<string> {
    return text(await this.#send('GET', '/window'))
  }

  /** Opens a window, beside the one given. */
  async newWindow(beside: string): Promise<string> {
    const value = await this.command(beside, 'POST', '/window/new', { type: 'window' })
    return text(isRecord(value) ? value.handle : '')
  }

  /** The browser ends with its last window. */
  async closeWindow(window: string): Promise<void> {
    await this.command(window, 'DELETE', '/window')
    this.#window = undefined
  }

  async click(window: string, element: ElementRef): Promise<void> {
    await this.command(window, 'POST', `/element/${element[elementName]}/click`)
  }

  /** Focuses the element and types; keys without a character are at U+E000 and after (section 17.4.2). */
  async type(window: string, element: ElementRef, keys: string): Promise<void> {
    await this.command(window, 'POST', `/element/${element[elementName]}/value`, { text: keys })
  }
}
