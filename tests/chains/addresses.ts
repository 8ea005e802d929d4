import { type Address, parseAddress } from '../../src/protocol/ids.ts'

/** The address of an account, as the protocol writes it. */
export const addressOf = (account: string): Address => {
  const address = parseAddress(account)
  if (!address.ok) throw new Error(address.why)
  return address.value
}
