/**
 * Sends requests over real sockets as they are, good or bad, and brings back what came: a whole
 * answer, a part of one, a closed connection, or nothing within the bound.
 */
import http from 'node:http'
import http2 from 'node:http2'
import net from 'node:net'
import type { Call } from './calls.ts'
import type { RawRequest } from './raw-bytes.ts'

export interface RawAnswer {
  readonly status: number | undefined
  readonly headers: Headers
  readonly trailers: Headers
  readonly body: Buffer
  /** `whole`: ended as HTTP ends. `enough`: a stream began. `broken`: closed before its end. */
  readonly ending: 'whole' | 'enough' | 'broken' | 'late'
  readonly why?: string
}

export interface Wire {
  send(call: Call): Promise<RawAnswer>
  sendRaw(raw: RawRequest): Promise<RawAnswer>
  close(): void
}

// A hang is a failure; the node's slowest honest answer takes a fraction of this. Counted in turns of a
// timer: while this process itself is busy, as with making a GiB of gzip, nobody waits.
const answerWithinTurns = 20
const turnMs = 1_000

/** How much of the body goes into which write. */
function* piecesOf(body: Uint8Array, count: number): Generator<Uint8Array> {
  const size = Math.max(1, Math.ceil(body.length / count))
  for (let at = 0; at < body.length; at += size) yield body.subarray(at, at + size)
}

const toHeaders = (record: NodeJS.Dict<string | readonly string[]>): Headers => {
  const headers = new Headers()
  for (const [name, value] of Object.entries(record)) {
    if (!name.startsWith(':') && value !== undefined) headers.set(name, String(value))
  }
  return headers
}

/** Whether the first frame of a stream is there: a message, not an end. */
const hasBegun = (body: Buffer): boolean =>
  body.length >= 5 && body[0] === 0 && body.length >= 5 + body.readUInt32BE(1)

/** Collects an answer; the first ending counts. */
class Collector {
  status: number | undefined
  headers = new Headers()
  trailers = new Headers()
  readonly #chunks: Buffer[] = []
  readonly #streams: boolean
  readonly #settle: (answer: RawAnswer) => void
  readonly answer: Promise<RawAnswer>
  readonly #timer: NodeJS.Timeout

  constructor(streams: boolean) {
    this.#streams = streams
    const { promise, resolve } = Promise.withResolvers<RawAnswer>()
    this.answer = promise
    this.#settle = resolve
    let turns = 0
    this.#timer = setInterval(() => {
      turns += 1
      if (turns === answerWithinTurns) this.end('late')
    }, turnMs)
  }

  get body(): Buffer {
    return Buffer.concat(this.#chunks)
  }

  push(chunk: Buffer): void {
    this.#chunks.push(chunk)
    if (this.#streams && this.status === 200 && hasBegun(this.body)) this.end('enough')
  }

  end(ending: RawAnswer['ending'], why?: string): void {
    clearInterval(this.#timer)
    const { status, headers, trailers, body } = this
    this.#settle({ status, headers, trailers, body, ending, ...(why !== undefined && { why }) })
  }
}

const reasonOf = (error: Error): string =>
  'code' in error ? `${String(error.code)}: ${error.message}` : error.message

/** Connections to one node. */
export function openWire(url: string): Wire {
  const { hostname, port } = new URL(url)
  const agent = new http.Agent({ keepAlive: true })
  const sessions = new Set<http2.ClientHttp2Session>()
  let shared: http2.ClientHttp2Session | undefined

  const newSession = (): http2.ClientHttp2Session => {
    // With Node's 10 MiB this very client refuses what comes beside its own largest request.
    const session = http2.connect(url, { maxSessionMemory: 256 })
    // Told where it matters: the streams on it end with it.
    session.on('error', () => {})
    sessions.add(session)
    session.once('close', () => sessions.delete(session))
    return session
  }
  const sharedSession = (): http2.ClientHttp2Session => {
    if (shared === undefined || shared.closed || shared.destroyed) shared = newSession()
    return shared
  }

  const sendHttp1 = async (call: Call, fresh = call.breaksHttp): Promise<RawAnswer> => {
    const collector = new Collector(call.rpc === 'Subscribe')
    const request = http.request({
      host: hostname,
      port,
      method: call.method,
      path: call.path,
      headers: call.headers,
      agent: fresh ? false : agent,
    })
    request.on('response', (response) => {
      collector.status = response.statusCode
      collector.headers = toHeaders(response.headers)
      response.on('data', (chunk: Buffer) => collector.push(chunk))
      response.on('end', () => {
        collector.trailers = toHeaders(response.trailers)
        collector.end('whole')
      })
      response.on('error', (error) => collector.end('broken', reasonOf(error)))
    })
    let unanswered = false
    request.on('error', (error) => {
      unanswered = request.reusedSocket && collector.status === undefined
      collector.end('broken', reasonOf(error))
    })
    for (const piece of piecesOf(call.body, call.pieces)) request.write(piece)
    request.end()
    // With a length that promises more, this is the only end that the node ever gets.
    if (call.breaksHttp) request.once('finish', () => request.socket?.end())
    const answer = await collector.answer
    if (answer.ending !== 'whole') request.destroy()
    // Closed before it was used again: a client sends anew (RFC 9112 section 9.3.1).
    return unanswered ? sendHttp1(call, true) : answer
  }

  const sendHttp2 = async (call: Call): Promise<RawAnswer> => {
    const collector = new Collector(call.rpc === 'Subscribe')
    const session = call.breaksHttp ? newSession() : sharedSession()
    try {
      const stream = session.request({
        ':method': call.method,
        ':path': call.path,
        ...call.headers,
      })
      stream.on('response', (headers) => {
        collector.status = headers[':status']
        collector.headers = toHeaders(headers)
      })
      stream.on('trailers', (trailers) => {
        collector.trailers = toHeaders(trailers)
      })
      stream.on('data', (chunk: Buffer) => collector.push(chunk))
      stream.on('end', () => {
        if (collector.status !== undefined) collector.end('whole')
      })
      stream.on('error', (error) => collector.end('broken', reasonOf(error)))
      stream.on('close', () => collector.end('broken', `reset ${stream.rstCode}`))
      for (const piece of piecesOf(call.body, call.pieces)) stream.write(piece)
      stream.end()
      const answer = await collector.answer
      if (answer.ending !== 'whole') stream.close(http2.constants.NGHTTP2_CANCEL)
      return answer
    } catch (error) {
      // What the client's own library refuses to send was never sent.
      collector.end('broken', error instanceof Error ? reasonOf(error) : 'unknown')
      return await collector.answer
    } finally {
      if (session !== shared) session.destroy()
    }
  }

  const sendRaw = async ({ bytes, leaves }: RawRequest): Promise<RawAnswer> => {
    const collector = new Collector(false)
    const socket = net.connect(Number(port), hostname)
    socket.on('data', (chunk) => collector.push(chunk))
    socket.on('error', (error) => collector.end('broken', reasonOf(error)))
    socket.on('close', () => {
      const [, status] = /^HTTP\/1\.1 (\d{3}) /.exec(collector.body.toString('latin1')) ?? []
      if (status !== undefined) collector.status = Number(status)
      collector.end('broken')
    })
    if (leaves === 'half') socket.end(bytes)
    else socket.write(bytes, () => socket.resetAndDestroy())
    const answer = await collector.answer
    socket.destroy()
    return answer
  }

  return {
    send: (call) => (call.carrier.http === '2' ? sendHttp2(call) : sendHttp1(call)),
    sendRaw,
    close() {
      agent.destroy()
      for (const session of sessions) session.destroy()
    },
  }
}
