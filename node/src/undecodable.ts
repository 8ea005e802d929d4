/**
 * Requests that never become a message: bytes that are no protobuf or JSON, or more of them than are
 * read. Connect refuses these before any code of ours runs, parsing errors as INTERNAL and without a
 * code of ours; here they get the one that docs/protocol.md section 13 has for them.
 */
import { Code, ConnectError, type HandlerContext } from '@connectrpc/connect'
import { errorMessages } from '../../src/error-messages.ts'
import { ErrorDetailSchema } from '../../src/gen/padlock/v1/node_pb.ts'
import { type NodeCode, nodeCodes } from '../../src/protocol/node-codes.ts'

const codeOf = new Map<Code, NodeCode>([
  [Code.Internal, 'malformed'],
  [Code.InvalidArgument, 'malformed'],
  [Code.ResourceExhausted, 'too_large'],
])

/**
 * To be called when a call begins. Connect hands the error that a call fails with to the call's
 * signal before it is written out in the call's protocol, and that is the only place all of them
 * pass; `isOurs` recognises those that the service itself threw.
 */
export function labelUndecodable(
  context: HandlerContext,
  isOurs: (error: ConnectError) => boolean,
): void {
  const { signal } = context
  signal.addEventListener(
    'abort',
    () => {
      const error: unknown = signal.reason
      if (!(error instanceof ConnectError) || isOurs(error)) return
      // Refused while its body was read, with a code.
      if (error.findDetails(ErrorDetailSchema).length > 0) return
      const code = codeOf.get(error.code)
      if (code === undefined) return
      // Its own words quote what was sent, and half of a character cannot be written to a trailer.
      Object.assign(error, { code: nodeCodes[code], rawMessage: errorMessages[code] })
      error.details.push({ desc: ErrorDetailSchema, value: { code } })
    },
    { once: true },
  )
}
