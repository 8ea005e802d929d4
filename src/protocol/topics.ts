/** Topics: their four kinds, and the size limit of each (docs/protocol.md sections 5 and 11). */
import type { Brand } from './brand.ts'
import {
  type Address,
  type InstallationId,
  parseCanonicalAddress,
  parseInstallationId,
} from './ids.ts'
import {
  contactLimitBytes,
  envelopeLimitBytes,
  prekeyUploadLimitBytes,
  revocationLimitBytes,
} from './limits.ts'
import { bad, type Checked, good } from './result.ts'

/** A well-formed topic of one of the four kinds. */
export type Topic = Brand<string, 'Topic'>

export type TopicKind = 'contact' | 'revoked' | 'prekey' | 'message'

/** What a topic's name says. */
export type TopicParts =
  | { readonly kind: 'contact' | 'revoked'; readonly address: Address }
  | { readonly kind: 'prekey' | 'message'; readonly installationId: InstallationId }

/** Where an account's contact bundles lie. */
export const contactTopic = (address: Address): Topic => `contact-${address}` as Topic
/** Where an account's revocations lie. */
export const revokedTopic = (address: Address): Topic => `revoked-${address}` as Topic
/** Where an installation's prekeys are uploaded. */
export const prekeyTopic = (id: InstallationId): Topic => `prekey-${id}` as Topic
/** An installation's inbox. */
export const messageTopic = (id: InstallationId): Topic => `message-${id}` as Topic

/** Parses a topic's name: another kind is `unknown_topic`, a suffix of another form `malformed`. */
export function parseTopic(text: string): Checked<TopicParts> {
  const dash = text.indexOf('-')
  if (dash < 0) return bad('unknown_topic', 'a topic is a kind, a dash and a suffix')
  const kind = text.slice(0, dash)
  const suffix = text.slice(dash + 1)
  switch (kind) {
    case 'contact':
    case 'revoked': {
      const address = parseCanonicalAddress(suffix)
      return address.ok ? good({ kind, address: address.value }) : address
    }
    case 'prekey':
    case 'message': {
      const id = parseInstallationId(suffix)
      return id.ok ? good({ kind, installationId: id.value }) : id
    }
    default:
      return bad('unknown_topic', 'no topic of this kind')
  }
}

/** The most bytes that one envelope may have, by the kind of its topic (section 11). */
export const messageLimitBytes: { readonly [kind in TopicKind]: number } = {
  contact: contactLimitBytes,
  revoked: revocationLimitBytes,
  prekey: prekeyUploadLimitBytes,
  message: envelopeLimitBytes,
}
