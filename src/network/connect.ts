/** A node over gRPC-web, through Connect; and the one place where its errors are translated. */

import { fromBinary } from '@bufbuild/protobuf'
import { type Client, Code, ConnectError, createClient, type Transport } from '@connectrpc/connect'
import { createGrpcWebTransport } from '@connectrpc/connect-web'
import { onAbort } from '../async.ts'
import { PadlockError } from '../errors.ts'
import {
  ErrorDetailSchema,
  InboxProofSchema,
  NodeService,
  type SubscribeResponse,
} from '../gen/padlock/v1/node_pb.ts'
import { isNodeCode } from '../protocol/node-codes.ts'
import { readSignedPrekey } from '../protocol/prekey.ts'
import { fetchGrpcWeb, ProxyRefusal } from './grpc-web-fetch.ts'
import type { ClaimedKey, Network, NodeFrame } from './network.ts'

/** How long a node may take. Tests shorten it. */
export interface NodePatience {
  /** A unary call not answered by then is `network_unavailable`; sending bytes extends the time. */
  readonly callMs: number
  /** A stream that is silent for this long is broken. */
  readonly silenceMs: number
}

/** A node sends a heartbeat at least every 25 s (section 5): this is twice that and a margin. */
const patience: NodePatience = { callMs: 20_000, silenceMs: 60_000 }
/** The slowest uplink that publishing allows for: 25 MiB in 14 minutes, 1 MiB in 53 seconds. */
const slowestBytesPerMs = 32

/** A node at a web address. @throws PadlockError invalid_argument when the address is not http(s). */
export const connectNode = (address: string, limits: NodePatience = patience): Network => {
  let baseUrl: URL
  try {
    baseUrl = new URL(address)
  } catch (cause) {
    throw new PadlockError('invalid_argument', {
      message: 'The node’s address is not a URL.',
      cause,
    })
  }
  if (baseUrl.protocol !== 'http:' && baseUrl.protocol !== 'https:') {
    throw new PadlockError('invalid_argument', {
      message: 'The node’s address must begin with http:// or https://.',
    })
  }
  // fetch refuses credentials, and the method's path is appended to what is given here.
  if (baseUrl.username || baseUrl.password || baseUrl.search || baseUrl.hash) {
    throw new PadlockError('invalid_argument', {
      message: 'The node’s address must have no user, no query and no fragment.',
    })
  }
  const transport = createGrpcWebTransport({
    baseUrl: baseUrl.href.replace(/\/$/, ''),
    fetch: fetchGrpcWeb,
  })
  return networkOver(transport, limits, baseUrl.href)
}

/** A node behind any Connect transport; `address` is for error messages. */
export const networkOver = (
  transport: Transport,
  limits: NodePatience = patience,
  address = 'the node',
): Network => {
  const client: Client<typeof NodeService> = createClient(NodeService, transport)

  const call = async <T>(
    name: string,
    signal: AbortSignal | undefined,
    run: (options: { signal: AbortSignal }) => Promise<T>,
    moreMs = 0,
  ): Promise<T> => {
    const timeout = new AbortController()
    const timer = setTimeout(() => timeout.abort(), limits.callMs + moreMs)
    const stopListening = onAbort(signal, () => timeout.abort())
    try {
      return await run({ signal: timeout.signal })
    } catch (error) {
      if (signal?.aborted) throw new PadlockError('aborted', { cause: error })
      const isLate = timeout.signal.aborted
      const how = isLate ? `no answer within ${(limits.callMs + moreMs) / 1000} s` : undefined
      throw withTried(networkError(error), `${name} at ${address}`, how)
    } finally {
      clearTimeout(timer)
      stopListening()
    }
  }

  return {
    getInfo: (signal) =>
      call('GetInfo', signal, async (options) => {
        const info = await client.getInfo({}, options)
        if (info.nodeId.length !== 16) throw new PadlockError('bad_response')
        return {
          nodeId: info.nodeId,
          version: info.version,
          nodeNs: info.nodeNs,
          retentionNs: info.retentionNs,
        }
      }),
    publish: (envelopes, signal) =>
      call(
        'Publish',
        signal,
        async (options) => {
          const { receipts } = await client.publish({ envelopes: [...envelopes] }, options)
          if (receipts.length !== envelopes.length) throw new PadlockError('bad_response')
          return receipts.map(({ sequence, nodeNs }) => ({ sequence, nodeNs }))
        },
        envelopes.reduce((sum, { message }) => sum + message.length, 0) / slowestBytesPerMs,
      ),
    query: (topics, signal) =>
      call('Query', signal, async (options) => {
        const { envelopes, hasMore } = await client.query({ topics: [...topics] }, options)
        return { envelopes, hasMore }
      }),
    claimPrekeys: (claimId, installationIds, signal) =>
      call('ClaimPrekeys', signal, async (options) => {
        const { claimed } = await client.claimPrekeys(
          { claimId, installationIds: [...installationIds] },
          options,
        )
        return claimed.map(({ installationId, prekey }): ClaimedKey => {
          const read = prekey && readSignedPrekey(prekey)
          return { installationId, prekey: read?.ok ? read.value : undefined }
        })
      }),
    subscribe: (topics, proof, signal) =>
      watchSilence(client, topics, proof, signal, limits.silenceMs, address),
  }
}

/** The stream as frames; one that is silent for too long is broken. */
async function* watchSilence(
  client: Client<typeof NodeService>,
  topics: readonly { topic: string; afterSequence: bigint }[],
  proof: Uint8Array,
  signal: AbortSignal,
  silenceMs: number,
  address: string,
): AsyncGenerator<NodeFrame> {
  const end = new AbortController()
  const stopListening = onAbort(signal, () => end.abort())
  let timer: ReturnType<typeof setTimeout> | undefined
  const listen = () => {
    clearTimeout(timer)
    timer = setTimeout(() => end.abort(), silenceMs)
  }
  try {
    listen()
    const stream = client.subscribe(
      { topics: [...topics], proofs: [fromBinary(InboxProofSchema, proof)] },
      { signal: end.signal },
    )
    for await (const response of stream) {
      // While the consumer works, the silence is not the node's.
      clearTimeout(timer)
      const frame = toFrame(response)
      if (frame) yield frame
      listen()
    }
    if (!signal.aborted) throw new PadlockError('network_unavailable')
  } catch (error) {
    if (!signal.aborted) {
      const how = end.signal.aborted ? `nothing came for ${silenceMs / 1000} s` : undefined
      throw withTried(networkError(error), `Subscribe at ${address}`, how)
    }
  } finally {
    clearTimeout(timer)
    stopListening()
    end.abort()
  }
}

const toFrame = ({ event }: SubscribeResponse): NodeFrame | undefined => {
  switch (event.case) {
    case 'started':
      return { kind: 'started', nodeId: event.value.nodeId }
    case 'envelopes':
      return { kind: 'envelopes', envelopes: event.value.envelopes }
    case 'caughtUp':
      return { kind: 'caught_up' }
    case 'heartbeat':
      return { kind: 'heartbeat', nodeNs: event.value.nodeNs }
    case 'prekeyStock':
      return {
        kind: 'prekey_stock',
        installationId: event.value.installationId,
        oneTimeLeft: event.value.oneTimeLeft,
        newestCreatedNs: event.value.newestCreatedNs,
      }
    // An event from a later release.
    case undefined:
      return undefined
  }
}

/**
 * Reads codes, never texts: a proxy's refusal, else the node's ErrorDetail, else the gRPC status. A
 * detail may carry only node codes: the others are for this SDK to report.
 */
export const networkError = (error: unknown): PadlockError => {
  if (error instanceof PadlockError) return error
  if (!(error instanceof ConnectError)) return new PadlockError('bad_response', { cause: error })
  if (error.cause instanceof ProxyRefusal) {
    const { code, retryAfterMs } = error.cause
    const details = retryAfterMs === undefined ? undefined : { retryAfterMs }
    return new PadlockError(code, { details, cause: error })
  }
  const [detail] = error.findDetails(ErrorDetailSchema)
  if (!detail) return new PadlockError(codeOfStatus(error.code), { cause: error })
  const details = {
    envelopeIndex: detail.envelopeIndex,
    retryAfterMs: Number(detail.retryAfterMs),
  }
  if (isNodeCode(detail.code)) return new PadlockError(detail.code, { details, cause: error })
  return new PadlockError(codeOfLaterRelease(error.code), {
    details: { ...details, nodeCode: detail.code.slice(0, 64) },
    cause: error,
  })
}

/** Adds what was called and where; a code from the node itself says enough. */
const withTried = (error: PadlockError, asked: string, how: string | undefined): PadlockError => {
  const isProxys = error.cause instanceof ConnectError && error.cause.cause instanceof ProxyRefusal
  if (!(unexplained.has(error.code) || isProxys)) return error
  if (error.details?.tried !== undefined) return error
  const tried = [asked, how ?? wordsOf(error.cause)].filter(Boolean).join(': ')
  return new PadlockError(error.code, { details: { ...error.details, tried }, cause: error.cause })
}

const unexplained: ReadonlySet<string> = new Set([
  'network_unavailable',
  'bad_response',
  'incompatible_node',
])

/** Connect's message without its code, and the underlying one of `fetch`. */
const wordsOf = (cause: unknown): string => {
  const outer = cause instanceof ConnectError ? cause.rawMessage : ''
  const inner = cause instanceof Error && cause.cause instanceof Error ? cause.cause.message : ''
  const words = inner === '' || inner === outer ? outer : `${outer} (${inner})`
  return words.slice(0, 200)
}

/** A status without a detail, so perhaps not from a node. */
const codeOfStatus = (status: Code) => {
  switch (status) {
    case Code.Unimplemented:
      return 'incompatible_node'
    case Code.Unavailable:
    case Code.DeadlineExceeded:
    case Code.Canceled:
    case Code.Aborted:
      return 'network_unavailable'
    case Code.ResourceExhausted:
      return 'rate_limited'
    default:
      return 'bad_response'
  }
}

/**
 * A refusal with a code that this release does not know: its status still shows whether to retry.
 */
const codeOfLaterRelease = (status: Code) => {
  switch (status) {
    case Code.InvalidArgument:
    case Code.FailedPrecondition:
    case Code.PermissionDenied:
    case Code.Unimplemented:
      return 'incompatible_node'
    case Code.ResourceExhausted:
      return 'rate_limited'
    default:
      return 'unavailable'
  }
}
