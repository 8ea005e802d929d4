/** Accounts with wallets whose keys come from the seed. */
import { privateKeyToAccount } from 'viem/accounts'
import { PadlockError } from '../../src/errors.ts'
import { decodeHex, encodeHex } from '../../src/protocol/bytes.ts'
import type { IdentityKeys } from '../../src/protocol/ids.ts'
import { type Address, parseAddress } from '../../src/protocol/ids.ts'
import { buildRevocation } from '../../src/protocol/revocation.ts'
import { buildRevocationText } from '../../src/protocol/signing-texts.ts'
import { revokedTopic } from '../../src/protocol/topics.ts'
import type { Chaos } from './chaos.ts'
import type { Random } from './random.ts'

export interface Person {
  readonly name: string
  readonly address: Address
  /** As a wallet does: it may refuse. */
  sign(text: string, chaos: Chaos): Promise<Uint8Array>
  /** The envelope that revokes an installation. */
  revocation(keys: IdentityKeys): Promise<{ topic: string; message: Uint8Array }>
}

export const createPerson = (name: string, random: Random): Person => {
  const account = privateKeyToAccount(`0x${encodeHex(random.bytes(32))}`)
  const address = parseAddress(account.address)
  if (!address.ok) throw new Error(address.why)
  const signText = async (message: string): Promise<Uint8Array> => {
    const signature = decodeHex((await account.signMessage({ message })).slice(2))
    if (!signature) throw new Error('a signature is hex')
    return signature
  }
  return {
    name,
    address: address.value,
    sign: async (text, chaos) => {
      if (chaos.walletRefuses()) throw new PadlockError('wallet_rejected')
      return signText(text)
    },
    revocation: async (keys) => {
      const fields = {
        address: address.value,
        currentTime: '2026-11-20T08:13:00.000+01:00',
        installations: [keys],
      }
      const text = buildRevocationText({ ...fields, chainId: undefined })
      if (!text.ok) throw new Error(text.why)
      const signature = await signText(text.value)
      return {
        topic: revokedTopic(address.value),
        message: buildRevocation({ ...fields, signature: { kind: 'eip191', signature } }),
      }
    },
  }
}
