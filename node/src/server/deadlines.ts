/**
 * How long a caller will wait, as the protocols write it: gRPC's `grpc-timeout` (digits and a unit,
 * gRPC over HTTP/2, "Requests") and Connect's `connect-timeout-ms`.
 */

/** The longest timer there is; Node.js takes a longer one for a millisecond. */
const longestMs = 2 ** 31 - 1

const msOf: Readonly<Record<string, number>> = {
  H: 3_600_000,
  M: 60_000,
  S: 1_000,
  m: 1,
  u: 0,
  n: 0,
}

/** Takes away deadlines that no timer can hold: who waits for weeks waits for ever. */
export const dropEndlessDeadlines = (headers: Headers): void => {
  const [, count = '', unit = ''] =
    /^(\d{1,8})([HMSmun])$/.exec(headers.get('grpc-timeout') ?? '') ?? []
  if (Number(count) * (msOf[unit] ?? 0) > longestMs) headers.delete('grpc-timeout')
  if (Number(headers.get('connect-timeout-ms')) > longestMs) headers.delete('connect-timeout-ms')
}
