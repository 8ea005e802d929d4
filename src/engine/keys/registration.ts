/**
 * This client's installation: opened from the store, or created, granted by the wallet and
 * published. Secrets are stored before their public keys are sent; the two envelopes of a
 * registration are stored with them, so a retry sends the same bytes and never asks the wallet
 * again.
 */

import { noChains } from '../../chains/chains.ts'
import { PadlockError, type PadlockErrorCode } from '../../errors.ts'
import { equalBytes } from '../../protocol/bytes.ts'
import { buildContactBundle, parseContactBundle } from '../../protocol/contact.ts'
import {
  type Address,
  deriveInstallationId,
  type IdentityKeys,
  type InstallationId,
} from '../../protocol/ids.ts'
import { dayMs, installationsLimit, stockTarget } from '../../protocol/limits.ts'
import { sealingKeySigningBytes } from '../../protocol/signing-bytes.ts'
import { buildGrantText, formatCurrentTime } from '../../protocol/signing-texts.ts'
import { contactTopic, prekeyTopic, revokedTopic } from '../../protocol/topics.ts'
import { chainOf } from '../../protocol/wallet-association.ts'
import type { Store } from '../../store/store.ts'
import { put, remove, tables } from '../../store/tables.ts'
import { type AccountSources, readAccount } from '../membership/account-reader.ts'
import { commit, recordUpdate } from '../runtime/change.ts'
import type { Account, Context, Surroundings } from '../runtime/context.ts'
import { scanAll } from '../runtime/scan-all.ts'
import { askNodeFirst } from './node-first.ts'
import { makePrekeys } from './prekey-uploads.ts'
import type { Prekeys } from './prekeys.ts'
import { type Signer, signAsWallet } from './signing.ts'

/**
 * Opens the installation of this account, and registers it first if it is new.
 *
 * @throws PadlockError other_account, wallet_*, network_unavailable and the node's refusals
 */
export const openAccount = async (
  surroundings: Surroundings,
  address: Address,
  signer: Signer,
  signal: AbortSignal,
): Promise<Account> => {
  const { store } = surroundings
  let stored = (await store.get(tables.identity, 'identity'))?.value
  if (stored && !stored.registered && isOfOtherChain(stored.contactBundle, signer)) {
    await forgetRegistration(store)
    stored = undefined
  }
  if (!stored) {
    await register(surroundings, address, signer, signal)
    stored = (await store.get(tables.identity, 'identity'))?.value
  }
  if (!stored) throw new PadlockError('internal')
  if (stored.address !== address) throw new PadlockError('other_account')
  const keys: IdentityKeys = { curve25519: stored.curve25519, ed25519: stored.ed25519 }
  const id = deriveInstallationId(keys)
  if (!id.ok) throw new PadlockError('storage_damaged')
  const account = { address, installationId: id.value, keys, identity: stored.state }

  if (!stored.registered) {
    try {
      await publishRegistration(
        surroundings,
        account,
        stored.contactBundle,
        stored.prekeyUpload,
        signal,
      )
    } catch (error) {
      if (isRefusal(error)) await forgetRegistration(store)
      throw asWalletError(error, stored.contactBundle)
    }
    await commit(
      store,
      recordUpdate(tables.identity, 'identity', (record) => ({ ...record, registered: true })),
    )
  }
  return account
}

/**
 * Registers this installation at a node that does not know it: another node, or one that lost its
 * data. It gets the same bundle and new prekeys, as those of the first upload may have been used
 * (docs/protocol.md section 10).
 */
export const registerAtNode = async (
  context: Context,
  prekeys: Prekeys,
  nodeId: Uint8Array,
): Promise<void> => {
  const { store, network, account, closing, status } = context
  const identity = (await store.get(tables.identity, 'identity'))?.value
  if (!identity) throw new PadlockError('storage_damaged')
  if (equalBytes(identity.nodeId, nodeId)) return
  try {
    await republishRevocations(context)
    const topic = contactTopic(account.address)
    await network.publish([{ topic, message: identity.contactBundle }], closing)
  } catch (error) {
    const code = error instanceof PadlockError ? error.code : undefined
    if (code === 'revoked') {
      status.setState('revoked')
      return
    }
    // The node has a newer bundle: the database was rolled back, which the next step detects.
    if (code !== 'sealing_key_not_newer') throw error
  }
  await prekeys.replace()
  const readBeforeNs = await newestProcessed(store)
  await commit(
    store,
    recordUpdate(tables.identity, 'identity', (record) => ({ ...record, nodeId, readBeforeNs })),
  )
}

/** A node that never received them would serve revoked devices as valid (section 10). */
const republishRevocations = async ({ store, network, account, closing }: Context) => {
  const topic = revokedTopic(account.address)
  for await (const { value } of scanAll(store, tables.revocations)) {
    try {
      await network.publish([{ topic, message: value.message }], closing)
    } catch (error) {
      // A revocation that is moot, or that the node refuses, must not stop the others.
      if (!(error instanceof PadlockError) || error.retryable) throw error
    }
  }
}

/** The node time of the newest processed envelope; 0 if there is none. */
const newestProcessed = async (store: Store): Promise<bigint> => {
  let newest = 0n
  for await (const { value } of scanAll(store, tables.seen)) {
    if (value.nodeNs > newest) newest = value.nodeNs
  }
  return newest
}

/** Nobody signs for an installation that the node will refuse. */
const requirePlace = async (
  sources: AccountSources,
  address: Address,
  nodeNs: bigint,
  signal: AbortSignal,
): Promise<void> => {
  const known = await readAccount(sources, address, signal, nodeNs)
  const taken = [...known.values()].filter(
    ({ state, revokedNs }) => state !== 'unknown' && revokedNs === 0n,
  ).length
  if (taken >= installationsLimit) {
    throw new PadlockError('too_many_installations', { details: { installations: taken } })
  }
}

/** Creates the keys, asks the wallet, and stores everything in one transaction. */
const register = async (
  { crypto, store, network, platform, time }: Surroundings,
  address: Address,
  signer: Signer,
  signal: AbortSignal,
): Promise<void> => {
  const findNode = async (): Promise<Uint8Array> => {
    const { nodeNs, nodeId } = await network.getInfo(signal)
    time.onNodeTime(nodeNs)
    await requirePlace({ crypto, network, platform, chains: noChains }, address, nodeNs, signal)
    return nodeId
  }
  // Nobody signs for a node that is away or for an account that is full, if that is known in time.
  const node = await askNodeFirst(findNode, platform, signal)

  const begun = await unsignedRegistration(store, address, platform.nowMs())
  const { identity, ...keys } = begun ?? crypto.createIdentity()
  const id = deriveInstallationId(keys)
  if (!id.ok) throw new PadlockError('internal')

  const currentTime = begun?.currentTime ?? formatCurrentTime(platform.nowMs())
  const buildText = (chainId: bigint | undefined) =>
    buildGrantText({ address, currentTime, keys, chainId })
  const signing = { address, currentTime, buildText, wasAsked: begun !== undefined }
  const signature = await signAsWallet(signer, signing, signal).catch(async (error: unknown) => {
    if (error instanceof PadlockError && error.code === 'wallet_incomplete') {
      const write = put(tables.identity, 'unsigned', {
        address,
        state: identity,
        ...keys,
        currentTime,
      })
      await commit(store, { writes: [write] })
    }
    throw error
  })
  const nodeId = await node()
  const createdNs = time.createdNs(0n)
  const [sealing] = crypto.createKeyPairs(1)
  if (!sealing) throw new PadlockError('internal')
  const [sealingSignature] = crypto.sign(identity, [
    sealingKeySigningBytes({
      address,
      installationId: id.value,
      createdNs,
      key: sealing.publicKey,
    }),
  ])
  if (!sealingSignature) throw new PadlockError('internal')
  const bundle = {
    keys,
    address,
    currentTime,
    signature,
    sealingKey: { key: sealing.publicKey, createdNs, signature: sealingSignature },
  } as const

  const prekeys = makePrekeys(
    { crypto, identity, installationId: id.value, createdNs },
    { count: stockTarget, kind: 'first' },
  )
  await store.transaction(
    [{ table: tables.times, key: 'times' }],
    (rows) => ({
      writes: [
        put(tables.identity, 'identity', {
          address,
          state: identity,
          ...keys,
          contactBundle: buildContactBundle(bundle),
          prekeyUpload: prekeys.upload,
          registered: false,
          nodeId,
        }),
        ...(begun ? [remove(tables.identity, 'unsigned')] : []),
        put(tables.sealing, 'sealing', { secrets: [{ ...sealing, createdNs }] }),
        put(tables.prekeys, 'prekeys', { oneTime: prekeys.oneTime, fallback: prekeys.fallback }),
        put(tables.times, 'times', {
          // Left by an earlier installation in this database, whose history is kept.
          lastComposedNs: rows.get(tables.times, 'times')?.value.lastComposedNs ?? 0n,
          lastCreatedNs: createdNs,
        }),
      ],
      result: undefined,
      // Public keys without their secrets would be a device that nobody can write to.
    }),
    'strict',
  )
}

/** Owners who have not signed by then are asked anew. */
const unsignedLifetimeMs = 14 * dayMs

/**
 * The keys and the time of a grant that a contract's owners were asked to sign: the next try needs
 * the same text, or they would sign for nothing.
 */
const unsignedRegistration = async (store: Store, address: Address, nowMs: number) => {
  const unsigned = (await store.get(tables.identity, 'unsigned'))?.value
  if (!unsigned || unsigned.address !== address) return undefined
  const { currentTime, state, curve25519, ed25519 } = unsigned
  if (!(Date.parse(currentTime) > nowMs - unsignedLifetimeMs)) return undefined
  return { identity: state, curve25519, ed25519, currentTime }
}

/** The node will never accept these bytes; had it accepted them earlier, it would have said so. */
const finalRefusals: ReadonlySet<PadlockErrorCode> = new Set<PadlockErrorCode>([
  'malformed',
  'bad_signature',
  'wrong_address',
  'wrong_signature_kind',
  'revoked',
  'sealing_key_not_newer',
  'stale_upload',
])

const isRefusal = (error: unknown): boolean =>
  error instanceof PadlockError && finalRefusals.has(error.code)

/** No node took it yet, and the application has named another chain since. */
const isOfOtherChain = (contactBundle: Uint8Array, { contractChainId }: Signer): boolean => {
  const bundle = parseContactBundle(contactBundle)
  return (
    contractChainId !== undefined &&
    bundle.ok &&
    chainOf(bundle.value.signature) !== contractChainId
  )
}

/** Our own signatures are valid, so `bad_signature` means that a contract refused the wallet's. */
const asWalletError = (error: unknown, contactBundle: Uint8Array): unknown => {
  const bundle = parseContactBundle(contactBundle)
  const isContracts = bundle.ok && bundle.value.signature.kind === 'erc1271'
  return isContracts && error instanceof PadlockError && error.code === 'bad_signature'
    ? new PadlockError('wallet_wrong_account', { cause: error })
    : error
}

/** Drops keys that no node accepts: the next attempt makes new ones and asks the wallet again. */
const forgetRegistration = (store: Store): Promise<void> =>
  commit(store, {
    writes: [
      remove(tables.identity, 'identity'),
      remove(tables.sealing, 'sealing'),
      remove(tables.prekeys, 'prekeys'),
      remove(tables.times, 'times'),
    ],
  })

/** One request: contact bundle, then prekeys (docs/protocol.md section 5). */
const publishRegistration = async (
  { network }: Surroundings,
  account: { readonly address: Address; readonly installationId: InstallationId },
  bundle: Uint8Array,
  upload: Uint8Array,
  signal: AbortSignal,
): Promise<void> => {
  await network.publish(
    [
      { topic: contactTopic(account.address), message: bundle },
      { topic: prekeyTopic(account.installationId), message: upload },
    ],
    signal,
  )
}
