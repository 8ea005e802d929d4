/**
 * The content types of this release, and the way from what an application sends to the content bytes
 * of a payload, and back (XIP-5, docs/protocol.md section 4). A new type is a codec, two lines here
 * and a row in the docs; `Message` follows. What cannot be shown comes out as `unknown` with its
 * fallback: content of a peer is never a reason to throw.
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
import type { ContentCodec } from './codec.ts'
import { type CompressionFormat, inflate } from './compression.ts'
import { textCodec } from './text.ts'
import { type ContentTypeId, formatContentType, isInternalType, isReadableAs } from './type-id.ts'

/** What each type of content holds, by the `type` that messages have. */
export interface ContentTypes {
  readonly text: string
}

/** A codec under its type, so that content comes out with the type that it was read as. */
const define = <Type extends keyof ContentTypes>(
  type: Type,
  codec: ContentCodec<ContentTypes[Type]>,
) => ({
  id: codec.id,
  encode: (content: unknown) => (codec.accepts(content) ? codec.encode(content) : undefined),
  decode: (...parts: Parameters<typeof codec.decode>): ContentOf<Type> | undefined => {
    const content = codec.decode(...parts)
    return content === undefined ? undefined : { type, content }
  },
})

const codecs: {
  readonly [Type in keyof ContentTypes]: ReturnType<typeof define<Type>>
} = {
  text: define('text', textCodec),
}

/** Content of one type. */
export interface ContentOf<Type extends keyof ContentTypes> {
  readonly type: Type
  readonly content: ContentTypes[Type]
}

/** Content of any type that this release knows, told apart by `type`. */
export type Content = { [Type in keyof ContentTypes]: ContentOf<Type> }[keyof ContentTypes]

/** What an application can send: a string is a text. */
export type ContentInput = string | Content

/** Content as an application gets it, told apart by `type`. */
export type DecodedContent = Content | UnknownContent

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
export function encodeContent(input: ContentInput): Uint8Array {
  const { type, content } = typeof input === 'string' ? textOf(input) : (input ?? {})
  const codec = Object.hasOwn(codecs, type) ? codecs[type] : undefined
  const parts = codec?.encode(content)
  if (!codec || !parts) {
    throw new PadlockError('invalid_argument', { message: 'Send a string.' })
  }
  const id = create(ContentTypeIdSchema, codec.id)
  const encoded = create(EncodedContentSchema, { type: id, ...parts })
  const bytes = toBinary(EncodedContentSchema, encoded)
  if (bytes.length > contentLimitBytes) throw new PadlockError('message_too_large')
  return bytes
}

const textOf = (content: string): ContentOf<'text'> => ({ type: 'text', content })

/**
 * The type of content that installations send each other, and no application sees; undefined for all
 * other content.
 */
export const readInternalType = (bytes: Uint8Array): ContentTypeId | undefined => {
  const type = typeOf(decodeMessage(EncodedContentSchema, bytes))
  return type && isInternalType(type) ? type : undefined
}

/** Decodes content bytes. Never rejects. */
export async function decodeContent(bytes: Uint8Array): Promise<DecodedContent> {
  const encoded = decodeMessage(EncodedContentSchema, bytes)
  const type = typeOf(encoded)
  if (encoded === undefined) return unknown(type, undefined, 'malformed')
  const codec = type && Object.values(codecs).find(({ id }) => isReadableAs(type, id))
  if (!codec) return unknown(type, encoded.fallback)

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
  return codec.decode(encoded.parameters, content) ?? unknown(type, encoded.fallback, 'malformed')
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
