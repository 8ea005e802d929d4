/** What kind of a world a seed makes: each has some troubles of its own. */
import { Random } from './random.ts'

export interface Features {
  /** A hundred days with an hour online now and then, so that keys age; else one busy day. */
  readonly isSeason: boolean
  /** Databases are put back as they were earlier. */
  readonly hasRestores: boolean
  /** Strangers fill inboxes with garbage. */
  readonly hasStrangers: boolean
  /** Transactions fail now and then. */
  readonly hasStorageFaults: boolean
  /** The node's clock is wrong after a restart. */
  readonly hasNodeClock: boolean
  /** The node's data is put back as it was earlier. */
  readonly hasNodeRestores: boolean
  /** Strangers put in all that the node lets them. */
  readonly isBesieged: boolean
}

export const featuresOf = (seed: number): Features => {
  const random = new Random(seed, 'features')
  return {
    isSeason: random.chance(1 / 8),
    hasRestores: random.chance(1 / 4),
    hasStrangers: random.chance(1 / 3),
    hasStorageFaults: random.chance(1 / 3),
    hasNodeClock: random.chance(1 / 4),
    hasNodeRestores: random.chance(1 / 5),
    isBesieged: false,
  }
}

/** A day without any trouble but strangers, if there are any. */
export const quietFeatures = (isBesieged: boolean): Features => ({
  isSeason: false,
  hasRestores: false,
  hasStrangers: isBesieged,
  hasStorageFaults: false,
  hasNodeClock: false,
  hasNodeRestores: false,
  isBesieged,
})

/** How far a node's clock is wrong at most. */
export const nodeClockLimitMs = 180_000
