/** How content of one type is written and read (XIP-5, docs/protocol.md section 4). */

import type { ContentTypeId } from './type-id.ts'

/** The type's own parts of an EncodedContent. */
export interface EncodedParts {
  readonly parameters: Record<string, string>
  readonly content: Uint8Array
  /** What a release that does not know the type shows instead. */
  readonly fallback?: string
}

export interface ContentCodec<Value> {
  readonly id: ContentTypeId
  /** Whether an application may send this: callers in plain JavaScript pass anything. */
  accepts(value: unknown): value is Value
  encode(value: Value): EncodedParts
  /** Undefined if it is not what the type says: content of a peer is never a reason to throw. */
  decode(parameters: Readonly<Record<string, string>>, content: Uint8Array): Value | undefined
}
