/**
 * Many strangers at once, each from an address of its own and each doing its worst, over and over. They have
 * a thread of their own, so that whoever measures is not slowed down by them.
 */
import http2 from 'node:http2'
import net from 'node:net'
import { setTimeout as wait } from 'node:timers/promises'
import { parentPort, workerData } from 'node:worker_threads'
import { create, toBinary } from '@bufbuild/protobuf'
import { ClaimPrekeysRequestSchema } from '../../src/gen/padlock/v1/node_pb.ts'
import { pathOf } from './calls.ts'
import type { Rpc } from './samples.ts'
import { Stranger } from './stranger.ts'

const mebibyte = 1024 * 1024

/** What all strangers of a siege use; later ones replace some of it. */
export interface Arms {
  readonly url: string
  readonly callers: number
  /** Bodies of requests. */
  readonly query: Uint8Array
  readonly subscribe: Uint8Array
  readonly publish: Uint8Array
  /** Whose prekeys are claimed. */
  readonly installationId: string
}

type Attack = (arms: Arms, headers: Record<string, string>) => Promise<void>

/** A connection that is replaced when it ends, for ever. */
async function repeat(
  { url }: Arms,
  settings: http2.Settings,
  attack: (stranger: Stranger) => Promise<unknown>,
): Promise<void> {
  for (;;) {
    const stranger = new Stranger(url, settings)
    const ended = new Promise<void>((resolve) => stranger.session.once('close', resolve))
    await Promise.race([attack(stranger), ended])
    stranger.destroy()
    await wait(50)
  }
}

/** Asks many times for what it never takes, and comes again when it is cut. */
const unread =
  (rpc: Rpc, body: (arms: Arms) => Uint8Array): Attack =>
  (arms, headers) =>
    repeat(arms, { initialWindowSize: 0 }, async (stranger) => {
      for (let n = 0; n < 20; n += 1) {
        for (let at = 0; at < 100; at += 1) stranger.open(rpc, body(arms), headers)
        await wait(500)
      }
    })

/** Sends most of 25 MiB, several times, and then nothing more. */
const slowBodies: Attack = (arms, headers) =>
  repeat(arms, {}, async (stranger) => {
    const piece = new Uint8Array(mebibyte)
    const calls = Array.from({ length: 4 }, () => {
      const call = stranger.session.request({
        ':method': 'POST',
        ':path': pathOf('Publish'),
        'content-type': 'application/grpc+proto',
        te: 'trailers',
        ...headers,
      })
      call.on('error', () => {}).resume()
      // A message of 25 MiB, it says.
      call.write(Uint8Array.of(0, 1, 0x90, 0, 0))
      return call
    })
    for (let n = 0; n < 24; n += 1) {
      for (const call of calls) {
        if (!call.destroyed && call.writableLength < 4 * mebibyte) call.write(piece)
      }
      await wait(100)
    }
    await wait(5_000)
  })

/** Sends whole requests, one after another on several streams. */
const flood =
  (rpc: Rpc, body: (arms: Arms) => Uint8Array, atOnce: number): Attack =>
  (arms, headers) =>
    repeat(arms, {}, async (stranger) => {
      while (!stranger.session.destroyed) {
        const asked = Array.from({ length: atOnce }, () => stranger.ask(rpc, body(arms), headers))
        await Promise.all(asked)
        await wait(20)
      }
    })

/** Opens calls and cancels them at once. */
const cancels: Attack = (arms, headers) =>
  repeat(arms, {}, async (stranger) => {
    while (!stranger.session.destroyed) {
      for (let n = 0; n < 50; n += 1) {
        stranger.open('Query', arms.query, headers).close(http2.constants.NGHTTP2_CANCEL)
      }
      await wait(200)
    }
  })

/** Opens as many subscriptions as it can, and takes what comes. */
const crowds: Attack = (arms, headers) =>
  repeat(arms, {}, async (stranger) => {
    for (let n = 0; n < 1_000; n += 1) {
      stranger.open('Subscribe', arms.subscribe, headers).resume()
      if (n % 50 === 49) await wait(200)
    }
    await wait(20_000)
  })

/** Opens connections that say nothing. */
const silence: Attack = async ({ url }) => {
  const sockets = new Set<net.Socket>()
  for (;;) {
    if (sockets.size < 150) {
      const socket = net.connect(Number(new URL(url).port), '127.0.0.1')
      sockets.add(socket)
      socket.on('error', () => {}).resume()
      socket.once('close', () => sockets.delete(socket))
    }
    await wait(sockets.size < 150 ? 20 : 1_000)
  }
}

let claims = 0

/** A claim that nobody made before. */
function claimOf({ installationId }: Arms): Uint8Array {
  claims += 1
  const claimId = Buffer.alloc(16)
  claimId.writeUInt32BE(claims)
  const installationIds = Array<string>(200).fill(installationId)
  return toBinary(
    ClaimPrekeysRequestSchema,
    create(ClaimPrekeysRequestSchema, { claimId, installationIds }),
  )
}

const attacks: readonly Attack[] = [
  unread('Query', ({ query }) => query),
  unread('Subscribe', ({ subscribe }) => subscribe),
  slowBodies,
  flood('Publish', ({ publish }) => publish, 2),
  flood('ClaimPrekeys', claimOf, 20),
  cancels,
  crowds,
  silence,
]

/** All of them, until this thread is ended. */
const attackAll = (arms: Arms): Promise<unknown> =>
  Promise.all(
    Array.from({ length: arms.callers }, (_, n) =>
      attacks[n % attacks.length]?.(arms, {
        'x-forwarded-for': `198.18.${Math.floor(n / 250)}.${(n % 250) + 1}`,
      }),
    ),
  )

const arms: Arms = workerData
parentPort?.on('message', (news: Partial<Arms>) => Object.assign(arms, news))
await attackAll(arms)
