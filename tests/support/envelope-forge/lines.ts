/** Olm sessions between a sender and an installation that receives. */

import type { Session } from '../../../src/engine/sessions/session-rules.ts'
import { must } from '../checked.ts'
import { crypto } from './basics.ts'
import { type Line, openWith, type Sender, type Target } from './forge.ts'

/** A session that the sender begins with a prekey of the installation. */
export const beginLine = (from: Sender, prekey: Uint8Array, to: Target): Line => {
  const [session] = crypto.createOutboundSessions(from.identity, [
    { identityKey: to.keys.curve25519, prekey },
  ])
  if (!session?.ok) throw new Error('no session')
  const { state, sessionId } = session
  return { from, to, state, sessionId, isPrekeyMessage: true }
}

/**
 * A session that the installation, of this identity, began and the sender has read from: what comes on
 * it are normal messages. The installation has to keep its end.
 */
export const establishLine = (
  from: Sender,
  identity: Uint8Array,
  to: Target,
): { readonly session: Session; readonly line: Line } => {
  const [made] = crypto.createOutboundSessions(identity, [
    { identityKey: from.keys.curve25519, prekey: from.prekey.publicKey },
  ])
  if (!made?.ok) throw new Error('no session')
  const [key] = crypto.createKeyPairs(1)
  const [sealed] = crypto.seal(identity, [
    {
      state: made.state,
      sealingKey: must(key).publicKey,
      recipientInstallationId: from.id,
      metadata: new Uint8Array(),
      signingFields: new Uint8Array(),
      payloads: [Uint8Array.of(0x08, 1)],
    },
  ])
  if (!sealed?.ok) throw new Error('not sealed')
  const { olmMessage, headerHash } = openWith(
    must(key).secret,
    from.id,
    must(sealed.envelopes[0]).message,
  )
  const read = crypto.createInboundSession({
    identity: from.identity,
    prekeySecret: from.prekey.secret,
    senderIdentityKey: to.keys.curve25519,
    olmMessage,
    headerHash,
  })
  if (!read.ok) throw new Error('not read')
  const { sessionId } = made
  return {
    session: {
      installationId: from.id,
      sessionId,
      state: sealed.state,
      createdMs: 1,
      lastDecryptedMs: 0,
      firstDecryptedMs: 0,
      isClosed: false,
      sentSince: 1,
    },
    line: { from, to, state: read.state, sessionId, isPrekeyMessage: false },
  }
}
