/**
 * Padding of the two sealed parts (docs/protocol.md section 8), for tests that forge envelopes.
 * The SDK pads in wasm/src/padding.rs; both pass the same vectors.
 */
import { paddedMessageMinimumBytes, paddedMetadataBytes } from '../../src/protocol/limits.ts'
import { bad, type Checked, good } from '../../src/protocol/result.ts'

const marker = 0x80

/**
 * The Padmé length of a length of at least 1: rounded up so that only its leading bits vary
 * (Nikitin et al., "Reducing Metadata Leakage from Encrypted Files and Communication with PURBs", 2019).
 */
export function padme(length: number): number {
  // Exact for all lengths here: clz32 knows no rounding, unlike Math.log2.
  const exponent = 31 - Math.clz32(length)
  const mantissaBits = 32 - Math.clz32(exponent)
  const step = 2 ** (exponent - mantissaBits)
  return Math.ceil(length / step) * step
}

const messageLength = (length: number): number =>
  Math.max(paddedMessageMinimumBytes, padme(length + 1))

/** Metadata in 320 bytes; `malformed` if it does not fit. */
export function padMetadata(metadata: Uint8Array): Checked<Uint8Array> {
  return metadata.length < paddedMetadataBytes
    ? good(pad(metadata, paddedMetadataBytes))
    : bad('malformed', 'does not fit 320 bytes with its 0x80')
}

/** An Olm message in 512 bytes or more. */
export const padMessage = (message: Uint8Array): Uint8Array =>
  pad(message, messageLength(message.length))

/** What `padMetadata` was given, a view into `padded`; any other shape is `malformed`. */
export function unpadMetadata(padded: Uint8Array): Checked<Uint8Array> {
  return padded.length === paddedMetadataBytes ? unpad(padded) : bad('malformed', 'not 320 bytes')
}

/** What `padMessage` was given, a view into `padded`; any other shape is `malformed`. */
export function unpadMessage(padded: Uint8Array): Checked<Uint8Array> {
  const message = unpad(padded)
  if (!message.ok) return message
  // A sender free to choose the length could mark an envelope for whoever watches the network.
  return padded.length === messageLength(message.value.length)
    ? message
    : bad('malformed', 'not the length that pad gives')
}

function pad(bytes: Uint8Array, length: number): Uint8Array {
  const padded = new Uint8Array(length)
  padded.set(bytes)
  padded[bytes.length] = marker
  return padded
}

function unpad(padded: Uint8Array): Checked<Uint8Array> {
  let end = padded.length - 1
  while (padded[end] === 0) end -= 1
  return padded[end] === marker
    ? good(padded.subarray(0, end))
    : bad('malformed', 'no 0x80 before the zeros')
}
