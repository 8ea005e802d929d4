/** What the page hands to a mode, and what it gets back. */

export interface ModeContext {
  readonly node: string
  /** For screen readers: something arrived. */
  readonly announce: (sentence: string) => void
  /** Closes this mode and opens it anew. */
  readonly restart: () => void
}

export interface Mode {
  readonly root: HTMLElement
  /** Ends its clients; what is stored stays. */
  close(): Promise<void>
}
