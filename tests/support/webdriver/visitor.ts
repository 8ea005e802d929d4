/**
 * What a visitor of a page does and sees, over WebDriver. Elements are meant by a selector and the name
 * that a screen reader says, or the text; only those that are visible count, and all calls wait for them.
 */
import { expect } from '@playwright/test'
import type { AxeResults } from 'axe-core'
import { axeSource, listObjections } from '../axe.ts'
import { type ElementRef, isElement } from './client.ts'
import type { WebDriverPage } from './page.ts'

/** Keys without a character (section 17.4.2 of the standard). */
export const keys = { tab: '\uE004', enter: '\uE007', escape: '\uE00C' } as const

declare global {
  interface Window {
    /** Errors that the console would show. */
    testComplaints?: string[]
  }
}

/** In the page, before its own scripts: WebDriver cannot read a console, so the page notes what goes there. */
const noteComplaints = (): void => {
  const complaints: string[] = []
  window.testComplaints = complaints
  const { error } = console
  console.error = (...args: readonly unknown[]) => {
    complaints.push(args.map(String).join(' '))
    error(...args)
  }
  // Those of files that do not load do not bubble.
  const note = (event: Event): void => {
    const { target } = event
    const file = target instanceof Element ? target.outerHTML : ''
    complaints.push(event instanceof ErrorEvent ? event.message : `does not load: ${file}`)
  }
  window.addEventListener('error', note, { capture: true })
  window.addEventListener('unhandledrejection', ({ reason }) => complaints.push(String(reason)))
  document.addEventListener('securitypolicyviolation', ({ violatedDirective, blockedURI }) =>
    complaints.push(`against the content policy: ${violatedDirective} ${blockedURI}`),
  )
}

/** For the page to run before its own scripts, so that `complaints` knows of everything. */
export const complaintsScript = `(${noteComplaints})()`

interface Found {
  readonly selector: string
  readonly name: string | undefined
}

/** In the page: the visible elements with this name, or all. */
const findVisible = `const [{ selector, name }] = arguments
const nameOf = (element) =>
  element.getAttribute('aria-label') ?? element.labels?.[0]?.textContent ?? element.textContent
const isMeant = (element) =>
  element.checkVisibility({ visibilityProperty: true }) &&
  (name === undefined || nameOf(element).trim() === name)
const found = [...document.querySelectorAll(selector)].filter(isMeant)
`

export class Visitor {
  readonly page: WebDriverPage

  constructor(page: WebDriverPage) {
    this.page = page
  }

  #run(script: string, wanted: Found): Promise<unknown> {
    return this.page.session.execute(this.page.window, findVisible + script, wanted)
  }

  async #find(selector: string, name?: string): Promise<ElementRef> {
    let element: unknown
    const look = async (): Promise<boolean> => {
      element = await this.#run('return found[0] ?? null', { selector, name })
      return isElement(element)
    }
    await expect.poll(look, `${selector} ${name ?? ''}`).toBe(true)
    if (!isElement(element)) throw new Error('not found')
    return element
  }

  async press(selector: string, name?: string): Promise<void> {
    await this.page.session.click(this.page.window, await this.#find(selector, name))
  }

  /** Types into the element, after what is in it. */
  async type(selector: string, name: string | undefined, text: string): Promise<void> {
    await this.page.session.type(this.page.window, await this.#find(selector, name), text)
  }

  /** Presses keys where the focus is. */
  async key(text: string): Promise<void> {
    const focused = await this.page.session.command(this.page.window, 'GET', '/element/active')
    if (!isElement(focused)) throw new Error('nothing has the focus')
    await this.page.session.type(this.page.window, focused, text)
  }

  async texts(selector: string): Promise<readonly string[]> {
    const all = 'return found.map(({ textContent }) => textContent)'
    const found = await this.#run(all, { selector, name: undefined })
    return Array.isArray(found) ? found.map(String) : []
  }

  /** Waits until one of these has this text in it. */
  async sees(selector: string, text: string): Promise<void> {
    const some = expect.arrayContaining([expect.stringContaining(text)])
    await expect.poll(() => this.texts(selector)).toEqual(some)
  }

  async seesExactly(selector: string, texts: readonly string[]): Promise<void> {
    await expect.poll(() => this.texts(selector)).toEqual(texts)
  }

  async complaints(): Promise<readonly string[] | undefined> {
    return this.page.evaluate(() => window.testComplaints)
  }

  /** What a tool for accessibility objects to, contrast included. */
  async objections(): Promise<readonly string[]> {
    const { session, window } = this.page
    await this.page.evaluate(async () => {
      await Promise.allSettled(document.getAnimations().map(({ finished }) => finished))
    })
    // Not evaluated by the page, whose policy forbids it.
    await session.execute(window, axeSource)
    const run = 'axe.run(document).then((results) => arguments[0](JSON.stringify(results)))'
    const results: AxeResults = JSON.parse(String(await session.executeAsync(window, run)))
    return listObjections(results)
  }
}
