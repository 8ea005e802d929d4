/**
 * TLS for connections that it is given: 1.2 or later with Node's default ciphers, the protocol by
 * ALPN, and a certificate that can be replaced while connections are open.
 */
import { X509Certificate } from 'node:crypto'
import { type FSWatcher, readFileSync, watch } from 'node:fs'
import type { Socket } from 'node:net'
import { dirname } from 'node:path'
import tls from 'node:tls'

export interface CertificateFiles {
  /** The chain, PEM. */
  readonly certificate: string
  /** PEM. */
  readonly key: string
}

export interface TlsOptions extends CertificateFiles {
  readonly handshakeTimeoutMs: number
  /** Called with what became of a new certificate. */
  readonly onNews?: (news: CertificateNews) => void
}

export type CertificateNews =
  | { readonly kind: 'loaded'; readonly validUntil: Date }
  /** The one before stays in use. */
  | { readonly kind: 'refused'; readonly why: string }

export interface TlsLayer {
  /** Does the handshake and passes the connection to `onConnection`; closes it if that fails. */
  take(socket: Socket): void
  /** When the certificate in use expires. */
  readonly validUntil: Date
  /** Reads the files again. */
  reload(): void
  /** Stops watching the files. */
  close(): void
}

/** Certificate and key are two files, and tools write them one after the other. */
const reloadDelayMs = 500

/** @throws CertificateProblem if the files cannot be read or do not fit each other. */
export function openTls(
  options: TlsOptions,
  onConnection: (protocol: 'http1' | 'http2' | undefined, socket: tls.TLSSocket) => void,
): TlsLayer {
  let current = readFirst(options)
  const server = tls.createServer({
    ...current.pem,
    minVersion: 'TLSv1.2',
    ALPNProtocols: ['h2', 'http/1.1'],
    handshakeTimeout: options.handshakeTimeoutMs,
  })
  server.on('secureConnection', (socket) => {
    // Resets are routine, and an error without a listener would end the process.
    socket.on('error', () => {})
    const { alpnProtocol } = socket
    // Without ALPN the first bytes decide.
    if (alpnProtocol === 'h2') onConnection('http2', socket)
    else onConnection(alpnProtocol === 'http/1.1' ? 'http1' : undefined, socket)
  })
  // A scan, a client in clear, or one that does not trust the certificate.
  server.on('tlsClientError', (_, socket) => socket.destroy())
  options.onNews?.({ kind: 'loaded', validUntil: current.validUntil })

  const reload = (): void => {
    try {
      const read = readCertificate(options)
      if (read.pem.cert.equals(current.pem.cert) && read.pem.key.equals(current.pem.key)) return
      server.setSecureContext({ ...read.pem, minVersion: 'TLSv1.2' })
      current = read
      options.onNews?.({ kind: 'loaded', validUntil: read.validUntil })
    } catch (error) {
      options.onNews?.({ kind: 'refused', why: reasonOf(error) })
    }
  }

  let timer: NodeJS.Timeout | undefined
  const later = (): void => {
    clearTimeout(timer)
    timer = setTimeout(reload, reloadDelayMs)
    timer.unref()
  }
  // Watches folders, not files: renewal tools replace the files, or links to them.
  const folders = new Set([options.certificate, options.key].map((file) => dirname(file)))
  const watchers = [...folders].flatMap((folder) => watchFolder(folder, later) ?? [])

  return {
    take: (socket) => {
      server.emit('connection', socket)
    },
    get validUntil() {
      return current.validUntil
    },
    reload,
    close() {
      clearTimeout(timer)
      for (const watcher of watchers) watcher.close()
      server.close()
    },
  }
}

/** Absent if the machine has no watches left; SIGHUP and a restart still work. */
function watchFolder(folder: string, onChange: () => void): FSWatcher | undefined {
  try {
    const watcher = watch(folder, { persistent: false }, onChange)
    watcher.on('error', () => watcher.close())
    return watcher
  } catch {
    return undefined
  }
}

interface Certificate {
  readonly pem: { readonly cert: Buffer; readonly key: Buffer }
  readonly validUntil: Date
}

function readFirst(files: CertificateFiles): Certificate {
  try {
    return readCertificate(files)
  } catch (error) {
    throw new CertificateProblem(error)
  }
}

function readCertificate(files: CertificateFiles): Certificate {
  const pem = { cert: readFileSync(files.certificate), key: readFileSync(files.key) }
  // Throws unless the two fit each other.
  tls.createSecureContext({ ...pem, minVersion: 'TLSv1.2' })
  return { pem, validUntil: new X509Certificate(pem.cert).validToDate }
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown'
  if ('code' in error && error.code === 'ENOENT') return 'a file is missing'
  if ('code' in error && error.code === 'EACCES') return 'a file may not be read by this user'
  return /key values mismatch/i.test(error.message)
    ? 'certificate and key do not belong together'
    : `not a certificate and its key in PEM (${error.message})`
}

/** The files cannot be used; the message is a sentence for the operator. */
export class CertificateProblem extends Error {
  constructor(cause: unknown) {
    super(`--tls-cert and --tls-key cannot be used: ${reasonOf(cause)}.`, { cause })
  }
}
