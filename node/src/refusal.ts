/**
 * Refusals as they travel: a gRPC status with one ErrorDetail (docs/protocol.md sections 5 and 13).
 */
import { ConnectError } from '@connectrpc/connect'
import { errorMessages } from '../../src/error-messages.ts'
import { ErrorDetailSchema } from '../../src/gen/padlock/v1/node_pb.ts'
import { type NodeCode, nodeCodes } from '../../src/protocol/node-codes.ts'

export interface RefusalDetails {
  /** Which envelope of a publish request. */
  readonly envelopeIndex?: number
  /** After how long a retry makes sense; 0 if the node does not know. */
  readonly retryAfterMs?: number
}

/** The error that an RPC throws to refuse. Its text is the code table's and names nothing sent. */
export const refusal = (code: NodeCode, details: RefusalDetails = {}): ConnectError =>
  new ConnectError(errorMessages[code], nodeCodes[code], undefined, [
    {
      desc: ErrorDetailSchema,
      value: {
        code,
        retryAfterMs: BigInt(details.retryAfterMs ?? 0),
        envelopeIndex: details.envelopeIndex ?? 0,
      },
    },
  ])
