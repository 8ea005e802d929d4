/** What a quiet day shows of strangers: what they left behind, what they learned, what a start costs after them. */
import type { QuietDay } from './quiet-day.ts'
import { judgeAfterStrangers } from './strangers/bounds.ts'
import { judgePresence } from './strangers/presence.ts'
import type { World } from './world.ts'

/** After a start everything that it reads is read by then. */
const settledMs = 60_000

export interface QuietFigures extends Omit<QuietDay, 'sent'> {
  /** The most records that a program read when it was started again. */
  readonly readAtStart: number
  /** What strangers put into inboxes. */
  readonly put: { readonly envelopes: number; readonly bytes: number }
  /** The most that any device held because of them. */
  readonly held: Readonly<Record<string, number>>
}

/** Call this while the programs run; they are closed by it. */
export const judgeQuietDay = async (
  world: World,
  { delays, found }: QuietDay,
): Promise<QuietFigures> => {
  const { devices, time, crowd } = world
  let readAtStart = 0
  for (const device of devices) {
    await device.close()
    await device.open()
    await time.sleep(settledMs)
    readAtStart = Math.max(readAtStart, device.recordsRead)
    await device.close()
  }
  await judgePresence(world)
  return {
    delays,
    found,
    readAtStart,
    put: crowd?.put ?? { envelopes: 0, bytes: 0 },
    held: await judgeAfterStrangers(world),
  }
}
