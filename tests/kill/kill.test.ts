/**
 * Nodes killed in the middle of everything, a few times; `node scripts/kill.ts` does it for as long
 * as you like.
 */
import { expect, test } from 'vitest'
import { runSeed } from '../support/random.ts'
import { killOnPostgres } from './postgres.ts'
import { showReport } from './report.ts'
import { killOnSqlite } from './sqlite.ts'

test('nothing is lost, doubled or made up on SQLite when the node is killed ten times', async () => {
  const seed = runSeed()
  const report = await killOnSqlite({ seed, kills: 10 })
  console.log(`seed ${seed}\n${showReport(report)}`)
  expect(report.problems).toEqual([])
  expect(report.counts.get('kills')).toBe(10)
}, 300_000)

test('nor on PostgreSQL, when one of three nodes is killed three times and the server crashes', async () => {
  const seed = runSeed()
  const report = await killOnPostgres({ seed, kills: 3, crashEvery: 2 })
  console.log(`seed ${seed}\n${showReport(report)}`)
  expect(report.problems).toEqual([])
  expect(report.counts.get('kills')).toBe(3)
  expect(report.counts.get('outages of the database')).toBe(
    process.env.DATABASE_URL ? undefined : 1,
  )
}, 300_000)

test('nor when networks to PostgreSQL and to clients are slow, silent, cut and stalled', async () => {
  const seed = runSeed()
  const report = await killOnPostgres({ seed, kills: 4, crashEvery: 1, failsNetwork: true })
  console.log(`seed ${seed}\n${showReport(report)}`)
  expect(report.problems).toEqual([])
  const failed = [...report.counts.keys()].filter((what) => what.startsWith('networks '))
  expect(failed.sort()).toEqual([
    'networks cut between all nodes and the database',
    'networks silent between a node and the database',
    'networks slow between clients and a node',
    'networks stalled between clients and a node',
  ])
}, 300_000)
