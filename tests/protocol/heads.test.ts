/** The hash chain over a topic. */
import { expect } from 'vitest'
import { encodeHex } from '../../src/protocol/bytes.ts'
import { emptyHead, nextHead } from '../../src/protocol/heads.ts'
import { digestEnvelope } from '../../src/protocol/ids.ts'
import { readBytes, testVectors } from '../vectors/vectors.ts'

testVectors('heads', {
  chain: (vector) => {
    let head = emptyHead
    const chain = [encodeHex(head)]
    for (const message of vector.input.list('messages')) {
      head = nextHead(head, digestEnvelope(readBytes(message)))
      chain.push(encodeHex(head))
    }
    expect(chain).toEqual(vector.output)
  },
})
