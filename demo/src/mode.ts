/** What the page gives a mode, and what it gets back. */

export interface ModeContext {
  readonly node: string
  /** For screen readers: something arrived. */
  readonly announce: (sentence: string) => void
  /** Closes this mode and opens it anew. */
  readonly restart: () => void
}

export interface Mode {
  readonly root: HTMLElement
  /** Ends its clients and keeps what is stored. */
  close(): Promise<void>
}
