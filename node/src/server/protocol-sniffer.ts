/**
 * Tells HTTP/2 from HTTP/1.1 on one cleartext port by the first bytes of a connection: an HTTP/2
 * client that needs no upgrade begins with a fixed preface (RFC 9113 section 3.4).
 */
import type { Socket } from 'node:net'

const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1')

/** How long a connection may say nothing at first. Browsers open some ahead of need. */
const silenceLimitMs = 60_000

/**
 * Calls `take` once, with the socket as if nothing had been read from it, or never: if it closes or
 * stays silent.
 */
export function sniffProtocol(
  socket: Socket,
  take: (protocol: 'http1' | 'http2', socket: Socket) => void,
): void {
  let seen: Buffer = Buffer.alloc(0)
  const giveUp = (): void => {
    socket.destroy()
  }
  const onData = (chunk: Buffer): void => {
    seen = seen.length === 0 ? chunk : Buffer.concat([seen, chunk])
    const length = Math.min(seen.length, preface.length)
    const matches = seen.subarray(0, length).equals(preface.subarray(0, length))
    if (matches && seen.length < preface.length) return
    socket.off('data', onData)
    socket.off('timeout', giveUp)
    socket.setTimeout(0)
    socket.pause()
    socket.unshift(seen)
    take(matches ? 'http2' : 'http1', socket)
    // An HTTP/2 session reads what was put back by itself; the HTTP/1.1 parser waits for it to flow.
    if (!matches) socket.resume()
  }
  socket.setTimeout(silenceLimitMs)
  socket.on('timeout', giveUp)
  socket.on('data', onData)
}
