/** What checks that must pass gave, and the address of an account. */
import { type Address, parseAddress } from '../../src/protocol/ids.ts'
import type { Checked } from '../../src/protocol/result.ts'

/** What a check that must pass gave. */
export const passed = <T>(checked: Checked<T>): T => {
  if (!checked.ok) throw new Error(checked.why)
  return checked.value
}

/** What must be there. */
export const must = <T>(value: T | undefined): T => {
  if (value === undefined) throw new Error('there is none')
  return value
}

export const addressOf = ({ address }: { readonly address: string }): Address =>
  passed(parseAddress(address))
