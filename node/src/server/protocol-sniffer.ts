/**
 * Tells HTTP/2 from HTTP/1.1 by the first bytes of a connection: an HTTP/2 client that needs no
 * upgrade begins with a fixed preface (RFC 9113 section 3.4).
 */
import type { Socket } from 'node:net'

const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1')

/**
 * Calls `take` once, with the socket as if nothing had been read from it. If the first bytes do not
 * decide within the limit, the socket is closed and `take` is never called.
 */
export function sniffProtocol(
  socket: Socket,
  limitMs: number,
  take: (protocol: 'http1' | 'http2') => void,
): void {
  let seen: Buffer = Buffer.alloc(0)
  const timer = setTimeout(() => socket.destroy(), limitMs)
  const stopTimer = (): void => clearTimeout(timer)
  const onData = (chunk: Buffer): void => {
    seen = seen.length === 0 ? chunk : Buffer.concat([seen, chunk])
    const length = Math.min(seen.length, preface.length)
    const matches = seen.subarray(0, length).equals(preface.subarray(0, length))
    if (matches && seen.length < preface.length) return
    stopTimer()
    socket.off('data', onData)
    socket.off('close', stopTimer)
    socket.pause()
    socket.unshift(seen)
    take(matches ? 'http2' : 'http1')
    // An HTTP/2 session reads the bytes put back by itself; the HTTP/1.1 parser needs a flowing
    // socket.
    if (!matches) socket.resume()
  }
  socket.on('close', stopTimer)
  socket.on('data', onData)
}
