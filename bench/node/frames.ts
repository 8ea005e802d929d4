/**
 * Reads answers of the node without decoding them: gRPC frames as they come, envelopes by walking over
 * their tags (protobuf wire format). Counting 500 envelopes must not cost as much as sending them.
 */

/** A flag for compression, and a length. */
const headBytes = 5

/** Cuts a body into gRPC frames; passes on each message. */
export class FrameReader {
  readonly #take: (message: Buffer) => void
  // The pieces of an unfinished frame; joined once, when it is complete.
  #pieces: Buffer[] = []
  #bytes = 0
  #needed = headBytes

  constructor(take: (message: Buffer) => void) {
    this.#take = take
  }

  push(bytes: Buffer): void {
    this.#pieces.push(Buffer.from(bytes))
    this.#bytes += bytes.length
    if (this.#bytes < this.#needed) return
    let buffer = Buffer.concat(this.#pieces)
    this.#needed = headBytes
    while (buffer.length >= headBytes) {
      this.#needed = headBytes + buffer.readUInt32BE(1)
      if (buffer.length < this.#needed) break
      this.#take(buffer.subarray(headBytes, this.#needed))
      buffer = buffer.subarray(this.#needed)
      this.#needed = headBytes
    }
    this.#pieces = [buffer]
    this.#bytes = buffer.length
  }
}

/** A gRPC frame around a message. */
export const frameOf = (message: Uint8Array): Buffer => {
  const framed = Buffer.alloc(5 + message.length)
  framed.writeUInt32BE(message.length, 1)
  framed.set(message, 5)
  return framed
}

/** Calls `field` for each length-delimited field; skips others. */
export function walkFields(message: Buffer, field: (number: number, bytes: Buffer) => void): void {
  let at = 0
  const varint = (): number => {
    let value = 0
    for (let factor = 1; ; factor *= 128) {
      const byte = message[at++] ?? 0
      value += (byte & 127) * factor
      if (byte < 128) return value
    }
  }
  while (at < message.length) {
    const tag = varint()
    if ((tag & 7) === 0) {
      varint()
      continue
    }
    if ((tag & 7) !== 2) throw new Error('an answer with a field that no answer has')
    const length = varint()
    field(tag >> 3, message.subarray(at, at + length))
    at += length
  }
}

/** How many envelopes a QueryResponse, or the Envelopes of a stream, has. */
export const countEnvelopes = (message: Buffer): number => {
  let count = 0
  walkFields(message, (number) => {
    if (number === 1) count += 1
  })
  return count
}

/** The messages of the envelopes in an `Envelopes`. */
export const messagesOf = (envelopes: Buffer): readonly Buffer[] => {
  const messages: Buffer[] = []
  walkFields(envelopes, (number, envelope) => {
    if (number !== 1) return
    walkFields(envelope, (inner, bytes) => {
      if (inner === 4) messages.push(bytes)
    })
  })
  return messages
}

/** The field of SubscribeResponse that an event of a stream has. */
export const event = { started: 1, envelopes: 2, caughtUp: 3, heartbeat: 4, stock: 5 } as const
