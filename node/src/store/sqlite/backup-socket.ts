/**
 * How `padlock-node backup` asks a running node for a copy of its database: by a socket in the data
 * folder that only the node's user can open. One line asks, and lines of progress answer. A client
 * that hangs up ends the copy.
 */
import { chmodSync, rmSync } from 'node:fs'
import { createConnection, createServer, type Socket } from 'node:net'
import { dirname, join } from 'node:path'
import type { BackupProgress, OnlineBackup } from './backup.ts'

/** The socket beside a database file. */
export const backupSocketOf = (file: string): string => join(dirname(file), 'backup.sock')

/** The longest path that fits a socket's address (unix(7): 108 bytes with the final zero). */
export const socketPathLimitBytes = 107

const lineLimit = 8_192
const requestLimitMs = 5_000
const progressIntervalMs = 500

interface Reply {
  readonly progress?: BackupProgress
  readonly done?: true
  readonly error?: string
}

/**
 * Takes requests until the returned function is called. The caller holds the lock of the database,
 * so an existing socket is a leftover. If no socket can be created, the node runs without one.
 */
export function takeBackupRequests(path: string, copy: OnlineBackup): () => void {
  if (Buffer.byteLength(path) > socketPathLimitBytes) return () => {}
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
    answer(socket, copy)
  })
  server.on('error', () => {})
  // Neither the server nor its connections keep the thread alive.
  server.unref()
  try {
    rmSync(path, { force: true })
    server.listen(path, () => {
      try {
        chmodSync(path, 0o600)
      } catch {
        server.close()
      }
    })
  } catch {
    return () => {}
  }
  return () => {
    server.close()
    for (const socket of sockets) socket.destroy()
  }
}

function answer(socket: Socket, copy: OnlineBackup): void {
  const send = (reply: Reply): void => {
    if (socket.writable) socket.write(`${JSON.stringify(reply)}\n`)
  }
  socket.unref()
  socket.on('error', () => {})
  socket.setTimeout(requestLimitMs, () => socket.destroy())
  let asked = false
  readLines(socket, (line) => {
    if (asked) return
    asked = true
    socket.setTimeout(0)
    const file = fileIn(line)
    if (file === undefined) {
      socket.end(`${JSON.stringify({ error: 'not a request for a backup' })}\n`)
      return
    }
    let reportedMs = 0
    copy
      .copyTo(file, (progress) => {
        if (socket.destroyed) throw new Error('nobody waits for it any more')
        if (performance.now() - reportedMs < progressIntervalMs) return
        reportedMs = performance.now()
        send({ progress })
      })
      .then(
        () => send({ done: true }),
        (error: unknown) => send({ error: error instanceof Error ? error.message : 'unknown' }),
      )
      .finally(() => socket.end())
  })
}

function fileIn(line: string): string | undefined {
  const request = parse(line)
  return typeof request === 'object' && request !== null && 'backup' in request
    ? typeof request.backup === 'string'
      ? request.backup
      : undefined
    : undefined
}

/**
 * Asks the node with this socket to write a copy to a new file, given by its absolute path.
 * @returns false if no node listens there.
 * @throws Error with the node's reason, or if the node ended meanwhile.
 */
export async function askForBackup(
  path: string,
  file: string,
  onProgress: (progress: BackupProgress) => void,
): Promise<boolean> {
  if (Buffer.byteLength(path) > socketPathLimitBytes) return false
  const socket = createConnection(path)
  return new Promise((resolve, reject) => {
    let connected = false
    socket.once('connect', () => {
      connected = true
      socket.write(`${JSON.stringify({ backup: file })}\n`)
    })
    socket.once('error', (error) => {
      const code = 'code' in error ? error.code : undefined
      if (!connected && (code === 'ENOENT' || code === 'ECONNREFUSED' || code === 'ENOTSOCK')) {
        resolve(false)
      } else reject(error)
    })
    socket.once('close', () => reject(new Error('the node ended before the copy was whole')))
    readLines(socket, (line) => {
      const reply = parse(line)
      if (typeof reply !== 'object' || reply === null) return
      if ('done' in reply) resolve(true)
      else if ('error' in reply) reject(new Error(String(reply.error)))
      else if ('progress' in reply) {
        const progress = readProgress(reply.progress)
        if (progress !== undefined) onProgress(progress)
      }
    })
  })
}

function readProgress(value: unknown): BackupProgress | undefined {
  if (typeof value !== 'object' || value === null) return undefined
  if (!('totalPages' in value) || !('remainingPages' in value)) return undefined
  const { totalPages, remainingPages } = value
  return typeof totalPages === 'number' && typeof remainingPages === 'number'
    ? { totalPages, remainingPages }
    : undefined
}

function parse(line: string): unknown {
  try {
    return JSON.parse(line)
  } catch {
    return undefined
  }
}

/** Calls `take` for each complete line; cuts a connection whose line is too long. */
function readLines(socket: Socket, take: (line: string) => void): void {
  let rest = ''
  socket.setEncoding('utf8')
  socket.on('data', (chunk) => {
    const lines = (rest + String(chunk)).split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines) take(line)
    if (rest.length > lineLimit) socket.destroy()
  })
}
