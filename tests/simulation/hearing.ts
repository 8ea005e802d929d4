/** What a program tells its application: noted, and a problem where honest peers and an honest node never cause it. */
import type { ClientEvent } from '../../src/engine/model.ts'
import type { Features } from './features.ts'
import type { Stage } from './stage.ts'

const defects: ReadonlySet<string> = new Set([
  'internal',
  'storage_damaged',
  'bad_response',
  'incompatible_node',
  'unauthenticated_node',
  'node_withholding',
  'node_equivocating',
  'gap',
  'parking_full',
  'malformed',
  'bad_signature',
  'bad_proof',
  'clock_ahead',
  'stock_full',
])

/** What a world's own troubles bring about. */
const isExcused = (code: string, features: Features, isRogue: boolean): boolean => {
  switch (code) {
    case 'node_withholding':
      // A stolen device accuses the node of what its thief keeps from it.
      return isRogue
    case 'malformed':
      return features.hasStrangers
    case 'parking_full':
      return features.isBesieged
    case 'gap':
      // A copy that is older than what the node keeps; another node is read from its beginning.
      return features.isSeason && (features.hasRestores || features.hasNodeRestores)
    case 'bad_proof':
    case 'unauthenticated_node':
      // Another node answers than the one that was asked for its id.
      return features.hasNodeRestores
    default:
      return false
  }
}

export const hearEvent = (
  { journal, features }: Stage,
  { name, isRogue }: { readonly name: string; readonly isRogue: boolean },
  event: ClientEvent,
): void => {
  switch (event.kind) {
    case 'status': {
      const { state, warnings } = event.status
      const counts = warnings.map(({ code, count }) => `${code} ${count}`)
      journal.note(`${name}: ${state} ${counts.join(', ')}`)
      const code = warnings.at(-1)?.code
      if (code && defects.has(code) && !isExcused(code, features, isRogue)) {
        journal.problem(`${name} warns of ${code}`)
      }
      return
    }
    case 'message-state':
      journal.note(`${name}: ${event.message.content} is ${event.message.state}`)
      return
    case 'installation-added':
    case 'installation-revoked':
      journal.note(`${name}: ${event.kind} ${event.installation.id}`)
      return
    case 'restored':
      journal.note(`${name}: restored, ${event.unopened} unopened`)
      if (!features.hasRestores) journal.problem(`${name} takes itself for an older copy`)
      return
    case 'node-accused':
      journal.note(`${name}: ${event.code} of ${event.account}`)
      if (!isRogue) journal.problem(`${name}: ${event.code} of ${event.account}`)
      return
    case 'envelopes': {
      const { outcome, code, count } = event
      journal.note(`${name}: ${count} ${outcome} ${code}`)
      const isExpected =
        outcome === 'duplicate' ||
        features.isBesieged ||
        code === 'sender_revoked' ||
        (features.hasStrangers && (code === 'malformed' || code === 'unsealing_failed')) ||
        // An older copy cannot open what was sealed to keys that it never had, or has forgotten.
        // Nor what another node serves again.
        (features.hasNodeRestores && (outcome === 'undecryptable' || code === 'unknown_sender')) ||
        (features.hasRestores && (outcome === 'undecryptable' || code === 'unsealing_failed'))
      if (!isExpected) journal.problem(`${name}: ${count} ${outcome} (${code})`)
      return
    }
    default:
      journal.note(`${name}: ${event.kind}`)
  }
}
