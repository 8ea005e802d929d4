/** Statements of a wallet about keys that nobody has, as many as one of them holds. */

import type { PrivateKeyAccount } from 'viem/accounts'
import type { OutgoingEnvelope } from '../../../src/network/network.ts'
import { deriveInstallationId } from '../../../src/protocol/ids.ts'
import { buildRevocation } from '../../../src/protocol/revocation.ts'
import { buildRevocationText } from '../../../src/protocol/signing-texts.ts'
import { revokedTopic } from '../../../src/protocol/topics.ts'
import { addressOf, passed } from '../../support/checked.ts'
import { never, signWith } from '../../support/engine.ts'
import type { Random } from '../random.ts'

/** 32 KiB hold these, and no more. */
const keysOfStatement = 465

export const madeUpRevocation = async (
  wallet: PrivateKeyAccount,
  random: Random,
): Promise<OutgoingEnvelope> => {
  const keys = Array.from({ length: keysOfStatement }, () => {
    const made = { curve25519: random.bytes(32), ed25519: random.bytes(32) }
    return { made, id: passed(deriveInstallationId(made)) }
  })
  const address = addressOf(wallet)
  const fields = {
    address,
    currentTime: '2026-11-20T08:13:00.000Z',
    installations: keys.sort((a, b) => (a.id < b.id ? -1 : 1)).map(({ made }) => made),
  }
  const text = passed(buildRevocationText({ ...fields, chainId: undefined }))
  const signature = await signWith(wallet)(text, never)
  return {
    topic: revokedTopic(address),
    message: buildRevocation({ ...fields, signature: { kind: 'eip191', signature } }),
  }
}
