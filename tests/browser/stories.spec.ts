/** The stories again, with real Workers, a real IndexedDB and a node process. */
import { stories } from '../scenario/stories/index.ts'
import { test } from '../support/browser-test.ts'
import { type BrowserWorld, createBrowserWorld } from '../support/browser-world.ts'
import { runSeed } from '../support/random.ts'

let world: BrowserWorld | undefined
test.afterEach(async () => {
  await world?.close()
  world = undefined
})

for (const { name, story } of stories) {
  test(`${name} (seed ${runSeed()})`, async ({ engine }) => {
    world = await createBrowserWorld(engine, runSeed())
    await story(world)
  })
}
