/** The Retry-After header of an HTTP answer (RFC 9110 section 10.2.3): seconds, or a date. */

/** A longer wait counts as this one: a proxy's mistake must not silence a client for days. */
const longestMs = 3_600_000

/** The three forms of section 5.6.7: `Sun, 06 Nov 1994 08:49:37 GMT` and two older ones. */
const httpDate = /^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]*,? .*\d\d:\d\d:\d\d (?:GMT|\d{4})$/

/** Milliseconds from now; absent if the header is missing or in no form that the RFC knows. */
export const readRetryAfter = (header: string | null, nowMs: number): number | undefined => {
  const text = header?.trim() ?? ''
  const waitMs = /^\d+$/.test(text) ? Number(text) * 1_000 : parseDate(text) - nowMs
  return Number.isNaN(waitMs) ? undefined : Math.min(Math.max(waitMs, 0), longestMs)
}

// The oldest form names no zone, and is in UTC all the same.
const parseDate = (text: string): number =>
  httpDate.test(text) ? Date.parse(text.endsWith(' GMT') ? text : `${text} GMT`) : Number.NaN
