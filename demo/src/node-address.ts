/** Which node the page talks to: what the person set, what the link or the build says, or the usual one. */

import { recall, remember } from './browser-memory.ts'

const note = 'node'

/** The address in its short form, or undefined if it is not one of a web server. */
export const parseNodeAddress = (text: string): string | undefined => {
  const trimmed = text.trim()
  if (!URL.canParse(trimmed)) return undefined
  const { protocol, href } = new URL(trimmed)
  if (protocol !== 'http:' && protocol !== 'https:') return undefined
  return href.replace(/\/+$/, '')
}

/** What is used when nobody chose: `?node=`, then `VITE_NODE_URL`, then port 8787 of the page's host. */
export const usualNodeAddress = (): string =>
  parseNodeAddress(new URLSearchParams(location.search).get('node') ?? '') ??
  parseNodeAddress(import.meta.env.VITE_NODE_URL ?? '') ??
  `http://${location.hostname || 'localhost'}:8787`

export const nodeAddress = (): string => recall(note) ?? usualNodeAddress()

/** Keeps the address for later visits; the usual one is not kept, so that it may change. */
export const setNodeAddress = (address: string): void =>
  remember(note, address === usualNodeAddress() ? undefined : address)
