/**
 * The adapter of `Crypto` to padlock.wasm, and its loader. The only file that imports the package
 * that wasm-pack builds (`scripts/build-wasm.sh`). Each method is one call with one packed buffer in
 * each direction; no wasm object outlives it.
 */

import initialise, * as wasm from '../../wasm/pkg/padlock.js'
import { type ErrorDetails, PadlockError } from '../errors.ts'
import { isSameRelease, release } from '../release.ts'
import {
  type Crypto,
  type CryptoCode,
  type CryptoFailure,
  type CryptoResult,
  cryptoCodes,
} from './crypto.ts'
import { packRequest, ResponseReader, type WireField } from './wasm-wire.ts'

/** What the loader takes: an address, a fetched response, the file's bytes, or a compiled module. */
export type WasmSource = URL | string | Response | BufferSource | WebAssembly.Module

/** Exported by a padlock.wasm that uses this version of `wasm-wire.ts`. */
const wireMarker = 'padlock_wire_1'

const itemCodes: ReadonlySet<string> = new Set(cryptoCodes)

const isItemCode = (code: string): code is CryptoCode => itemCodes.has(code)

const encoder = new TextEncoder()

type Call = (request: Uint8Array) => Uint8Array

/** A trap ends the call, not the worker, and leaves the arguments unchanged. */
const invoke = (call: Call, fields: readonly WireField[]): ResponseReader => {
  try {
    return new ResponseReader(call(packRequest(fields)))
  } catch (cause) {
    throw new PadlockError('internal', { cause })
  }
}

const failure = (code: string): CryptoFailure => {
  if (isItemCode(code)) return { ok: false, code }
  // Loading refuses platforms without a source of randomness; this one lost it later.
  if (code === 'no_randomness') throw new PadlockError('unsupported_platform')
  throw new PadlockError('internal', { details: { crypto: code } })
}

/** A call that fails only if it is misused or the stored identity is damaged. */
const run = <T>(
  call: Call,
  fields: readonly WireField[],
  read: (response: ResponseReader) => T,
): T => {
  const response = invoke(call, fields)
  const failed = (code: string): T => {
    failure(code)
    throw new PadlockError('internal', { details: { crypto: code } })
  }
  return response.result(() => read(response), failed)
}

const readResult = <T>(response: ResponseReader, read: () => T): CryptoResult<T> =>
  response.result<CryptoResult<T>>(() => ({ ok: true, ...read() }), failure)

const readResults = <T>(response: ResponseReader, read: () => T): CryptoResult<T>[] =>
  response.list(() => readResult(response, read))

const listOf = (items: readonly Uint8Array[]): readonly WireField[] => [items.length, ...items]

const crypto: Crypto = {
  createIdentity: () =>
    run(wasm.create_identity, [], (response) => ({
      identity: response.bytes(),
      curve25519: response.bytes(),
      ed25519: response.bytes(),
    })),

  createKeyPairs: (count) =>
    run(wasm.create_key_pairs, [count], (response) =>
      response.list(() => ({ secret: response.bytes(), publicKey: response.bytes() })),
    ),

  sign: (identity, messages) =>
    run(wasm.sign, [identity, ...listOf(messages)], (response) =>
      response.list(() => response.bytes()),
    ),

  verify: (signatures) => {
    const fields: WireField[] = [signatures.length]
    for (const { ed25519, message, signature } of signatures) {
      fields.push(ed25519, message, signature)
    }
    return run(wasm.verify, fields, (response) => response.list(() => response.flag()))
  },

  digest: (messages) =>
    run(wasm.digest, listOf(messages), (response) => response.list(() => response.bytes())),

  keyedHash: (key, messages) =>
    run(wasm.keyed_hash, [key, ...listOf(messages)], (response) =>
      response.list(() => response.bytes()),
    ),

  deriveKey: (key, info) =>
    run(wasm.derive_key, [key, encoder.encode(info)], (response) => response.bytes()),

  createOutboundSessions: (identity, requests) => {
    const fields: WireField[] = [identity, requests.length]
    for (const { identityKey, prekey } of requests) fields.push(identityKey, prekey)
    return run(wasm.create_outbound_sessions, fields, (response) =>
      readResults(response, () => ({ state: response.bytes(), sessionId: response.bytes() })),
    )
  },

  seal: (identity, requests) => {
    const fields: WireField[] = [identity, requests.length]
    for (const request of requests) {
      fields.push(
        request.state,
        request.sealingKey,
        encoder.encode(request.recipientInstallationId),
        request.metadata,
        request.signingFields,
        ...listOf(request.payloads),
      )
    }
    return run(wasm.seal, fields, (response) =>
      readResults(response, () => ({
        state: response.bytes(),
        envelopes: response.list(() => ({ message: response.bytes(), digest: response.bytes() })),
      })),
    )
  },

  open: (secrets, installationId, envelopes) => {
    const fields: WireField[] = [...listOf(secrets), encoder.encode(installationId)]
    fields.push(envelopes.length)
    for (const { headerBytes, sealedMetadata, ciphertext, shared } of envelopes) {
      fields.push(headerBytes, sealedMetadata, ciphertext, ...listOf(shared ?? []))
    }
    return run(wasm.open, fields, (response) =>
      readResults(response, () => {
        const metadata = response.bytes()
        const enc = response.bytes()
        const headerHash = response.bytes()
        const isOpen = response.flag()
        const olmMessage = response.bytes()
        return { metadata, enc, headerHash, olmMessage: isOpen ? olmMessage : undefined }
      }),
    )
  },

  inspectPrekeyMessages: (olmMessages) =>
    run(wasm.inspect_prekey_messages, listOf(olmMessages), (response) =>
      readResults(response, () => ({
        sessionId: response.bytes(),
        identityKey: response.bytes(),
        prekey: response.bytes(),
      })),
    ),

  createInboundSession: (request) => {
    const { identity, prekeySecret, senderIdentityKey, olmMessage, headerHash } = request
    const response = invoke(wasm.create_inbound_session, [
      identity,
      prekeySecret,
      senderIdentityKey,
      olmMessage,
      headerHash,
    ])
    return readResult(response, () => ({
      state: response.bytes(),
      sessionId: response.bytes(),
      payload: response.bytes(),
    }))
  },

  decrypt: (state, messages) => {
    const fields: WireField[] = [state, messages.length]
    for (const { olmMessage, isPrekeyMessage, headerHash } of messages) {
      fields.push(olmMessage, isPrekeyMessage ? 1 : 0, headerHash)
    }
    const response = invoke(wasm.decrypt, fields)
    return readResult(response, () => ({
      state: response.bytes(),
      results: readResults(response, () => ({ payload: response.bytes() })),
    }))
  },

  vaultSeal: (key, records) => {
    const fields: WireField[] = [key, records.length]
    for (const { plaintext, associatedData } of records) fields.push(plaintext, associatedData)
    return run(wasm.vault_seal, fields, (response) => response.list(() => response.bytes()))
  },

  vaultOpen: (key, records) => {
    const fields: WireField[] = [key, records.length]
    for (const { sealed, associatedData } of records) fields.push(sealed, associatedData)
    return run(wasm.vault_open, fields, (response) =>
      response.list(() => {
        const isOpen = response.flag()
        const plaintext = response.bytes()
        return isOpen ? plaintext : undefined
      }),
    )
  },
}

/**
 * Where the build writes the release: a custom section, which engines ignore (wasm spec, 5.5.3).
 */
const releaseSection = 'padlock.release'
/** If 320 kB take longer than this, nothing else works on the connection either. */
const fetchTimeoutMs = 60_000

/** What a developer needs to know about a file that is not what it should be. */
class Unusable extends Error {
  readonly details: ErrorDetails
  constructor(details: ErrorDetails) {
    super(String(details.tried))
    this.details = details
  }
}

/** Streams if the server sends the right content type, which browsers insist on. */
const compileResponse = async (
  response: Response,
  address: string,
): Promise<WebAssembly.Module> => {
  const { ok, status, headers } = response
  if (!ok) throw new Unusable({ address, status, tried: `${address}: status ${status}` })
  const type = headers.get('content-type')?.split(';')[0]?.trim().toLowerCase() ?? ''
  if (type === 'application/wasm') return WebAssembly.compileStreaming(response)
  const bytes = await response.arrayBuffer()
  if (!isWasm(bytes)) {
    const served = type === '' ? 'no content type' : type.slice(0, 60)
    const tried = `${address}: served as ${served}, and not WebAssembly`
    throw new Unusable({ address, status, contentType: type, tried })
  }
  return WebAssembly.compile(bytes)
}

/** Whether it begins as a module does (wasm spec, 5.5.16). */
const isWasm = (bytes: ArrayBuffer): boolean =>
  bytes.byteLength >= 4 && new DataView(bytes).getUint32(0) === 0x0061736d

const compile = async (source: WasmSource): Promise<WebAssembly.Module> => {
  if (source instanceof WebAssembly.Module) return source
  if (source instanceof Response) return compileResponse(source, withoutSecrets(source.url))
  if (typeof source !== 'string' && !(source instanceof URL)) return WebAssembly.compile(source)
  const limit = new AbortController()
  const timer = setTimeout(() => limit.abort(new Error('no answer in time')), fetchTimeoutMs)
  try {
    const response = await fetch(source, { signal: limit.signal })
    return await compileResponse(response, withoutSecrets(source))
  } finally {
    clearTimeout(timer)
  }
}

/** The part of an address that a message may show. */
const withoutSecrets = (address: string | URL): string =>
  String(address)
    .replace(/[?#].*$/s, '')
    .replace(/\/\/[^/@]*@/, '//')

const addressOf = (source: WasmSource): string =>
  typeof source === 'string' || source instanceof URL ? withoutSecrets(source) : 'padlock.wasm'

/** @throws PadlockError reload_needed */
const requireSameRelease = (module: WebAssembly.Module): void => {
  const [section] = WebAssembly.Module.customSections(module, releaseSection)
  const other = section === undefined ? release : new TextDecoder().decode(section)
  if (isSameRelease(release, other)) return
  throw new PadlockError('reload_needed', { details: { worker: release, wasm: other } })
}

/**
 * Loads padlock.wasm. Resolves with the same `Crypto` for every call in one thread: the module
 * holds no state, so the first to load serves all.
 *
 * @throws PadlockError `wasm_unavailable` if the file is missing, blocked by a content policy or
 * not WebAssembly (`details` and `cause` say which); `reload_needed` if it belongs to another
 * release; `unsupported_platform` if there is no source of random bytes.
 */
export const loadWasmCrypto = async (source: WasmSource): Promise<Crypto> => {
  if (typeof globalThis.crypto?.getRandomValues !== 'function') {
    throw new PadlockError('unsupported_platform', {
      details: { missing: 'crypto.getRandomValues' },
    })
  }
  const address = addressOf(source)
  try {
    const module = await compile(source)
    requireSameRelease(module)
    // The glue code keeps the first module it gets, so a wrong one must not reach it.
    if (!WebAssembly.Module.exports(module).some(({ name }) => name === wireMarker)) {
      throw new Unusable({ address, tried: `${address}: not padlock.wasm, or of another release` })
    }
    await initialise({ module_or_path: module })
    return crypto
  } catch (cause) {
    if (cause instanceof PadlockError) throw cause
    const words = cause instanceof Error && cause.message !== '' ? cause.message : 'no answer'
    const details =
      cause instanceof Unusable ? cause.details : { address, tried: `${address}: ${words}` }
    throw new PadlockError('wasm_unavailable', { details, cause })
  }
}
