/**
 * What a topic accepts, in the order of docs/protocol.md section 13: this file checks the kind of
 * topic and the size, the others check the rest by kind. The caller has already answered known
 * bytes.
 */
import { messageLimitBytes, parseTopic } from '../../../src/protocol/topics.ts'
import { acceptContact } from './contact.ts'
import { acceptPrekeys } from './prekey.ts'
import { acceptRevocation } from './revocation.ts'
import type { RuleContext, RuleState } from './state.ts'
import { accepted, passOn, refused, type Verdict } from './verdict.ts'

/** Decides whether a topic accepts these bytes now, and what that changes. Stores nothing. */
export function acceptEnvelope(
  topic: string,
  message: Uint8Array,
  state: RuleState,
  context: RuleContext,
): Verdict {
  const parts = parseTopic(topic)
  if (!parts.ok) return passOn(parts)
  if (message.length > messageLimitBytes[parts.value.kind]) return refused('too_large')
  switch (parts.value.kind) {
    case 'contact':
      return acceptContact(parts.value.address, message, state, context)
    case 'revoked':
      return acceptRevocation(parts.value.address, message, state, context)
    case 'prekey':
      return acceptPrekeys(parts.value.installationId, message, state, context)
    case 'message':
      return acceptMessage(parts.value.installationId, state)
  }
}

// A message is ciphertext and is not parsed: the node knows neither sender nor content (section 13).
function acceptMessage(installationId: string, state: RuleState): Verdict {
  const installation = state.installation(installationId)
  if (installation === undefined || installation.revoked) return refused('recipient_gone')
  return accepted({ kind: 'message' })
}
