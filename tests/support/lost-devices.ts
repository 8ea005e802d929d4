/** Devices of an account that nobody has any more: published, and their keys forgotten. */
import type { PrivateKeyAccount } from 'viem/accounts'
import { connectNode } from '../../src/network/connect.ts'
import { parseAddress } from '../../src/protocol/ids.ts'
import { TestInstallation } from '../node/support.ts'

/** @returns their ids */
export const publishLostDevices = async (
  nodeUrl: string,
  account: PrivateKeyAccount,
  count: number,
): Promise<readonly string[]> => {
  const address = parseAddress(account.address)
  if (!address.ok) throw new Error(address.why)
  const owner = {
    address: address.value,
    signText: async (message: string) =>
      Uint8Array.from(Buffer.from((await account.signMessage({ message })).slice(2), 'hex')),
  }
  const network = connectNode(nodeUrl)
  const { nodeNs } = await network.getInfo()
  const lost = Array.from(
    { length: count },
    (_, nth) => new TestInstallation(owner, `lost ${nth} of ${account.address}`),
  )
  for (const device of lost) await network.publish([await device.bundle(nodeNs)])
  return lost.map(({ id }) => id)
}
