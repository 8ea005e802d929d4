/** An application that asks for what cannot be, with secrets in its hands: the errors must not repeat them. */
import type { Engine } from '../../src/engine/engine.ts'
import type { Device } from './device.ts'
import type { Evidence } from './evidence.ts'

/** @returns how many calls failed */
export const beClumsy = async (
  device: Device,
  text: string,
  evidence: Evidence,
): Promise<number> => {
  const { engine, person } = device
  if (!engine) return 0
  let failed = 0
  for (const ask of asks(engine, person.address, text)) {
    try {
      await ask()
    } catch (error) {
      failed += 1
      evidence.addError(error)
    }
  }
  return failed
}

const asks = (engine: Engine, address: string, text: string): (() => Promise<unknown>)[] => {
  const signal = AbortSignal.abort()
  const nobody = `dm:${address}:${address.replaceAll(/[0-9]/g, '0')}`
  return [
    // What a person may paste into the wrong field.
    async () => engine.conversation(text),
    async () => engine.conversation(address.slice(0, -1)),
    async () => engine.conversation(address.toUpperCase()),
    async () => engine.canMessage(`${address}0`),
    async () => engine.send(nobody, text),
    async () => engine.send(text, text),
    async () => engine.send(address, text),
    async () => engine.send(`dm:${address}:${address}`, text.repeat(100_000)),
    async () => engine.history(text, undefined, 10),
    async () => engine.history(`dm:${address}:${address}`, text, 10),
    async () => engine.history(`dm:${address}:${address}`, undefined, -1),
    async () => engine.nextMessages(text, undefined, signal),
    async () => engine.whenSent(text, signal),
  ]
}
