/**
 * Content type ids: an authority, a name under it, and a version (XIP-5, docs/protocol.md section 4).
 */

/**
 * The kind of content in a message. Versions that differ only in the minor number are compatible.
 */
export interface ContentTypeId {
  readonly authorityId: string
  readonly typeId: string
  readonly versionMajor: number
  readonly versionMinor: number
}

/** For display, `authority/type:1.0`. Do not parse it: a part may contain a slash. */
export const formatContentType = (type: ContentTypeId): string =>
  `${type.authorityId}/${type.typeId}:${type.versionMajor}.${type.versionMinor}`

/**
 * Whether only installations use this type among themselves. Such content never reaches an
 * application, and unknown types of this kind are dropped.
 */
export const isInternalType = (type: ContentTypeId): boolean => type.authorityId === 'padlock'

/** Whether a codec for `known` can read `received`: the same type and major version. */
export const isReadableAs = (received: ContentTypeId, known: ContentTypeId): boolean =>
  received.authorityId === known.authorityId &&
  received.typeId === known.typeId &&
  received.versionMajor === known.versionMajor
