/**
 * What tests need of a browser, whoever drives it: Playwright (playwright-engine.ts), or W3C WebDriver
 * (webdriver/), for the engine that Playwright cannot drive here.
 */

export interface BrowserPage {
  goto(url: string): Promise<unknown>
  /** A real reload; nothing is said to the page before. */
  reload(): Promise<unknown>
  /** Runs this function in the page: it sees its argument and the page, and nothing around it here. */
  evaluate<Result>(run: () => Result | Promise<Result>): Promise<Result>
  evaluate<Result, Arg>(run: (arg: Arg) => Result | Promise<Result>, arg: Arg): Promise<Result>
  /** Resolves once this function, run in the page, gives something true. */
  waitForFunction(run: () => boolean): Promise<unknown>
  close(): Promise<void>
}

/** What a page may call out here. Arguments and answer are plain data, of the types that the page says. */
export type Exposed = (...args: never[]) => unknown

/** Pages that share cookies, databases and locks with each other and with no other profile. */
export interface BrowserProfile {
  /** From now on `window[name]` is there in every page of this profile once it has loaded. */
  expose(name: string, answer: Exposed): Promise<void>
  newPage(): Promise<BrowserPage>
  close(): Promise<void>
}

export interface BrowserEngine {
  newProfile(): Promise<BrowserProfile>
  close(): Promise<void>
}
