/**
 * Some thousand bad envelopes through the receive path of one client. The long run is
 * `node scripts/fuzz-inbox.ts`; PADLOCK_SEED chooses other envelopes.
 */
import { expect, test } from 'vitest'
import { runSeed } from '../../support/random.ts'
import { InboxCampaign } from './campaign.ts'

test('bad envelopes of every kind stop nothing, are refused for their reasons, and leave only what they may', {
  timeout: 300_000,
}, async () => {
  const campaign = await InboxCampaign.begin(runSeed())
  try {
    await campaign.run(3_000)
    const rows = await campaign.check()
    expect(campaign.faults).toEqual([])
    expect(rows.get('messages')).toBeGreaterThan(15)
    const outcomes = campaign.outcomes.map(([outcome]) => outcome)
    // As far in as decrypted payloads.
    expect(outcomes).toEqual(
      expect.arrayContaining([
        'rejected (malformed)',
        'rejected (unsealing_failed)',
        'rejected (bad_header_signature)',
        'rejected (bad_payload)',
        'undecryptable (session_unknown)',
        'undecryptable (decryption_failed)',
        'duplicate (duplicate_message)',
      ]),
    )
  } finally {
    await campaign.close()
  }
})
