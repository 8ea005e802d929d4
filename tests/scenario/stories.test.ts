/** The stories, in Node's world. Browsers run the same ones: tests/browser/stories.spec.ts. */
import { afterEach, test } from 'vitest'
import { createNodeWorld, type NodeWorld } from '../support/node-world.ts'
import { runSeed } from '../support/random.ts'
import { stories } from './stories/index.ts'

let world: NodeWorld | undefined
afterEach(async () => {
  await world?.close()
  world = undefined
})

for (const { name, story } of stories) {
  test(`${name} (seed ${runSeed()})`, async () => {
    world = await createNodeWorld(runSeed())
    await story(world)
  })
}
