/** Figures of the node: medians of the rounds, the printed table and the results file. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { median } from '../figures.ts'
import type { StoreKind } from './stage.ts'

export interface Measurement {
  readonly store: StoreKind
  readonly what: string
  readonly unit: '/s' | 'ms' | 'KiB'
  readonly value: number
  /** The bare loop's, right after. */
  readonly bare?: number
  readonly details?: Readonly<Record<string, number>>
  readonly atLeast?: number
  /** Of the bare loop. */
  readonly atLeastOfBare?: number
  readonly atMost?: number
}

/** One row of all rounds, at one size of the store. */
export interface NodeRow extends Omit<Measurement, 'value' | 'bare'> {
  /** Envelopes in the store when its first round began. */
  readonly stored: number
  readonly values: readonly number[]
  readonly bares: readonly number[]
  readonly value: number
  readonly bare: number | undefined
  /** Relative to the value at the smallest size in the same run. */
  readonly ofBase: number | undefined
}

/** Combines the rounds of each row. */
export function summarize(
  rounds: readonly { readonly stored: number; readonly rows: readonly Measurement[] }[],
): readonly NodeRow[] {
  const groups = new Map<string, { stored: number; rows: Measurement[] }>()
  for (const { stored, rows } of rounds) {
    for (const row of rows) {
      const key = `${row.store} ${stored} ${row.what}`
      const group = groups.get(key) ?? { stored, rows: [] }
      group.rows.push(row)
      groups.set(key, group)
    }
  }
  const base = new Map<string, number>()
  return [...groups.values()].flatMap(({ stored, rows }): NodeRow[] => {
    const [first] = rows
    if (first === undefined) return []
    const values = rows.map(({ value }) => value)
    const bares = rows.flatMap(({ bare }) => bare ?? [])
    const value = median(values)
    const key = `${first.store} ${first.what}`
    const atBase = base.get(key)
    if (atBase === undefined) base.set(key, value)
    const details = Object.fromEntries(
      Object.keys(first.details ?? {}).map((name) => [
        name,
        median(rows.flatMap(({ details }) => details?.[name] ?? [])),
      ]),
    )
    return [
      {
        ...first,
        ...(first.details && { details }),
        stored,
        values,
        bares,
        value,
        bare: bares.length === 0 ? undefined : median(bares),
        ofBase: atBase === undefined ? undefined : value / atBase,
      },
    ]
  })
}

/** The goal of a row, and whether the row reaches it. */
function verdictOf({ atLeast, atLeastOfBare, atMost, value, bare, ofBase, unit }: NodeRow): string {
  const goals: string[] = []
  const goal = (text: string, reached: boolean): void => {
    goals.push(`${text}${reached ? '' : ' MISSED'}`)
  }
  if (atLeast !== undefined) goal(`≥ ${atLeast}`, value >= atLeast)
  if (atLeastOfBare !== undefined && bare !== undefined) {
    goal(`≥ ${atLeastOfBare * 100} % of bare`, value >= bare * atLeastOfBare)
  }
  if (atMost !== undefined) goal(`≤ ${atMost}`, value <= atMost)
  if (ofBase !== undefined && unit === '/s') goal('≥ 75 % of base', ofBase >= 0.75)
  return goals.join(', ')
}

const figure = (value: number | undefined, digits = 0): string =>
  value === undefined || Number.isNaN(value) ? '' : value.toFixed(value < 100 ? digits : 0)
const percent = (share: number | undefined): string =>
  share === undefined ? '' : `${(share * 100).toFixed(0)} %`

export function printRows(rows: readonly NodeRow[]): void {
  const head = [
    ...['store', 'stored', '', 'node', 'from–to', 'bare loop', 'of bare', 'of base'],
    ...['p50 ms', 'p99 ms', 'loop p99', 'serving µs', 'database µs', 'bare µs'],
    ...['node', 'clients', 'machine', 'goal'],
  ]
  const cells = rows.map((row) => {
    const { details = {} } = row
    const spread =
      row.values.length < 2
        ? ''
        : `${figure(Math.min(...row.values), 1)}–${figure(Math.max(...row.values), 1)}`
    return [
      row.store,
      String(row.stored),
      row.what,
      `${figure(row.value, 1)} ${row.unit}`,
      spread,
      figure(row.bare),
      row.bare === undefined ? '' : percent(row.value / row.bare),
      percent(row.ofBase),
      figure(details.p50Ms, 1),
      figure(details.p99Ms, 1),
      figure(details.delayP99Ms, 1),
      figure(details.servingMicroseconds, 1),
      figure(details.databaseMicroseconds, 1),
      figure(details.bareMicroseconds, 1),
      figure(details.nodeCores, 2),
      figure(details.clientCores, 2),
      figure(details.machineCores, 2),
      verdictOf(row),
    ]
  })
  const widths = head.map((title, at) =>
    Math.max(title.length, ...cells.map((line) => line[at]?.length ?? 0)),
  )
  for (const line of [head, ...cells]) {
    const padded = line.map((cell, at) =>
      at === 2 || at === 0 || at === line.length - 1
        ? cell.padEnd(widths[at] ?? 0)
        : cell.padStart(widths[at] ?? 0),
    )
    console.log(padded.join('  ').trimEnd())
  }
}

/** @returns the file's name, relative to `folder`. */
export function writeRows(
  folder: string,
  rows: readonly NodeRow[],
  about: Readonly<Record<string, string | number>>,
): string {
  mkdirSync(folder, { recursive: true })
  const date = new Date().toISOString()
  const name = `${date.slice(0, 19).replaceAll(':', '')}-node.json`
  writeFileSync(join(folder, name), `${JSON.stringify({ date, ...about, rows }, undefined, 2)}\n`)
  return name
}
