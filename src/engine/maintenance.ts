/**
 * Periodic work while live (docs/protocol.md sections 2, 6 and 7): rotates and drops keys, and
 * removes old sessions and records. Each task fails independently and is retried an hour later.
 */

import { hourMs } from '../protocol/limits.ts'
import type { Consents } from './consent/consents.ts'
import type { Prekeys } from './keys/prekeys.ts'
import type { SealingKeys } from './keys/sealing-keys.ts'
import type { Seen } from './receiving/seen.ts'
import type { SetAside } from './receiving/set-aside.ts'
import type { Context } from './runtime/context.ts'
import { forgetOldNews } from './runtime/news.ts'
import { TaskLoop } from './runtime/task-loop.ts'
import { forgetOldSent } from './sending/sent-records.ts'
import type { Sessions } from './sessions/sessions.ts'
import { forgetStrangers, type StrangersParts } from './strangers.ts'

export interface MaintenanceParts {
  readonly sealingKeys: SealingKeys
  readonly prekeys: Prekeys
  readonly sessions: Sessions
  readonly consents: Consents
  readonly conversations: StrangersParts['conversations']
  readonly directory: StrangersParts['directory']
  readonly seen: Seen
  readonly setAside: SetAside
}

export class Maintenance {
  readonly #context: Context
  readonly #tasks: readonly (() => Promise<void>)[]
  readonly #loop: TaskLoop
  #isLive = false
  /** Whether an earlier run may have left sessions that it should have removed. */
  #hasLeftOver = true

  constructor(context: Context, parts: MaintenanceParts) {
    const { ratchetLock, time } = context
    this.#context = context
    this.#loop = new TaskLoop(context, () => this.#runTasks())
    this.#tasks = [
      () => parts.sealingKeys.rotateIfDue(),
      () => parts.prekeys.rotateIfDue(),
      async () => {
        // Once: sessions that change from then on are in memory.
        if (!this.#hasLeftOver) return
        await parts.sessions.loadLeftOver(time.passedMs(), parts.prekeys.oldestFallbackNs)
        this.#hasLeftOver = false
      },
      () =>
        ratchetLock.runExclusive(() =>
          parts.sessions.prune(time.passedMs(), parts.prekeys.oldestFallbackNs),
        ),
      () =>
        parts.sessions.pruneRequests((addresses) => parts.consents.allowed(addresses), ratchetLock),
      () => forgetStrangers(context, parts),
      () => parts.seen.forgetOld(),
      async () => {
        const more = () => ratchetLock.runExclusive(() => parts.seen.mergeSome())
        while (!context.closing.aborted && (await more()));
      },
      () => ratchetLock.runExclusive(() => parts.setAside.forgetOld()),
      () => forgetOldSent(context),
      () => forgetOldNews(context),
    ]
  }

  /** The connection was established or lost. */
  setLive(isLive: boolean): void {
    this.#isLive = isLive
    if (isLive) this.#loop.wake()
  }

  /** Runs until the client closes. */
  run(): Promise<void> {
    return this.#loop.run()
  }

  async #runTasks(): Promise<number> {
    const { closing, status } = this.#context
    for (const task of this.#isLive ? this.#tasks : []) {
      try {
        await task()
      } catch (error) {
        if (closing.aborted) break
        status.warnOf(error)
      }
    }
    return hourMs
  }
}
