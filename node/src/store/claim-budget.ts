/**
 * How many one-time keys of one installation all claims together may take. What is left is one time, kept
 * with the installation: so all processes share it, and no restart and no crowd of keys fills it again.
 */
export interface ClaimBudget {
  /** Keys at once. */
  readonly burst: number
  /** The time after which one comes back. */
  readonly everyNs: bigint
}

/**
 * Takes one key out of a budget.
 * @param fullNs when the budget is full again; a time in the past means now.
 * @returns when it is full after this one; absent if no key is left.
 */
export function takeFromBudget(
  { burst, everyNs }: ClaimBudget,
  fullNs: bigint,
  nowNs: bigint,
): bigint | undefined {
  const latestNs = nowNs + BigInt(burst) * everyNs
  // Later than it ever is: the clock was set back, and nobody knows what is left.
  const isKnown = fullNs > nowNs && fullNs <= latestNs
  const afterNs = (isKnown ? fullNs : nowNs) + everyNs
  return afterNs > latestNs ? undefined : afterNs
}
