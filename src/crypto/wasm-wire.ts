/**
 * Packs each request to wasm and each response into one byte buffer: an integer is 4 bytes little
 * endian, bytes follow their length, a list's items follow their count, and a result is one byte (0
 * before the value, or 1 before the code as text). `wasm/src/wire.rs` is the other end.
 */

const text = new TextDecoder()

/** A list of byte fields is written as one; a number as an integer. */
export type WireField = Uint8Array | number

/** One buffer with all the fields. */
export const packRequest = (fields: readonly WireField[]): Uint8Array => {
  let length = 0
  for (const field of fields) length += typeof field === 'number' ? 4 : 4 + field.length
  const request = new Uint8Array(length)
  const view = new DataView(request.buffer)
  let offset = 0
  for (const field of fields) {
    view.setUint32(offset, typeof field === 'number' ? field : field.length, true)
    offset += 4
    if (typeof field === 'number') continue
    request.set(field, offset)
    offset += field.length
  }
  return request
}

/** Reads a response in the order in which it was written. Bytes are copies. */
export class ResponseReader {
  readonly #bytes: Uint8Array
  readonly #view: DataView
  #offset = 0

  constructor(response: Uint8Array) {
    this.#bytes = response
    this.#view = new DataView(response.buffer, response.byteOffset, response.byteLength)
  }

  integer(): number {
    const value = this.#view.getUint32(this.#offset, true)
    this.#offset += 4
    return value
  }

  bytes(): Uint8Array {
    const length = this.integer()
    const value = this.#bytes.slice(this.#offset, this.#offset + length)
    this.#offset += length
    return value
  }

  flag(): boolean {
    const value = this.#view.getUint8(this.#offset)
    this.#offset += 1
    return value !== 0
  }

  list<T>(item: () => T): T[] {
    return Array.from({ length: this.integer() }, item)
  }

  /** The value that `ok` reads, or the code of the failure. */
  result<T>(ok: () => T, failed: (code: string) => T): T {
    return this.flag() ? failed(text.decode(this.bytes())) : ok()
  }
}
