/** What the node's tests share: clients, refusals, and accounts whose keys are real. */
import { type Code, ConnectError, createClient, type Transport } from '@connectrpc/connect'
import { ErrorDetailSchema, NodeService } from '../../src/gen/padlock/v1/node_pb.ts'

export const nodeClient = (transport: Transport) => createClient(NodeService, transport)
export type NodeClient = ReturnType<typeof nodeClient>

export interface SeenRefusal {
  readonly status: Code
  readonly code: string | undefined
  readonly envelopeIndex: number | undefined
  readonly retryAfterMs: bigint | undefined
}

/** How a call was refused; fails if it was not. */
export async function refusalOf(call: Promise<unknown>): Promise<SeenRefusal> {
  let error: unknown
  try {
    await call
  } catch (caught) {
    error = caught
  }
  if (error === undefined) throw new Error('the call was not refused')
  return readRefusal(error)
}

export function readRefusal(error: unknown): SeenRefusal {
  const connectError = ConnectError.from(error)
  const [detail] = connectError.findDetails(ErrorDetailSchema)
  return {
    status: connectError.code,
    code: detail?.code,
    envelopeIndex: detail?.envelopeIndex,
    retryAfterMs: detail?.retryAfterMs,
  }
}
