/** Names callers, for the limits that count by caller. */
import { isIP, type Socket } from 'node:net'
import { type ContextKey, createContextKey } from '@connectrpc/connect'
import ipaddr from 'ipaddr.js'

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

/**
 * Whether a caller, as `nameCaller` names it, is this machine: a proxy that does not name its
 * callers, the operator, or another program here.
 */
export const isLocal = (caller: string): boolean => caller.startsWith('127.') || caller === '::/64'

/**
 * The caller of a request that came through this many trusted proxies. Each proxy appends the address
 * that called it to X-Forwarded-For, so the outermost one's entry is this many from the right; the
 * caller may have written everything left of it. With fewer entries the leftmost one counts. Without
 * the header, or if the entry is not an address, the address of the connection counts.
 */
export function callerOf(
  socket: Pick<Socket, 'remoteAddress'>,
  forwardedFor: string | readonly string[] | undefined,
  trustedHops: number,
): string {
  const direct = nameCaller(socket.remoteAddress)
  if (trustedHops === 0 || forwardedFor === undefined) return direct
  const entries = String(forwardedFor).split(',')
  const entry = entries[Math.max(0, entries.length - trustedHops)] ?? ''
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
