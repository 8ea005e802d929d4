/**
 * The log: one line of JSON for each event, on standard error. What may be in a line is a closed list
 * of fields, so that no message, key or signature gets there; callers are named at `debug` only.
 */
import { type DestinationStream, type Level, pino } from 'pino'
import { type Observer, silentObserver } from './observer.ts'

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

/** What a line may hold at `debug` only. */
export interface DebugFields extends LogFields {
  readonly caller?: string
}

export interface Log {
  debug(sentence: string, fields?: DebugFields): void
  info(sentence: string, fields?: LogFields): void
  warn(sentence: string, fields?: LogFields): void
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
  const write = (at: Level, sentence: string, fields: DebugFields): void => {
    if (logger.isLevelEnabled(at)) logger[at](lineOf(fields, at === 'debug'), sentence)
  }
  return {
    debug: (sentence, fields = {}) => write('debug', sentence, fields),
    info: (sentence, fields = {}) => write('info', sentence, fields),
    warn: (sentence, fields = {}) => write('warn', sentence, fields),
    error: (sentence, fields = {}) => write('error', sentence, fields),
  }
}

/** Writes failures at `error`, and at `debug` each call. */
export const observeByLog = (log: Log): Observer => ({
  ...silentObserver,
  callEnded: (call) => log.debug('call', call),
  storageFailed: (reason) => log.error('The store failed.', { reason }),
  defect: (where) => log.error('This is a defect of the node; please report it.', { where }),
})

// An object may have more than its type says: only fields named here are written.
function lineOf(fields: DebugFields, isDebug: boolean) {
  const { version, url, nodeId, database, signal, rpc, code, count, bytes, where } = fields
  const { durationMs, chainId, reason, caller } = fields
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
    caller: isDebug ? caller : undefined,
  }
}

const reasonLimit = 300

// Addresses, installation ids, keys and hashes are long words; sentences have none.
const withoutNames = (reason: string): string =>
  reason.replaceAll(/[\w+/=-]{24,}/g, '…').slice(0, reasonLimit)
