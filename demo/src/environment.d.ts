/** The part of Vite's environment that this page uses. */

interface ImportMetaEnv {
  /** The node's address; `dev/up` sets it. */
  readonly VITE_NODE_URL?: string
}

interface ImportMeta {
  readonly env: ImportMetaEnv
}
