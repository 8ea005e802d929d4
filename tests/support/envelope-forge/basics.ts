/** What every part of the forge needs. */

import type { Crypto } from '../../../src/crypto/crypto.ts'
import { loadTestCrypto } from '../engine.ts'

export const crypto: Crypto = await loadTestCrypto()
