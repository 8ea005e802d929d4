/** Both entries of the package, from the first message to the last deletion, in every engine. */
import { expect } from '@playwright/test'
import { test } from '../support/browser-test.ts'
import { type BrowserWorld, createBrowserWorld } from '../support/browser-world.ts'
import { runSeed, seededRandom } from '../support/random.ts'
import type { Device, Person } from '../support/world.ts'

let world: BrowserWorld | undefined
test.afterEach(async () => {
  await world?.close()
  world = undefined
})

const contents = async (device: Device, peer: Person): Promise<readonly (string | undefined)[]> =>
  (await device.history(peer)).map(({ content }) => content)

for (const entry of ['padlock-sdk', 'padlock-sdk/inline'] as const) {
  test(`${entry}: many messages, a big one, coming back, a second device, deleting`, async ({
    engine,
  }) => {
    const inline = entry === 'padlock-sdk/inline'
    world = await createBrowserWorld(engine, runSeed(), { inline })
    const alice = await world.person('alice')
    const bob = await world.person('bob')
    const alicePhone = await world.device(alice, 'alice-phone')
    const bobPhone = await world.device(bob, 'bob-phone')
    const { asked } = world.server
    for (const file of ['/dist/worker.js', '/dist/padlock.wasm']) {
      expect(asked.has(file), file).toBe(!inline)
    }

    for (let round = 0; round < 50; round += 1) {
      await Promise.all([
        alicePhone.send(bob, `from alice ${round}`),
        bobPhone.send(alice, `from bob ${round}`),
      ])
    }
    const big = incompressible(800 * 1024)
    await alicePhone.send(bob, big, 'sent')
    await Promise.all([alicePhone.settled(bob, 101), bobPhone.settled(alice, 101)])
    const all = await contents(bobPhone, alice)
    expect(all.filter((content) => content === big)).toHaveLength(1)
    expect(new Set(all).size).toBe(101)
    expect(same(await contents(alicePhone, bob), all), 'both have them in one order').toBe(true)

    await bobPhone.reload()
    expect(same(await contents(bobPhone, alice), all), 'a reload keeps them').toBe(true)
    expect(await bobPhone.signatures()).toBe(1)

    const bobDesk = await world.device(bob, 'bob-desk')
    await alicePhone.send(bob, 'to both')
    await Promise.all([bobPhone.settled(alice, 102), bobDesk.settled(alice, 1)])
    expect(await contents(bobDesk, alice)).toEqual(['to both'])
    expect((await contents(bobPhone, alice)).at(-1)).toBe('to both')

    const desk = world.page(bobDesk)
    const before = await bobDesk.installationId()
    await desk.evaluate(() => window.page.deleteLocalData())
    expect(await desk.evaluate(() => window.page.databaseNames())).toEqual([])
    await bobDesk.reload()
    expect(await bobDesk.installationId()).not.toBe(before)
    expect(await contents(bobDesk, alice)).toEqual([])
  })
}

/** Compared here: a difference in 800 KiB is nothing that anyone would want to see printed. */
const same = (a: readonly (string | undefined)[], b: readonly (string | undefined)[]): boolean =>
  JSON.stringify(a) === JSON.stringify(b)

const incompressible = (size: number): string => {
  const random = seededRandom(runSeed())
  return Array.from({ length: size }, () => String.fromCharCode(33 + random.below(94))).join('')
}
