/**
 * Content type ids: an authority, a name under it, and a version (XIP-5, docs/protocol.md section 4).
 */

/** What kind of content a message has. Versions that differ in the minor number are compatible. */
export interface ContentTypeId {
  readonly authorityId: string
  readonly typeId: string
  readonly versionMajor: number
  readonly versionMinor: number
}

/** The form for people, `authority/type:1.0`. Not to be parsed: nothing forbids a slash in a part. */
export const formatContentType = (type: ContentTypeId): string =>
  `${type.authorityId}/${type.typeId}:${type.versionMajor}.${type.versionMinor}`

/**
 * Whether installations talk to each other in this type. Such content never reaches an application,
 * and one that is not known is dropped.
 */
export const isInternalType = (type: ContentTypeId): boolean => type.authorityId === 'padlock'

/** Whether a codec for `known` can read `received`: the same type and major version. */
export const isReadableAs = (received: ContentTypeId, known: ContentTypeId): boolean =>
  received.authorityId === known.authorityId &&
  received.typeId === known.typeId &&
  received.versionMajor === known.versionMajor
