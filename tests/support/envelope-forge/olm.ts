/** The parts of an Olm message (the Olm specification, "The Olm Message Format"), to be changed one by one. */

import { concatBytes } from '../../../src/protocol/bytes.ts'
import { type ChangeFields, decodeFields, edit, encodeFields } from './fields.ts'

/** Config v1 cuts the MAC to this. */
const macBytes = 8

/** Numbers of a prekey message's fields; the rest of it is its version byte. */
export const prekeyFields = { oneTimeKey: 1, baseKey: 2, identityKey: 3, message: 4 } as const
/** And of a normal one's, which ends with a MAC. */
export const messageFields = { ratchetKey: 1, counter: 2, ciphertext: 4 } as const

type Change = (bytes: Uint8Array) => Uint8Array

/** Changes the fields of a normal message; its MAC stays as it was. */
export const changeMessage =
  (change: ChangeFields): Change =>
  (olm) =>
    concatBytes(
      olm.subarray(0, 1),
      encodeFields(change(decodeFields(olm.subarray(1, -macBytes)))),
      olm.subarray(-macBytes),
    )

/** Changes the fields of a prekey message. */
export const changePrekeyMessage =
  (change: ChangeFields): Change =>
  (olm) =>
    concatBytes(olm.subarray(0, 1), encodeFields(change(decodeFields(olm.subarray(1)))))

/** Changes the message within a prekey message. */
export const changeInner = (change: Change): Change =>
  changePrekeyMessage(edit(prekeyFields.message, change))
