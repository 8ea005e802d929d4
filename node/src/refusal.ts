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
  /** Where in a `malformed` request the fault is, by the names of the schema. */
  readonly field?: string | undefined
  /** What is wrong there; quotes nothing of it. */
  readonly why?: string | undefined
}

/** The error that an RPC throws to refuse. Its text is the code table's and quotes nothing sent. */
export const refusal = (code: NodeCode, details: RefusalDetails = {}): ConnectError =>
  new ConnectError(messageOf(code, details), nodeCodes[code], undefined, [
    {
      desc: ErrorDetailSchema,
      value: {
        code,
        retryAfterMs: BigInt(details.retryAfterMs ?? 0),
        envelopeIndex: details.envelopeIndex ?? 0,
      },
    },
  ])

/** What a refusal says. */
export const messageOf = (code: NodeCode, { field, why }: RefusalDetails = {}): string =>
  code === 'malformed' && field !== undefined
    ? `${errorMessages.malformed} Look at ${field}${why === undefined ? '' : `: ${why}`}.`
    : errorMessages[code]
