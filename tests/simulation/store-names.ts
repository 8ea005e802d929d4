/** What is counted of a database: apart from what opens it, which needs the whole SDK. */

export const storeNames = [
  'parked',
  'setAside',
  'outbox',
  'internal',
  'owed',
  'requests',
  'unverified',
  'seen',
  'sent',
  'recovery',
  'cursors',
  'installations',
  'conversations',
  'revocations',
  'sessionsOfOne',
  'oneTimeSecrets',
  'fallbackSecrets',
  'sealingSecrets',
] as const

/** How many records a database holds. */
export type StoreSizes = Readonly<Record<(typeof storeNames)[number], number>>
