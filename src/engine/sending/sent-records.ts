/** What was sent to whom, by digest: whoever cannot decrypt it asks for it by that (section 10). */

import type { Write } from '../../store/store.ts'
import { put, tables } from '../../store/tables.ts'
import type { Context } from '../runtime/context.ts'
import type { FanoutRow } from './fanout.ts'

/** @param messageIds of the messages that `rows` are the envelopes of, in the same order. */
export const sentWrite = (
  { store, time }: Context,
  rows: readonly (readonly FanoutRow[])[],
  messageIds: readonly string[],
): Write =>
  put(tables.sent, store.nextNumber(tables.sent), {
    sentMs: BigInt(time.stampMs()),
    envelopes: rows.flatMap((envelopes, at) =>
      envelopes.map(({ digest, recipient }) => ({
        digest,
        installationId: recipient,
        messageId: messageIds[at] ?? '',
        answers: 0,
      })),
    ),
  })
