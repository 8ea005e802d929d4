/**
 * The far side of the boundary: chooses the implementations, and serves the engine to the facade.
 * Runs in a Worker, or anywhere else with a port.
 */

import { joinSignals } from '../async.ts'
import type { ContractQuestion, SignatureStatus } from '../chains/chains.ts'
import type { Crypto } from '../crypto/crypto.ts'
import { loadWasmCrypto } from '../crypto/wasm.ts'
import { findCurves } from '../crypto/webcrypto.ts'
import { listInstallations, revokeWithoutClient } from '../engine/account-desk.ts'
import { Engine } from '../engine/engine.ts'
import type { ClientEvent } from '../engine/model.ts'
import { messageOf, PadlockError } from '../errors.ts'
import { connectNode } from '../network/connect.ts'
import { browserPlatform } from '../platform/browser.ts'
import { openIdbStore } from '../store/idb.ts'
import type { AccountRequest, HostApi, WorkerApi } from './contract.ts'
import { deleteDatabase, lockOf } from './local-database.ts'
import { namingPolicy } from './policy-reports.ts'
import { connectRpc, type Port } from './rpc.ts'

/** A chain that has not answered by then is unreachable, whatever the page's own limit. */
const chainTimeoutMs = 20_000
/** Events per delivery; newer ones wait for the next. */
const maxDelivery = 200
/** Events waiting for delivery. Beyond that the oldest is dropped: the store is the truth. */
const maxWaitingEvents = 5_000

/** Serves one client on a port, until it is closed. */
export const serve = (port: Port): void => {
  let crypto: Crypto | undefined
  let engine: Engine | undefined
  let database = ''
  let isOpening = false
  const ending = new AbortController()
  const events: ClientEvent[] = []
  let isDelivering = false
  let returned: () => void = () => undefined

  const deliver = async () => {
    if (isDelivering) return
    isDelivering = true
    try {
      while (events.length > 0) {
        await host.remote.deliver({ events: events.splice(0, maxDelivery) })
      }
    } catch {
      // The other side is gone or closed: nobody is left to receive it.
      events.length = 0
    } finally {
      isDelivering = false
    }
  }

  const emit = (event: ClientEvent) => {
    events.push(event)
    if (events.length > maxWaitingEvents) events.shift()
    void deliver()
  }

  /** Calls an engine; if that ended by itself meanwhile, the call fails for this reason. */
  const through = async <T>(call: (engine: Engine) => T | Promise<T>): Promise<T> => {
    const running = engine
    if (!running) throw new PadlockError('closed')
    try {
      if (running.endedBy) throw running.endedBy
      return await call(running)
    } catch (error) {
      throw running.endedBy ?? error
    }
  }

  /** The wallet and the chains, which are on the page. */
  const signerOf = ({ contractChainId, chainIds }: AccountRequest) => ({
    contractChainId,
    signText: (text: string, address: string, signal: AbortSignal) =>
      host.remote.signText({ text, address }, { signal }),
    findChain: (address: string, signal: AbortSignal) =>
      // The page bounds how long its wallet may take for this.
      host.remote.findChain({ address }, { signal }),
    chains: {
      ids: new Set(chainIds),
      verify: (question: ContractQuestion, signal: AbortSignal) =>
        host.remote
          .verifyContract(question, { signal, timeoutMs: chainTimeoutMs })
          .catch((): SignatureStatus => 'unreachable'),
    },
  })

  /** What a call needs that works on an account without a client. */
  const withoutClient = (arg: AccountRequest) => {
    if (!crypto) throw new PadlockError('internal')
    const signer = signerOf(arg)
    const { chains } = signer
    return { crypto, network: connectNode(arg.node), platform: browserPlatform, chains, signer }
  }

  const own: WorkerApi = {
    load: async ({ wasm }) => {
      crypto ??= await namingPolicy('wasm_unavailable', () => loadWasmCrypto(wasm))
    },
    open: async (arg, signal) => {
      const loaded = crypto
      if (!loaded || engine || isOpening) throw new PadlockError('internal')
      isOpening = true
      database = arg.database
      const network = connectNode(arg.node)
      const untilEnd = joinSignals(signal, ending.signal)
      try {
        engine = await namingPolicy('network_unavailable', async () =>
          Engine.open(
            {
              address: arg.address,
              lock: lockOf(database),
              knownInstallationId: arg.knownInstallationId,
              crypto: loaded,
              curves: await findCurves(loaded),
              network,
              platform: {
                ...browserPlatform,
                onReturn: (listener) => {
                  returned = listener
                  return () => {
                    returned = () => undefined
                  }
                },
              },
              renew: arg.renew,
              openStore: (onLost, onLostRecord) =>
                openIdbStore(database, loaded, onLost, onLostRecord),
              ...signerOf(arg),
              emit,
            },
            untilEnd.signal,
          ),
        )
      } catch (error) {
        throw withDatabase(error, database)
      } finally {
        untilEnd.release()
      }
      return {
        address: engine.address,
        installationId: engine.installationId,
        status: engine.status,
      }
    },
    conversation: ({ address }) => through((running) => running.conversation(address)),
    conversations: ({ limit, before, consent }) =>
      through((running) => running.conversations(limit, before, consent)),
    consent: ({ address }) => through((running) => running.consent(address)),
    setConsent: ({ address, consent }) =>
      through((running) => running.setConsent(address, consent)),
    delete: ({ conversationId, messageIds }) =>
      through((running) => running.delete(conversationId, messageIds)),
    send: ({ conversationId, content }) =>
      through((running) => running.send(conversationId, content)),
    whenSent: ({ messageId }, signal) => through((running) => running.whenSent(messageId, signal)),
    history: ({ conversationId, before, limit }) =>
      through((running) => running.history(conversationId, before, limit)),
    returned: async () => returned(),
    lastCursor: () => through((running) => running.lastCursor()),
    nextMessages: ({ after, conversationId, consent }, signal) =>
      through((running) => running.nextMessages(after, conversationId, signal, consent)),
    news: ({ since, limit }) => through((running) => running.news(since, limit)),
    installations: ({ address }) => through((running) => running.installations(address)),
    canMessage: ({ address }) => through((running) => running.canMessage(address)),
    revoke: ({ ids }, signal) => through((running) => running.revoke(ids, signal)),
    vouch: ({ ids }) => through((running) => running.vouch(ids)),
    listInstallations: async (arg, signal) =>
      listInstallations(withoutClient(arg), arg.address, signal),
    revokeInstallations: async (arg, signal) => {
      const { signer, ...sources } = withoutClient(arg)
      await revokeWithoutClient(sources, signer, arg, signal)
    },
    close: async ({ deleteData }) => {
      ending.abort()
      await engine?.close()
      // One that ended by itself stays, to say why.
      if (!engine?.endedBy) engine = undefined
      if (deleteData && database !== '') await deleteDatabase(database)
    },
  }
  const host = connectRpc<WorkerApi, HostApi>(port, own)
}

/** Which database it was about: an application may have several, and may want to delete it. */
const withDatabase = (error: unknown, database: string): unknown =>
  error instanceof PadlockError && error.code.startsWith('storage_')
    ? new PadlockError(error.code, {
        message: error.message === messageOf(error.code, error.details) ? undefined : error.message,
        details: { ...error.details, database },
        cause: error.cause,
      })
    : error
