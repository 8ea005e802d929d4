/** A device in everyday words: its name, since when it exists, and whether it is still valid. */

import type { Installation } from 'padlock-sdk'
import { sayDate, sayTime } from './time-words.ts'

/** Beginning and end of an id, enough to tell the devices of one person apart. */
export const shortDevice = ({ id }: Installation): string => `${id.slice(0, 6)}…${id.slice(-4)}`

export const sayDeviceState = ({ state }: Installation): string => {
  if (state === 'valid') return 'Active'
  if (state === 'pending') return 'Waiting for your word'
  return state === 'revoked' ? 'Removed' : 'Waiting for its chain'
}

export const saySince = ({ createdAtMs }: Installation): string =>
  `Since ${sayDate(createdAtMs)}, ${sayTime(createdAtMs)}`

/** This device first, then the newest; removed ones last. */
export const inOrder = (devices: readonly Installation[]): readonly Installation[] => {
  const rankOf = ({ isThis, state }: Installation): number =>
    isThis ? 0 : state === 'revoked' ? 2 : 1
  return devices.toSorted((a, b) => rankOf(a) - rankOf(b) || b.createdAtMs - a.createdAtMs)
}
