/**
 * What all calls have in common: each is counted once, however it ends, and refused before its body
 * is read if its caller asks too much. A failure of this program is reported to its operator, not to
 * the caller.
 */
import { Code, ConnectError, type HandlerContext } from '@connectrpc/connect'
import { onAbort } from '../../src/async.ts'
import { ErrorDetailSchema } from '../../src/gen/padlock/v1/node_pb.ts'
import type { Limited, RateLimits } from './limits/rate-limits.ts'
import type { Observer } from './observe/observer.ts'
import { refusal } from './refusal.ts'
import { noPlaceKey } from './server/call-gate.ts'
import { callerKey } from './server/caller.ts'
import { StoreFailure } from './store/store.ts'
import { labelUndecodable } from './undecodable.ts'

export interface Calls {
  /** To be called first. @throws ConnectError `rate_limited` */
  begin(context: HandlerContext): void
  /** The error that a call ends with. */
  translate(error: unknown): ConnectError
  /** `rate_limited`, counted. */
  refuse(limited: Limited, caller: string): ConnectError
}

const noPlace: Limited = { kind: 'calls', retryAfterMs: 1_000 }

export function createCalls(observer: Observer, limits: RateLimits | undefined): Calls {
  const ours = new WeakSet<ConnectError>()

  const translate = (error: unknown): ConnectError => {
    const translated = error instanceof ConnectError ? error : describe(error)
    ours.add(translated)
    return translated
  }
  const describe = (error: unknown): ConnectError => {
    if (error instanceof StoreFailure) {
      observer.storageFailed(error.message)
      return refusal('unavailable', { retryAfterMs: 1_000 })
    }
    observer.defect(error instanceof Error ? withoutMessage(error) : typeof error)
    return new ConnectError('internal error', Code.Internal)
  }
  const counted = new WeakSet<ConnectError>()
  const refuse = (
    { kind, retryAfterMs, envelopeIndex = 0 }: Limited,
    caller: string,
  ): ConnectError => {
    observer.limited(kind, 1, caller)
    const error = refusal('rate_limited', { retryAfterMs, envelopeIndex })
    counted.add(error)
    return error
  }

  return {
    begin(context) {
      const startedMs = performance.now()
      const caller = context.values.get(callerKey)
      const { signal } = context
      labelUndecodable(context, (error) => ours.has(error))
      const end = (): void => {
        const code = codeOf(signal.reason)
        // Refused while its body was read.
        if (code === 'rate_limited' && !counted.has(signal.reason)) {
          observer.limited('bodies', 1, caller)
        }
        const durationMs = performance.now() - startedMs
        observer.callEnded({ rpc: context.method.name, code, durationMs, caller })
      }
      // Connect aborts the signal of every call at its end, with its error if it has one.
      onAbort(signal, end)
      const limited = context.values.get(noPlaceKey) ? noPlace : limits?.request(caller)
      if (limited !== undefined) throw translate(refuse(limited, caller))
    },
    translate,
    refuse,
  }
}

/** The code that a call ended with: one of ours, or gRPC's for errors that are not ours. */
function codeOf(reason: unknown): string {
  if (!(reason instanceof ConnectError)) return 'ok'
  const [detail] = reason.findDetails(ErrorDetailSchema)
  if (detail !== undefined) return detail.code
  return Code[reason.code].replaceAll(/\B[A-Z]/g, (letter) => `_${letter}`).toLowerCase()
}

// A message may quote input; the place in the code is enough to find a defect.
const withoutMessage = (error: Error): string =>
  [error.name, ...(error.stack ?? '').split('\n').filter((line) => /^\s+at /.test(line))].join('\n')

/** Whether Node reports that the other side of a stream is gone. */
export const isBrokenConnection = (error: unknown): boolean =>
  error instanceof Error &&
  'code' in error &&
  /^(?:ERR_STREAM_|ERR_HTTP2_|ECONNRESET|ECANCELED|EPIPE)/.test(String(error.code))
