/** A node over gRPC-web, by Connect; and the one place where its errors are translated. */

import { fromBinary } from '@bufbuild/protobuf'
import { type Client, Code, ConnectError, createClient, type Transport } from '@connectrpc/connect'
import { createGrpcWebTransport } from '@connectrpc/connect-web'
import { isPadlockErrorCode, PadlockError } from '../errors.ts'
import {
  ErrorDetailSchema,
  InboxProofSchema,
  NodeService,
  type SubscribeResponse,
} from '../gen/padlock/v1/node_pb.ts'
import { readSignedPrekey } from '../protocol/prekey.ts'
import type { ClaimedKey, Network, NodeFrame } from './network.ts'

/** A unary call without an answer by then is `network_unavailable`. */
const callTimeoutMs = 20_000
/** A node sends a heartbeat every 25 s at least (section 5); twice that and a margin. */
const silenceMs = 60_000

/** A node at a web address. @throws PadlockError invalid_argument when the address is not http(s). */
export const connectNode = (address: string): Network => {
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
  return networkOver(createGrpcWebTransport({ baseUrl: baseUrl.href.replace(/\/$/, '') }))
}

/** A node behind any Connect transport. */
export const networkOver = (transport: Transport): Network => {
  const client: Client<typeof NodeService> = createClient(NodeService, transport)

  const call = async <T>(
    signal: AbortSignal | undefined,
    run: (options: { signal: AbortSignal }) => Promise<T>,
  ): Promise<T> => {
    const timeout = new AbortController()
    const timer = setTimeout(() => timeout.abort(), callTimeoutMs)
    const forward = () => timeout.abort()
    signal?.addEventListener('abort', forward, { once: true })
    if (signal?.aborted) timeout.abort()
    try {
      return await run({ signal: timeout.signal })
    } catch (error) {
      if (signal?.aborted) throw new PadlockError('aborted', { cause: error })
      throw networkError(error)
    } finally {
      clearTimeout(timer)
      signal?.removeEventListener('abort', forward)
    }
  }

  return {
    getInfo: (signal) =>
      call(signal, async (options) => {
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
      call(signal, async (options) => {
        const { receipts } = await client.publish({ envelopes: [...envelopes] }, options)
        if (receipts.length !== envelopes.length) throw new PadlockError('bad_response')
        return receipts.map(({ sequence, nodeNs }) => ({ sequence, nodeNs }))
      }),
    query: (topics, signal) =>
      call(signal, async (options) => {
        const { envelopes, hasMore } = await client.query({ topics: [...topics] }, options)
        return { envelopes, hasMore }
      }),
    claimPrekeys: (claimId, installationIds, signal) =>
      call(signal, async (options) => {
        const { claimed } = await client.claimPrekeys(
          { claimId, installationIds: [...installationIds] },
          options,
        )
        return claimed.map(({ installationId, prekey }): ClaimedKey => {
          const read = prekey && readSignedPrekey(prekey)
          return { installationId, prekey: read?.ok ? read.value : undefined }
        })
      }),
    subscribe: (topics, proof, signal) => watchSilence(client, topics, proof, signal),
  }
}

/** The stream as frames; a stream that says nothing for too long is broken. */
async function* watchSilence(
  client: Client<typeof NodeService>,
  topics: readonly { topic: string; afterSequence: bigint }[],
  proof: Uint8Array,
  signal: AbortSignal,
): AsyncGenerator<NodeFrame> {
  const end = new AbortController()
  const forward = () => end.abort()
  signal.addEventListener('abort', forward, { once: true })
  if (signal.aborted) end.abort()
  let timer: ReturnType<typeof setTimeout> | undefined
  const listen = () => {
    clearTimeout(timer)
    timer = setTimeout(forward, silenceMs)
  }
  try {
    listen()
    const stream = client.subscribe(
      { topics: [...topics], proofs: [fromBinary(InboxProofSchema, proof)] },
      { signal: end.signal },
    )
    for await (const response of stream) {
      // While the consumer works, silence is its own, not the node's.
      clearTimeout(timer)
      const frame = toFrame(response)
      if (frame) yield frame
      listen()
    }
    if (!signal.aborted) throw new PadlockError('network_unavailable')
  } catch (error) {
    if (!signal.aborted) throw networkError(error)
  } finally {
    clearTimeout(timer)
    signal.removeEventListener('abort', forward)
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
    // An event of a later release.
    case undefined:
      return undefined
  }
}

/** Reads codes, never texts: the node's ErrorDetail first, then the gRPC status. */
export const networkError = (error: unknown): PadlockError => {
  if (error instanceof PadlockError) return error
  if (!(error instanceof ConnectError)) return new PadlockError('bad_response', { cause: error })
  const [detail] = error.findDetails(ErrorDetailSchema)
  if (detail && isPadlockErrorCode(detail.code)) {
    return new PadlockError(detail.code, {
      details: {
        envelopeIndex: detail.envelopeIndex,
        retryAfterMs: Number(detail.retryAfterMs),
      },
      cause: error,
    })
  }
  switch (error.code) {
    case Code.Unimplemented:
      return new PadlockError('incompatible_node', { cause: error })
    case Code.Unavailable:
    case Code.DeadlineExceeded:
    case Code.Canceled:
    case Code.Aborted:
      return new PadlockError('network_unavailable', { cause: error })
    case Code.ResourceExhausted:
      return new PadlockError('rate_limited', { cause: error })
    case Code.Unknown:
      // fetch throws a TypeError when there is no connection; Connect wraps it.
      return new PadlockError(
        error.cause instanceof TypeError ? 'network_unavailable' : 'bad_response',
        { cause: error },
      )
    default:
      return new PadlockError('bad_response', { cause: error })
  }
}
