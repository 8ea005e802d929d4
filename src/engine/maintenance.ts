/**
 * What has to be done now and then while live (docs/protocol.md sections 2, 6 and 7): keys are rotated
 * and dropped, old sessions removed. Each part fails for itself and is tried again an hour later.
 */

import type { Prekeys } from './keys/prekeys.ts'
import type { SealingKeys } from './keys/sealing-keys.ts'
import type { Decryption } from './receiving/decryption.ts'
import type { Responder } from './retransmission/responder.ts'
import type { Context } from './runtime/context.ts'
import type { Sessions } from './sessions/sessions.ts'

const intervalMs = 3_600_000

export class Maintenance {
  readonly #context: Context
  readonly #tasks: readonly (() => Promise<void>)[]
  #isLive = false
  /** Whether an earlier run may have left sessions that it should have removed. */
  #hasLeftOver = true
  #pause = new AbortController()

  constructor(
    context: Context,
    parts: {
      readonly sealingKeys: SealingKeys
      readonly prekeys: Prekeys
      readonly sessions: Sessions
      readonly decryption: Decryption
      readonly answering: Responder
    },
  ) {
    const { ratchetLock, time } = context
    this.#context = context
    this.#tasks = [
      () => parts.sealingKeys.rotateIfDue(),
      () => parts.prekeys.rotateIfDue(),
      async () => {
        // Once: whatever changes from then on is in memory.
        if (!this.#hasLeftOver) return
        await parts.sessions.loadLeftOver(time.passedMs())
        this.#hasLeftOver = false
      },
      () => ratchetLock.runExclusive(() => parts.sessions.prune(time.passedMs())),
      () => parts.decryption.forgetOld(),
      () => parts.answering.forgetOld(),
    ]
  }

  /** The connection came or went. */
  setLive(isLive: boolean): void {
    this.#isLive = isLive
    if (isLive) this.#pause.abort()
  }

  /** Works until the client closes. */
  async run(): Promise<void> {
    const { closing, platform, status } = this.#context
    const end = () => this.#pause.abort()
    closing.addEventListener('abort', end, { once: true })
    while (!closing.aborted) {
      this.#pause = new AbortController()
      if (this.#isLive) {
        for (const task of this.#tasks) {
          try {
            await task()
          } catch (error) {
            if (closing.aborted) return
            status.warnOf(error)
          }
        }
      }
      if (!closing.aborted) await platform.wait(intervalMs, this.#pause.signal)
    }
  }
}
