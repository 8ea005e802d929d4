/** What every part of the forge needs. */

import type { Crypto } from '../../../src/crypto/crypto.ts'
import type { Checked } from '../../../src/protocol/result.ts'
import { loadTestCrypto } from '../engine.ts'

export const crypto: Crypto = await loadTestCrypto()

export const never = new AbortController().signal

export const must = <T>(value: T | undefined): T => {
  if (value === undefined) throw new Error('there is none')
  return value
}

export const passed = <T>(checked: Checked<T>): T => {
  if (!checked.ok) throw new Error(checked.why)
  return checked.value
}
