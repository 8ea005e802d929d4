/** Names callers, for the limits that count by caller. */
import type { IncomingHttpHeaders } from 'node:http'
import { isIP, type Socket } from 'node:net'
import { type ContextKey, createContextKey } from '@connectrpc/connect'
import ipaddr from 'ipaddr.js'
import { isTrusted, type TrustedProxies } from './proxies.ts'

/** The caller of a request, as `callerOf` names it; `unknown` in a process without sockets. */
export const callerKey: ContextKey<string> = createContextKey('unknown', {
  description: 'IPv4 address or IPv6 /64 of the caller',
})

/**
 * An IPv4 address, or the /64 of an IPv6 address: one caller has all addresses of its /64 (RFC 6177
 * section 2). IPv4-mapped addresses are IPv4. `unknown` if the text is not an address.
 */
export function nameCaller(address: string | undefined): string {
  // ipaddr.js alone also takes the old forms of IPv4: 1, 0x7f.1, 010.0.0.1.
  if (address === undefined || isIP(address) === 0) return 'unknown'
  const parsed = ipaddr.process(address)
  if (parsed.kind() === 'ipv4') return parsed.toString()
  const [a = 0, b = 0, c = 0, d = 0] = ipaddr.IPv6.parse(address).parts
  return `${new ipaddr.IPv6([a, b, c, d, 0, 0, 0, 0]).toString()}/64`
}

/** The name of callers on this machine. No address has it, so no proxy can name a caller so. */
const local = 'local'

/** Whether a caller, as `callerOf` names it, is on this machine: the operator, or a program here. */
export const isLocal = (caller: string): boolean => caller === local

// What proxies add to requests that they pass on, where they are not told to add nothing.
const proxyHeaders = ['x-forwarded-for', 'forwarded', 'via', 'x-real-ip', 'x-forwarded-proto']

/** Whether a request was passed on. */
export const isForwarded = (headers: IncomingHttpHeaders): boolean =>
  proxyHeaders.some((name) => headers[name] !== undefined)

/** The caller of a connection: `local` if it comes from this machine. */
export function callerAt(address: string | undefined): string {
  const caller = nameCaller(address)
  return caller.startsWith('127.') || caller === '::/64' ? local : caller
}

/**
 * The caller of a request. Each proxy appends the address that called it to X-Forwarded-For, so the
 * entry of the outermost trusted one is this many from the right; the caller may have written
 * everything left of it. The header counts only on a connection of a trusted proxy, and only if it has
 * so many entries: otherwise the address of the connection is the caller, and never an exempt one.
 */
export function callerOf(
  { remoteAddress }: Pick<Socket, 'remoteAddress'>,
  headers: IncomingHttpHeaders,
  proxies: TrustedProxies,
): string {
  if (!isForwarded(headers)) return callerAt(remoteAddress)
  const direct = nameCaller(remoteAddress)
  const forwardedFor = headers['x-forwarded-for']
  if (forwardedFor === undefined || !isTrusted(remoteAddress, proxies)) return direct
  const entry = String(forwardedFor).split(',').at(-proxies.hops) ?? ''
  const forwarded = nameCaller(withoutPort(entry.trim()))
  return forwarded === 'unknown' ? direct : forwarded
}

// Some proxies write the port too: 192.0.2.1:443, [2001:db8::1]:443 (RFC 7239 section 6 has the
// form).
function withoutPort(entry: string): string {
  const [, bracketed] = /^\[([^\]]+)\](?::\d+)?$/.exec(entry) ?? []
  if (bracketed !== undefined) return bracketed
  const [, dotted] = /^([\d.]+):\d+$/.exec(entry) ?? []
  return dotted ?? entry
}
