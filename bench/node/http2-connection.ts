/**
 * As much of an HTTP/2 client as a load generator needs (RFC 9113): requests whose headers and body
 * were encoded beforehand, answers of which only the data is looked at. On a machine with two cores
 * an ordinary client would be most of what is measured.
 */
import net, { type Socket } from 'node:net'

/** What comes of one request. */
export interface Answer {
  /** A piece of the body; valid during the call only. */
  data(bytes: Buffer): void
  end(): void
  failed(reason: string): void
}

const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1')
const frame = { data: 0, headers: 1, reset: 3, settings: 4, ping: 6, goAway: 7, window: 8 }
const endStream = 1
const endHeaders = 4
const acknowledgement = 1
const headBytes = 9
const frameLimitBytes = 16_384
const largestWindow = 0x7fffffff
/** Section 6.9.2: until the other side says otherwise. */
const firstWindowBytes = 65_535

/** Headers of a gRPC call, all as literals, so that no connection has a state of its own (RFC 7541). */
export const encodeHeaders = (path: string, authority: string): Buffer => {
  const text = (value: string): Buffer => {
    if (value.length > 126) throw new Error('a header of the bench is too long')
    return Buffer.concat([Buffer.of(value.length), Buffer.from(value, 'latin1')])
  }
  return Buffer.concat([
    // :method POST, :scheme http; then :path, :authority, content-type and te.
    ...[Buffer.of(0x83, 0x86, 0x04), text(path), Buffer.of(0x01), text(authority)],
    ...[Buffer.of(0x0f, 0x10), text('application/grpc'), Buffer.of(0x00), text('te')],
    text('trailers'),
  ])
}

const head = (length: number, type: number, flags: number, stream: number): Buffer => {
  const bytes = Buffer.allocUnsafe(headBytes)
  bytes.writeUIntBE(length, 0, 3)
  bytes[3] = type
  bytes[4] = flags
  bytes.writeUInt32BE(stream, 5)
  return bytes
}

export class Http2Connection {
  readonly #socket: Socket
  readonly #answers = new Map<number, Answer>()
  readonly #waiting: {
    readonly headers: Buffer
    readonly body: Buffer
    readonly answer: Answer
  }[] = []
  #nextStream = 1
  #sendWindow = firstWindowBytes
  /** Bytes received since the last window update. */
  #received = 0
  // The frame that is being read.
  #head = Buffer.alloc(headBytes)
  #headFilled = 0
  #left = 0
  #control = Buffer.alloc(0)

  private constructor(socket: Socket) {
    this.#socket = socket
  }

  /** @throws Error if nothing listens there. */
  static open(port: number, readBytes = 64 * 1024): Promise<Http2Connection> {
    return new Promise((resolve, reject) => {
      let connection: Http2Connection | undefined
      const socket = net.connect({
        port,
        host: '127.0.0.1',
        noDelay: true,
        onread: {
          buffer: Buffer.allocUnsafe(readBytes),
          callback: (count, buffer) => {
            connection?.read(Buffer.from(buffer.buffer, buffer.byteOffset, count))
            return true
          },
        },
      })
      socket.once('error', reject)
      socket.once('connect', () => {
        socket.off('error', reject)
        connection = new Http2Connection(socket)
        const fail = (): void => connection?.fail('the connection ended')
        socket.on('error', fail)
        socket.on('close', fail)
        const settings = Buffer.alloc(18)
        // No dynamic table, no push, and streams that never wait for room.
        settings.writeUInt16BE(1, 0)
        settings.writeUInt16BE(2, 6)
        settings.writeUInt16BE(4, 12)
        settings.writeUInt32BE(largestWindow, 14)
        const window = Buffer.alloc(4)
        window.writeUInt32BE(largestWindow - firstWindowBytes)
        socket.write(
          Buffer.concat([
            ...[preface, head(settings.length, frame.settings, 0, 0), settings],
            ...[head(4, frame.window, 0, 0), window],
          ]),
        )
        resolve(connection)
      })
    })
  }

  /** Sends a request as soon as the other side has room for its body. */
  request(headers: Buffer, body: Buffer, answer: Answer): void {
    this.#waiting.push({ headers, body, answer })
    this.#send()
  }

  close(): void {
    this.#answers.clear()
    this.#socket.destroy()
  }

  fail(reason: string): void {
    const answers = [...this.#answers.values()]
    this.#answers.clear()
    for (const answer of answers) answer.failed(reason)
  }

  #send(): void {
    for (let next = this.#waiting[0]; next !== undefined; next = this.#waiting[0]) {
      if (next.body.length > this.#sendWindow) return
      this.#waiting.shift()
      this.#sendWindow -= next.body.length
      const stream = this.#nextStream
      this.#nextStream += 2
      this.#answers.set(stream, next.answer)
      const parts = [head(next.headers.length, frame.headers, endHeaders, stream), next.headers]
      for (let from = 0; from < next.body.length; from += frameLimitBytes) {
        const piece = next.body.subarray(from, from + frameLimitBytes)
        const isLast = from + frameLimitBytes >= next.body.length
        parts.push(head(piece.length, frame.data, isLast ? endStream : 0, stream), piece)
      }
      this.#socket.write(Buffer.concat(parts))
    }
  }

  read(bytes: Buffer): void {
    let at = 0
    while (at < bytes.length) {
      if (this.#headFilled < headBytes) {
        const count = bytes.copy(this.#head, this.#headFilled, at)
        this.#headFilled += count
        at += count
        if (this.#headFilled < headBytes) return
        this.#left = this.#head.readUIntBE(0, 3)
        this.#control = Buffer.alloc(0)
        if (this.#left > 0) continue
      }
      const piece = bytes.subarray(at, at + this.#left)
      at += piece.length
      this.#left -= piece.length
      if (this.#head[3] === frame.data) this.#answers.get(this.#stream)?.data(piece)
      else this.#control = Buffer.concat([this.#control, piece])
      if (this.#left > 0) return
      this.#headFilled = 0
      this.#finishFrame()
    }
    if (this.#received < largestWindow / 4) return
    const window = Buffer.alloc(4)
    window.writeUInt32BE(this.#received)
    this.#received = 0
    this.#socket.write(Buffer.concat([head(4, frame.window, 0, 0), window]))
  }

  get #stream(): number {
    return this.#head.readUInt32BE(5)
  }

  #finishFrame(): void {
    const type = this.#head[3] ?? 0
    const flags = this.#head[4] ?? 0
    const stream = this.#stream
    if (type === frame.data) this.#received += this.#head.readUIntBE(0, 3)
    if ((type === frame.data || type === frame.headers) && (flags & endStream) !== 0) {
      const answer = this.#answers.get(stream)
      this.#answers.delete(stream)
      answer?.end()
    } else if (type === frame.reset) {
      const answer = this.#answers.get(stream)
      this.#answers.delete(stream)
      answer?.failed(`reset, ${this.#control.readUInt32BE(0)}`)
    } else if (type === frame.goAway) {
      this.fail('the node goes away')
    } else if (type === frame.window && stream === 0) {
      this.#sendWindow += this.#control.readUInt32BE(0)
      this.#send()
    } else if (type === frame.settings && (flags & acknowledgement) === 0) {
      this.#socket.write(head(0, frame.settings, acknowledgement, 0))
    } else if (type === frame.ping && (flags & acknowledgement) === 0) {
      this.#socket.write(Buffer.concat([head(8, frame.ping, acknowledgement, 0), this.#control]))
    }
  }
}
