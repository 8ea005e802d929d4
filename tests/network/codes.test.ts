/** What a node's refusals become, over the real service and for later releases. */

import { Code, ConnectError, createRouterTransport } from '@connectrpc/connect'
import { expect, test } from 'vitest'
import { createInProcessNode } from '../../node/src/testing.ts'
import { PadlockError } from '../../src/errors.ts'
import { ErrorDetailSchema, NodeService } from '../../src/gen/padlock/v1/node_pb.ts'
import { connectNode, networkError, networkOver } from '../../src/network/connect.ts'
import { nodeCodes } from '../../src/protocol/node-codes.ts'
import { codeOf, readStream } from './server.ts'

/** A network whose node refuses everything so. */
const refusing = (status: Code, code: string) => {
  const refuse = () => {
    throw new ConnectError('no', status, undefined, [
      { desc: ErrorDetailSchema, value: { code, retryAfterMs: 1_500n, envelopeIndex: 3 } },
    ])
  }
  return networkOver(
    createRouterTransport(({ service }) => {
      service(NodeService, { publish: refuse, getInfo: refuse, subscribe: refuse })
    }),
  )
}

test('every code of a node comes out as it is, with what it said about it', async () => {
  for (const [code, status] of Object.entries(nodeCodes)) {
    const network = refusing(status, code)
    const error = await network.publish([]).catch((error: unknown) => error)
    expect(error).toBeInstanceOf(PadlockError)
    expect(error).toMatchObject({ code, details: { envelopeIndex: 3, retryAfterMs: 1_500 } })
    expect(await codeOf(readStream(network))).toBe(code)
  }
})

test('a node cannot speak for this machine: the SDK’s own codes are not a node’s', async () => {
  for (const code of ['closed', 'aborted', 'storage_damaged', 'wallet_rejected', 'internal']) {
    expect(await codeOf(refusing(Code.FailedPrecondition, code).publish([]))).toBe(
      'incompatible_node',
    )
  }
})

test('a code of a later release says by its status whether to try again', async () => {
  const expected = new Map<Code, string>([
    [Code.InvalidArgument, 'incompatible_node'],
    [Code.FailedPrecondition, 'incompatible_node'],
    [Code.PermissionDenied, 'incompatible_node'],
    [Code.Unimplemented, 'incompatible_node'],
    [Code.ResourceExhausted, 'rate_limited'],
    [Code.Unavailable, 'unavailable'],
    [Code.Internal, 'unavailable'],
  ])
  for (const [status, code] of expected) {
    const error = await refusing(status, 'made_in_2028')
      .getInfo()
      .catch((error: unknown) => error)
    expect(error).toMatchObject({
      code,
      details: { nodeCode: 'made_in_2028', retryAfterMs: 1_500 },
    })
  }
  const long = await refusing(Code.Unavailable, 'x'.repeat(10_000))
    .getInfo()
    .catch((error: unknown) => error)
  expect(long).toMatchObject({ details: { nodeCode: 'x'.repeat(64) } })
})

test('anything but an error of Connect is bad_response, and a PadlockError stays what it is', () => {
  const known = new PadlockError('revoked')
  expect(networkError(known)).toBe(known)
  expect(networkError(new RangeError('x')).code).toBe('bad_response')
  expect(networkError('x').code).toBe('bad_response')
})

test('answers that break the protocol are bad_response', async () => {
  const network = networkOver(
    createRouterTransport(({ service }) => {
      service(NodeService, {
        getInfo: () => ({ nodeId: new Uint8Array(15) }),
        publish: () => ({ receipts: [{ sequence: 1n, nodeNs: 1n }] }),
        claimPrekeys: () => ({
          claimed: [{ installationId: 'x', prekey: { curve25519: new Uint8Array(3) } }],
        }),
      })
    }),
  )
  expect(await codeOf(network.getInfo())).toBe('bad_response')
  expect(await codeOf(network.publish([]))).toBe('bad_response')
  // A key that is none is as good as not available.
  expect(await network.claimPrekeys(new Uint8Array(16), ['x'])).toEqual([
    { installationId: 'x', prekey: undefined },
  ])
})

test('the real node answers, and refuses with its codes', async () => {
  const node = createInProcessNode()
  const network = networkOver(node.transport)
  const info = await network.getInfo()
  expect(info.nodeId).toHaveLength(16)
  expect(info.nodeNs).toBeGreaterThan(0n)
  expect(await codeOf(network.publish([{ topic: 'x', message: new Uint8Array(1) }]))).toBe(
    'unknown_topic',
  )
  expect(await codeOf(network.query([{ topic: 'x', afterSequence: 0n }]))).toBe('unknown_topic')
  const address = `0x${'a'.repeat(40)}`
  expect(await network.query([{ topic: `contact-${address}`, afterSequence: 0n }])).toEqual({
    envelopes: [],
    hasMore: false,
  })
  const claimed = await network.claimPrekeys(new Uint8Array(16), ['A'.repeat(43)])
  expect(claimed).toEqual([{ installationId: 'A'.repeat(43), prekey: undefined }])
  await node.close()
})

test('an address that cannot be a node’s is invalid_argument at once', () => {
  for (const address of [
    '',
    'node.example',
    'ftp://node.example',
    'ws://node.example',
    'https://user:secret@node.example',
    'https://user@node.example',
    'https://:secret@node.example',
    'https://node.example/?key=1',
    'https://node.example/#here',
  ]) {
    expect(() => connectNode(address)).toThrow(
      expect.objectContaining({ code: 'invalid_argument' }),
    )
  }
  expect(() => connectNode('https://node.example/behind/a/path/')).not.toThrow()
})
