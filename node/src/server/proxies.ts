/** Which connections come from proxies of the operator's, whose word about their callers counts. */
import { isIP } from 'node:net'
import ipaddr from 'ipaddr.js'

/** A range of addresses: `10.0.0.0/8`, `2001:db8::/32`; one address is a range too. */
export type AddressRange = readonly [ipaddr.IPv4 | ipaddr.IPv6, number]

export interface TrustedProxies {
  /** How many stand in a row; 0 for none. */
  readonly hops: number
  /** Where the last of them connects from; absent for private networks and this machine. */
  readonly from?: readonly AddressRange[]
}

export const noProxies: TrustedProxies = { hops: 0 }

/** Undefined if the text is not a range. */
export function readRange(text: string): AddressRange | undefined {
  const [address = ''] = text.split('/')
  // ipaddr.js alone also takes the old forms of IPv4.
  if (isIP(address) === 0) return undefined
  if (address !== text) return ipaddr.isValidCIDR(text) ? ipaddr.parseCIDR(text) : undefined
  const parsed = ipaddr.parse(address)
  return [parsed, parsed.kind() === 'ipv4' ? 32 : 128]
}

// Who calls from the internet has none of these.
const privateRanges: ReadonlySet<string> = new Set([
  'private',
  'loopback',
  'linkLocal',
  'uniqueLocal',
  'carrierGradeNat',
])

/** Whether a connection from this address is a trusted proxy's. */
export function isTrusted(address: string | undefined, { hops, from }: TrustedProxies): boolean {
  if (hops === 0 || address === undefined || isIP(address) === 0) return false
  const parsed = ipaddr.process(address)
  if (from === undefined) return privateRanges.has(parsed.range())
  return from.some(([range, bits]) => parsed.kind() === range.kind() && parsed.match(range, bits))
}
