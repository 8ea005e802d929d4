/**
 * `padlock/retransmit-request:1.0`: one installation asks another to send again what it could not
 * decrypt (docs/protocol.md section 10). Never reaches an application.
 */
import { create, toBinary } from '@bufbuild/protobuf'
import {
  ContentTypeIdSchema,
  EncodedContentSchema,
  RetransmitRequestSchema,
} from '../gen/padlock/v1/content_pb.ts'
import { digestBytes, retransmitLimitDigests } from '../protocol/limits.ts'
import { decodeMessage } from '../protocol/protobuf.ts'
import { type ContentTypeId, isReadableAs } from './type-id.ts'

const retransmitType: ContentTypeId = {
  authorityId: 'padlock',
  typeId: 'retransmit-request',
  versionMajor: 1,
  versionMinor: 0,
}

/** @param digests of envelopes, 32 bytes each, 1 to 500. */
export const encodeRetransmitRequest = (digests: readonly Uint8Array[]): Uint8Array => {
  const request = create(RetransmitRequestSchema, { digests: [...digests] })
  return toBinary(
    EncodedContentSchema,
    create(EncodedContentSchema, {
      type: create(ContentTypeIdSchema, retransmitType),
      content: toBinary(RetransmitRequestSchema, request),
    }),
  )
}

/** The digests that a request names; undefined for other content and for a malformed request. */
export const decodeRetransmitRequest = (
  type: ContentTypeId,
  bytes: Uint8Array,
): readonly Uint8Array[] | undefined => {
  if (!isReadableAs(type, retransmitType)) return undefined
  const encoded = decodeMessage(EncodedContentSchema, bytes)
  const request = encoded && decodeMessage(RetransmitRequestSchema, encoded.content)
  const digests = request?.digests ?? []
  const isWhole = digests.every(({ length }) => length === digestBytes)
  if (digests.length === 0 || digests.length > retransmitLimitDigests || !isWhole) return undefined
  return digests
}
