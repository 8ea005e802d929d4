/** What the parts of the engine share. */

import type { Crypto, Curves } from '../../crypto/crypto.ts'
import type { Network } from '../../network/network.ts'
import type { Platform } from '../../platform/platform.ts'
import type { Address, IdentityKeys, InstallationId } from '../../protocol/ids.ts'
import type { Store } from '../../store/store.ts'
import type { ClientEvent } from '../model.ts'
import type { Mutex } from './mutex.ts'
import type { NodeTime } from './node-time.ts'
import type { StatusBoard } from './status.ts'

export interface Surroundings {
  readonly crypto: Crypto
  /** If undefined, wasm does all curve arithmetic. */
  readonly curves: Curves | undefined
  readonly store: Store
  readonly network: Network
  readonly platform: Platform
  readonly time: NodeTime
}

/** Our own installation. */
export interface Account {
  readonly address: Address
  readonly installationId: InstallationId
  readonly keys: IdentityKeys
  /** Opaque and secret: signs, and creates sessions. */
  readonly identity: Uint8Array
}

export interface Context extends Surroundings {
  readonly account: Account
  readonly status: StatusBoard
  /** Hold this to change ratchets or prekey secrets: such tasks run one after the other. */
  readonly ratchetLock: Mutex
  /** Aborts when the client closes: every wait and every call to the node ends then. */
  readonly closing: AbortSignal
  /** Emits an event to the application. */
  emit(event: ClientEvent): void
}
