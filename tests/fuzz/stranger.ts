/** A stranger on a connection of HTTP/2: sends what it likes, many at a time, and reads as it likes. */
import http2 from 'node:http2'
import { frame, pathOf } from './calls.ts'
import type { Rpc } from './samples.ts'

export interface Answer {
  readonly httpStatus: number
  /** The status of gRPC; absent if the call was cut. */
  readonly grpcStatus: number | undefined
  readonly body: Buffer
}

export class Stranger {
  readonly session: http2.ClientHttp2Session

  constructor(url: string, settings: http2.Settings = {}) {
    this.session = http2.connect(url, { settings })
    this.session.on('error', () => {})
  }

  /** Opens a call and sends its body; what comes is not read. */
  open(rpc: Rpc, message: Uint8Array, headers: Record<string, string> = {}, flags = 0) {
    const stream = this.session.request({
      ':method': 'POST',
      ':path': pathOf(rpc),
      'content-type': 'application/grpc+proto',
      te: 'trailers',
      ...headers,
    })
    stream.on('error', () => {})
    stream.end(frame(message, flags))
    return stream
  }

  /** Opens a call and reads its whole answer. */
  ask(...call: Parameters<Stranger['open']>): Promise<Answer> {
    const stream = this.open(...call)
    const chunks: Buffer[] = []
    let httpStatus = 0
    let grpcStatus: number | undefined
    const look = (headers: http2.IncomingHttpHeaders & http2.IncomingHttpStatusHeader): void => {
      httpStatus = headers[':status'] ?? httpStatus
      const status = headers['grpc-status']
      if (status !== undefined) grpcStatus = Number(status)
    }
    stream.on('response', look).on('trailers', look)
    stream.on('data', (chunk: Buffer) => chunks.push(chunk))
    return new Promise((resolve) => {
      stream.once('close', () => resolve({ httpStatus, grpcStatus, body: Buffer.concat(chunks) }))
    })
  }

  destroy(): void {
    this.session.destroy()
  }
}

/** The largest value that a measure has until the work is done. */
export async function peakDuring<T>(measure: () => number, work: Promise<T>) {
  let peak = measure()
  const timer = setInterval(() => {
    peak = Math.max(peak, measure())
  }, 10)
  try {
    return { result: await work, peak: Math.max(peak, measure()) }
  } finally {
    clearInterval(timer)
  }
}
