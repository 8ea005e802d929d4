/** What Vite gives a page beside the language, as far as this page uses it. */

interface ImportMetaEnv {
  /** Where the node is; `dev/up` sets it. */
  readonly VITE_NODE_URL?: string
}

interface ImportMeta {
  readonly env: ImportMetaEnv
}
