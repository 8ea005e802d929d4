/**
 * Plain text: `xmtp.org/text:1.0` as XIP-5 defines it. The one parameter, `encoding`, is optional and
 * can only be UTF-8.
 */
import { encodeUtf8 } from '../protocol/bytes.ts'
import type { ContentCodec } from './codec.ts'

export const textCodec: ContentCodec<string> = {
  id: { authorityId: 'xmtp.org', typeId: 'text', versionMajor: 1, versionMinor: 0 },

  accepts: (value) => typeof value === 'string',

  /** An unpaired surrogate becomes U+FFFD. */
  encode: (text) => ({ parameters: { encoding: 'UTF-8' }, content: encodeUtf8(text) }),

  /** Undefined if it is not UTF-8, or says that it is in another encoding. */
  decode: (parameters, content) => {
    const encoding = Object.hasOwn(parameters, 'encoding') ? parameters.encoding : 'UTF-8'
    if (encoding !== 'UTF-8') return undefined
    try {
      // A leading U+FEFF is text here: it must come out as it went in.
      return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(content)
    } catch {
      return undefined
    }
  },
}
