/**
 * The node that the page uses: the one that the person set, the link's or the build's, or the
 * default.
 */

import { recall, remember } from './browser-memory.ts'

const note = 'node'

/** The address in its short form, or undefined if it is not a web address. */
export const parseNodeAddress = (text: string): string | undefined => {
  const trimmed = text.trim()
  if (!URL.canParse(trimmed)) return undefined
  const { protocol, href } = new URL(trimmed)
  if (protocol !== 'http:' && protocol !== 'https:') return undefined
  return href.replace(/\/+$/, '')
}

/** The default: `?node=`, then `VITE_NODE_URL`, then port 8787 of the page's host. */
export const usualNodeAddress = (): string =>
  parseNodeAddress(new URLSearchParams(location.search).get('node') ?? '') ??
  parseNodeAddress(import.meta.env.VITE_NODE_URL ?? '') ??
  `http://${location.hostname || 'localhost'}:8787`

export const nodeAddress = (): string => recall(note) ?? usualNodeAddress()

/** Keeps the address for later visits, except the default, which may change. */
export const setNodeAddress = (address: string): void =>
  remember(note, address === usualNodeAddress() ? undefined : address)
