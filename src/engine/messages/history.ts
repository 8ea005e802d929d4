/** The history of a conversation, page by page. */

import type { ConversationId } from '../../protocol/ids.ts'
import type { Row } from '../../store/store.ts'
import { type MessageRecord, tables } from '../../store/tables.ts'
import type { Consents } from '../consent/consents.ts'
import type { Message } from '../model.ts'
import type { Context } from '../runtime/context.ts'
import { invalidCursor, readCursor } from '../runtime/cursor-text.ts'
import { describePage, readHistory } from './message-pages.ts'

const maxPage = 500

/**
 * One page, newest first, which `pageContentLimitBytes` may end early.
 *
 * @param before the cursor of a message, which may have been deleted since
 */
export const historyPage = async (
  context: Context,
  consents: Consents,
  id: ConversationId,
  before: string | undefined,
  limit: number,
): Promise<readonly Message[]> => {
  const { store } = context
  const last = before === undefined ? undefined : (await messageAt(context, before)).value
  const rows = await readHistory(store, id, last, Math.min(limit, maxPage))
  return (await describePage(context, consents, rows)).messages
}

const messageAt = async ({ store }: Context, cursor: string): Promise<Row<MessageRecord>> => {
  const number = readCursor(cursor)
  const { rows } = await store.scan(tables.messages, { after: number - 1, limit: 1 })
  const [row] = rows
  if (row?.number !== number) throw invalidCursor()
  return row
}
