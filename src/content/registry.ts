/**
 * Encodes what an application sends as the content bytes of a payload, and decodes them (XIP-5,
 * docs/protocol.md section 4). Content that cannot be shown comes out as `unknown` with its
 * fallback: a peer's content is never a reason to throw.
 */
import { create, toBinary } from '@bufbuild/protobuf'
import { PadlockError, type PadlockErrorCode } from '../errors.ts'
import {
  Compression,
  ContentTypeIdSchema,
  type EncodedContent,
  EncodedContentSchema,
} from '../gen/padlock/v1/content_pb.ts'
import { contentLimitBytes, inflatedContentLimitBytes } from '../protocol/limits.ts'
import { decodeMessage } from '../protocol/protobuf.ts'
import { type CompressionFormat, inflate } from './compression.ts'
import { decodeText, encodeText, textType } from './text.ts'
import { type ContentTypeId, formatContentType, isReadableAs } from './type-id.ts'

/** What an application can send; a string is a text. */
export type ContentInput = string | { readonly type: 'text'; readonly content: string }

/** Content as an application gets it, told apart by `type`. */
export type DecodedContent = { readonly type: 'text'; readonly content: string } | UnknownContent

/** Content that this release cannot show. */
export interface UnknownContent {
  readonly type: 'unknown'
  /** `authority/type:1.0`, or empty if the content names no type. */
  readonly typeId: string
  /** What the sender wants to be shown instead. */
  readonly fallback?: string
  /**
   * Absent for a type that this release does not know; `content_too_large` if it inflates to more than
   * 8 MiB; `malformed` if it is not what its type says.
   */
  readonly reason?: PadlockErrorCode
}

/**
 * The content bytes of a payload.
 * @throws PadlockError `invalid_argument` for anything but a string or a known kind of content,
 * `message_too_large` if the bytes exceed 900 KiB.
 */
export function encodeContent(content: ContentInput): Uint8Array {
  const text = typeof content === 'string' ? content : content?.content
  const isText = typeof content === 'string' || content?.type === 'text'
  // JavaScript callers may pass anything.
  if (!isText || typeof text !== 'string') {
    throw new PadlockError('invalid_argument', { message: 'Send a string.' })
  }
  const bytes = toBinary(
    EncodedContentSchema,
    create(EncodedContentSchema, {
      type: create(ContentTypeIdSchema, textType),
      ...encodeText(text),
    }),
  )
  if (bytes.length > contentLimitBytes) throw new PadlockError('message_too_large')
  return bytes
}

/** The type that content bytes name; absent if they name none or are not an EncodedContent. */
export const readContentType = (bytes: Uint8Array): ContentTypeId | undefined =>
  typeOf(decodeMessage(EncodedContentSchema, bytes))

/** Decodes content bytes. Never rejects. */
export async function decodeContent(bytes: Uint8Array): Promise<DecodedContent> {
  const encoded = decodeMessage(EncodedContentSchema, bytes)
  const type = typeOf(encoded)
  if (encoded === undefined) return unknown(type, undefined, 'malformed')
  if (type === undefined || !isReadableAs(type, textType)) return unknown(type, encoded.fallback)

  let { content } = encoded
  if (encoded.compression !== undefined) {
    const format = formatOf(encoded.compression)
    if (format === undefined) return unknown(type, encoded.fallback, 'malformed')
    const inflated = await inflate(content, format, inflatedContentLimitBytes)
    if (inflated.kind !== 'inflated') {
      const reason = inflated.kind === 'too_large' ? 'content_too_large' : 'malformed'
      return unknown(type, encoded.fallback, reason)
    }
    content = inflated.bytes
  }
  const text = decodeText(encoded.parameters, content)
  return text === undefined
    ? unknown(type, encoded.fallback, 'malformed')
    : { type: 'text', content: text }
}

function typeOf(encoded: EncodedContent | undefined): ContentTypeId | undefined {
  if (encoded?.type === undefined) return undefined
  const { authorityId, typeId, versionMajor, versionMinor } = encoded.type
  return { authorityId, typeId, versionMajor, versionMinor }
}

function formatOf(compression: Compression): CompressionFormat | undefined {
  if (compression === Compression.DEFLATE) return 'deflate'
  return compression === Compression.GZIP ? 'gzip' : undefined
}

const unknown = (
  type: ContentTypeId | undefined,
  fallback: string | undefined,
  reason?: PadlockErrorCode,
): UnknownContent => ({
  type: 'unknown',
  typeId: type === undefined ? '' : formatContentType(type),
  ...(fallback === undefined ? {} : { fallback }),
  ...(reason === undefined ? {} : { reason }),
})
