/**
 * Requests that never become a message: their bytes are not protobuf or JSON, or are too many.
 * Connect refuses them before our code runs, and without a code of ours; here they get the one of
 * docs/protocol.md section 13.
 */
import { Code, ConnectError, type HandlerContext } from '@connectrpc/connect'
import { ErrorDetailSchema } from '../../src/gen/padlock/v1/node_pb.ts'
import { type NodeCode, nodeCodes } from '../../src/protocol/node-codes.ts'
import { messageOf } from './refusal.ts'

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
      // Refused with a code while its body was read.
      if (error.findDetails(ErrorDetailSchema).length > 0) return
      const code = codeOf.get(error.code)
      if (code === undefined) return
      // Connect's words quote the input, and half a character cannot be written to a trailer.
      Object.assign(error, {
        code: nodeCodes[code],
        rawMessage: messageOf(code, { field: 'the whole request, which does not parse' }),
      })
      error.details.push({ desc: ErrorDetailSchema, value: { code } })
    },
    { once: true },
  )
}
