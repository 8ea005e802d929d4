/** A node as a thief shows it to the device that it has stolen: one topic is kept from it. */
import type { Network, NodeEnvelope } from '../../src/network/network.ts'

export const hideTopic = (network: Network, topic: string, isHidden: () => boolean): Network => {
  const isShown = (envelope: NodeEnvelope) => envelope.topic !== topic || !isHidden()
  return {
    ...network,
    query: async (topics, signal) => {
      const page = await network.query(topics, signal)
      return { ...page, envelopes: page.envelopes.filter(isShown) }
    },
    async *subscribe(topics, proof, signal) {
      for await (const frame of network.subscribe(topics, proof, signal)) {
        if (frame.kind !== 'envelopes') yield frame
        else yield { ...frame, envelopes: frame.envelopes.filter(isShown) }
      }
    },
  }
}
