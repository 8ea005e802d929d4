/**
 * The far side of the boundary: chooses the implementations, and serves the engine to the facade.
 * Runs in a Worker, or anywhere else with a port.
 */

import { joinSignals } from '../async.ts'
import type { Crypto } from '../crypto/crypto.ts'
import { loadWasmCrypto } from '../crypto/wasm.ts'
import { findCurves } from '../crypto/webcrypto.ts'
import { Engine } from '../engine/engine.ts'
import type { ClientEvent } from '../engine/model.ts'
import { PadlockError } from '../errors.ts'
import { connectNode } from '../network/connect.ts'
import { browserPlatform } from '../platform/browser.ts'
import { encodeBase64Url, encodeUtf8 } from '../protocol/bytes.ts'
import { digestEnvelope } from '../protocol/ids.ts'
import { openIdbStore } from '../store/idb.ts'
import type { HostApi, WorkerApi } from './contract.ts'
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

  const running = (): Engine => {
    if (!engine) throw new PadlockError('closed')
    return engine
  }

  const own: WorkerApi = {
    load: async ({ wasm }) => {
      crypto ??= await namingPolicy('wasm_unavailable', () => loadWasmCrypto(wasm))
    },
    open: async (arg, signal) => {
      const loaded = crypto
      if (!loaded || engine || isOpening) throw new PadlockError('internal')
      isOpening = true
      database = arg.database ?? defaultDatabase(arg.address)
      const network = connectNode(arg.node)
      const untilEnd = joinSignals(signal, ending.signal)
      try {
        engine = await namingPolicy('network_unavailable', async () =>
          Engine.open(
            {
              address: arg.address,
              database,
              crypto: loaded,
              curves: await findCurves(loaded),
              network,
              platform: browserPlatform,
              renew: arg.renew,
              openStore: (onLost) => openIdbStore(database, loaded, onLost),
              signText: (text, address, asking) =>
                host.remote.signText({ text, address }, { signal: asking }),
              contractChainId: arg.contractChainId,
              findChain: (address, asking) =>
                host.remote.findChain({ address }, { signal: asking, timeoutMs: chainTimeoutMs }),
              chains: {
                ids: new Set(arg.chainIds),
                verify: (question, asking) =>
                  host.remote
                    .verifyContract(question, { signal: asking, timeoutMs: chainTimeoutMs })
                    .catch(() => 'unreachable'),
              },
              emit,
            },
            untilEnd.signal,
          ),
        )
      } finally {
        untilEnd.release()
      }
      return {
        address: engine.address,
        installationId: engine.installationId,
        status: engine.status,
      }
    },
    conversation: async ({ address }) => running().conversation(address),
    conversations: async () => running().conversations(),
    send: async ({ conversationId, content }) => running().send(conversationId, content),
    whenSent: async ({ messageId }, signal) => running().whenSent(messageId, signal),
    history: async ({ conversationId, before, limit }) =>
      running().history(conversationId, before, limit),
    lastCursor: async () => running().lastCursor(),
    nextMessages: async ({ after, conversationId }, signal) =>
      running().nextMessages(after, conversationId, signal),
    installations: async ({ address }) => running().installations(address),
    canMessage: async ({ address }) => running().canMessage(address),
    revoke: async ({ ids }, signal) => running().revoke(ids, signal),
    close: async ({ deleteData }) => {
      ending.abort()
      await engine?.close()
      engine = undefined
      if (deleteData && database !== '') await deleteDatabase(database)
    },
  }
  const host = connectRpc<WorkerApi, HostApi>(port, own)
}

/** One database for each account; its name does not reveal the address. */
const defaultDatabase = (address: string): string => {
  const name = encodeUtf8(`padlock/database/1 ${address.toLowerCase()}`)
  return `padlock-${encodeBase64Url(digestEnvelope(name)).slice(0, 22)}`
}

/** A connection that is closing counts as open until its last transaction has ended. */
const blockedWaitMs = 5_000

const deleteDatabase = (name: string): Promise<void> =>
  new Promise((resolve, reject) => {
    const request = indexedDB.deleteDatabase(name)
    request.onsuccess = () => resolve()
    request.onerror = () => reject(new PadlockError('storage_failed', { cause: request.error }))
    // Not final: the request continues once nothing holds the database open any more.
    request.onblocked = () => {
      setTimeout(() => reject(new PadlockError('storage_blocked')), blockedWaitMs)
    }
  })
