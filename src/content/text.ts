/**
 * Plain text: `xmtp.org/text:1.0` as XIP-5 defines it. The one parameter, `encoding`, is optional and
 * can only be UTF-8.
 */
import { encodeUtf8 } from '../protocol/bytes.ts'
import type { ContentTypeId } from './type-id.ts'

export const textType: ContentTypeId = {
  authorityId: 'xmtp.org',
  typeId: 'text',
  versionMajor: 1,
  versionMinor: 0,
}

/** Parameters and content of a text. An unpaired surrogate becomes U+FFFD. */
export const encodeText = (
  text: string,
): { readonly parameters: Record<string, string>; readonly content: Uint8Array } => ({
  parameters: { encoding: 'UTF-8' },
  content: encodeUtf8(text),
})

/** The text, or undefined if it is not UTF-8 or names another encoding. */
export function decodeText(
  parameters: Readonly<Record<string, string>>,
  content: Uint8Array,
): string | undefined {
  const encoding = Object.hasOwn(parameters, 'encoding') ? parameters.encoding : 'UTF-8'
  if (encoding !== 'UTF-8') return undefined
  try {
    // A leading U+FEFF is part of the text: it must come out as it went in.
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(content)
  } catch {
    return undefined
  }
}
