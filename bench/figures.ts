/** Figures of a run: medians, ratios, the printed table and the results file. */

import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

export interface Row {
  readonly what: string
  readonly unit: 'ms' | 'kB' | 'µs' | 'count'
  /** One value per repetition. */
  readonly ours: readonly number[]
  /** The reference in the same run; absent if the row has a fixed limit or none. */
  readonly reference?: readonly number[]
  /**
   * The limit in docs/architecture.md section 7: of the ratio to the reference, or of the value
   * itself.
   */
  readonly limit?: number
  readonly note?: string
}

export const median = (values: readonly number[]): number => {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  const upper = sorted[middle] ?? Number.NaN
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? Number.NaN)) / 2
}

const number = (value: number): string =>
  value >= 1_000 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2)

const spread = (values: readonly number[]): string =>
  values.length < 2 ? '' : `${number(Math.min(...values))}–${number(Math.max(...values))}`

/** Ratio to the reference's median; without a reference, the value itself. */
const compared = ({ ours, reference }: Row): number =>
  reference ? median(ours) / median(reference) : median(ours)

const verdict = (row: Row): string =>
  row.limit === undefined ? '' : compared(row) <= row.limit ? 'within' : 'OVER'

export const printRows = (rows: readonly Row[]): void => {
  const cells = rows.map((row) => [
    row.what,
    `${number(median(row.ours))} ${row.unit}`,
    spread(row.ours),
    row.reference ? number(median(row.reference)) : '',
    row.reference ? spread(row.reference) : '',
    row.reference ? `${compared(row).toFixed(2)} ×` : '',
    row.limit === undefined ? '' : `${row.limit}${row.reference ? ' ×' : ''}`,
    verdict(row),
  ])
  const head = ['', 'ours', 'from–to', 'reference', 'from–to', 'ratio', 'at most', '']
  const widths = head.map((title, at) =>
    Math.max(title.length, ...cells.map((line) => line[at]?.length ?? 0)),
  )
  for (const line of [head, ...cells]) {
    const padded = line.map((cell, at) =>
      at === 0 ? cell.padEnd(widths[at] ?? 0) : cell.padStart(widths[at] ?? 0),
    )
    console.log(padded.join('  ').trimEnd())
  }
  for (const { what, note } of rows) if (note !== undefined) console.log(`  ${what}: ${note}`)
}

/** @returns the file's name, relative to `folder`. */
export const writeResults = (
  folder: string,
  rows: readonly Row[],
  about: Readonly<Record<string, string | number>>,
  parts: Readonly<Record<string, number>>,
): string => {
  mkdirSync(folder, { recursive: true })
  const date = new Date().toISOString()
  const name = `${date.slice(0, 19).replaceAll(':', '')}.json`
  const measured = rows.map((row) => ({
    ...row,
    median: median(row.ours),
    ...(row.reference ? { referenceMedian: median(row.reference), ratio: compared(row) } : {}),
  }))
  const content = { date, ...about, rows: measured, receiveMicroseconds: parts }
  writeFileSync(join(folder, name), `${JSON.stringify(content, undefined, 2)}\n`)
  return name
}
