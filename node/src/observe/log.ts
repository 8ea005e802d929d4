/**
 * The log: one line of JSON for each event, on standard error. What may be in a line is a closed list
 * of fields, so that no message, key or signature gets there. Callers are named at `debug`, and at `warn`
 * when they ask too much.
 */
import { type DestinationStream, type Level, pino } from 'pino'
import { type LimitKind, limitKinds } from '../limits/rate-limits.ts'
import { type Observer, silentObserver } from './observer.ts'
import { Repeats } from './repeats.ts'

/** From most to least; `silent` writes nothing. */
export const logLevels = ['debug', 'info', 'warn', 'error', 'silent'] as const
export type LogLevel = (typeof logLevels)[number]

/** What a line may hold besides its sentence. */
export interface LogFields {
  readonly version?: string
  /** Where the node listens. */
  readonly url?: string
  /** The node's public name, in hexadecimal. */
  readonly nodeId?: string
  readonly database?: 'sqlite' | 'postgres'
  readonly signal?: 'SIGTERM' | 'SIGINT' | 'SIGHUP'
  readonly rpc?: string
  readonly code?: string
  readonly durationMs?: number
  readonly count?: number
  readonly bytes?: number
  readonly chainId?: bigint
  /** Why, in words of this program or of a library; long words are replaced. */
  readonly reason?: string
  /** The kind of an error and where it came from, without its message. */
  readonly where?: string
}

/** What a line may hold besides: at `debug`, and at `warn` about a caller who asks too much. */
export interface CallerFields extends LogFields {
  readonly caller?: string
  /** Which limit. */
  readonly limit?: LimitKind
}

export interface Log {
  debug(sentence: string, fields?: CallerFields): void
  info(sentence: string, fields?: LogFields): void
  warn(sentence: string, fields?: CallerFields): void
  error(sentence: string, fields?: LogFields): void
}

export interface LogOptions {
  readonly level: LogLevel
  /** Where lines go; by default standard error, written at once. */
  readonly destination?: DestinationStream
}

export function createLog({ level, destination }: LogOptions): Log {
  const target = destination ?? pino.destination({ fd: 2, sync: true })
  const logger = pino(
    { level, base: null, timestamp: pino.stdTimeFunctions.isoTime, messageKey: 'message' },
    target,
  )
  const write = (at: Level, sentence: string, fields: CallerFields): void => {
    if (logger.isLevelEnabled(at)) logger[at](lineOf(fields, at), sentence)
  }
  return {
    debug: (sentence, fields = {}) => write('debug', sentence, fields),
    info: (sentence, fields = {}) => write('info', sentence, fields),
    warn: (sentence, fields = {}) => write('warn', sentence, fields),
    error: (sentence, fields = {}) => write('error', sentence, fields),
  }
}

const minuteMs = 60_000

/**
 * Writes failures at `error`, callers over their limits at `warn`, and at `debug` each call. What goes on is
 * written again once a minute, with how often it happened.
 */
export function observeByLog(log: Log): Observer {
  const callers = new Repeats({
    everyMs: minuteMs,
    keysLimit: 50,
    say(key, count) {
      const [kind, caller = ''] = key.split(' ')
      const limit = limitKinds.find((one) => one === kind)
      log.warn('A caller is over a limit.', { caller, ...(limit && { limit }), count })
    },
    sayOthers: (count) => log.warn('Many more callers are over a limit.', { count }),
  })
  const failures = new Repeats({
    everyMs: minuteMs,
    keysLimit: 20,
    say: (reason, count) => log.error('The store failed.', { reason, count }),
    sayOthers: (count) => log.error('The store failed in many other ways.', { count }),
  })
  const defects = new Repeats({
    everyMs: minuteMs,
    keysLimit: 20,
    say: (where, count) =>
      log.error('This is a defect of the node; please report it.', { where, count }),
    sayOthers: (count) => log.error('The node has many other defects.', { count }),
  })
  return {
    ...silentObserver,
    callEnded: (call) => log.debug('call', call),
    limited: (kind, count, caller) => callers.add(`${kind} ${caller}`, count),
    storageFailed: (reason) => failures.add(reason),
    defect: (where) => defects.add(where),
  }
}

// An object may have more than its type says: only fields named here are written.
function lineOf(fields: CallerFields, at: Level) {
  const { version, url, nodeId, database, signal, rpc, code, count, bytes, where } = fields
  const { durationMs, chainId, reason, caller, limit } = fields
  const namesCaller = at === 'debug' || at === 'warn'
  return {
    version,
    url,
    nodeId,
    database,
    signal,
    rpc,
    code,
    count,
    bytes,
    where,
    durationMs: durationMs === undefined ? undefined : Math.round(durationMs * 1_000) / 1_000,
    chainId: chainId?.toString(),
    reason: reason === undefined ? undefined : withoutNames(reason),
    caller: namesCaller ? caller : undefined,
    limit: namesCaller ? limit : undefined,
  }
}

const reasonLimit = 300

// Addresses, installation ids, keys and hashes are long words; sentences have none.
const withoutNames = (reason: string): string =>
  reason.replaceAll(/[\w+/=-]{24,}/g, '…').slice(0, reasonLimit)
