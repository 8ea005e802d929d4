/**
 * What a story may do: people with throw-away wallets, their devices, a node, and the trouble that
 * happens to them. Node and browsers each bring a world of their own; the stories are the same.
 */

import type { Message } from '../../src/worker/contract.ts'

/** A message as every installation must show it. */
export interface Shown {
  readonly id: string
  readonly sender: string
  readonly content: string | undefined
  readonly state: Message['state']
  readonly reason: string | undefined
}

export interface Person {
  readonly name: string
  /** With its EIP-55 checksum. */
  readonly address: string
}

/** One client with its own database. */
export interface Device {
  readonly name: string
  readonly person: Person
  /** Sends a text; resolves once it is stored, or once the node has it. */
  send(to: Person, text: string, until?: 'stored' | 'sent'): Promise<void>
  /** The whole conversation, oldest first, read page by page. */
  history(withPerson: Person, pageSize?: number): Promise<readonly Shown[]>
  /** Resolves when the conversation has that many messages and none of them is pending. */
  settled(withPerson: Person, count: number): Promise<void>
  /** Resolves when the newest message of the conversation is pending for this reason. */
  waiting(withPerson: Person, reason: string): Promise<void>
  /** Resolves when the client is live, offline, …. */
  reached(state: 'live' | 'offline'): Promise<void>
  /**
   * Everything the streams `messages()` of this device gave since it was made, in order; resolves
   * when they are at least that many.
   */
  streamed(atLeast: number): Promise<readonly Shown[]>
  /** Warning codes and their counts. */
  warnings(): Promise<Readonly<Record<string, number>>>
  /** As a page that is reloaded: without a goodbye, the same database again. */
  reload(): Promise<void>
  /** The client is closed; until `open` nothing of it runs. */
  close(): Promise<void>
  open(): Promise<void>
  installationId(): Promise<string>
  /** How often the wallet was asked to sign. */
  signatures(): Promise<number>
}

export interface World {
  /** Seeds every choice of a story; printed when it fails. */
  readonly seed: number
  person(name: string): Promise<Person>
  /** A new device of a person; registers unless the story opens it while the node is down. */
  device(person: Person, name: string): Promise<Device>
  /** The node process. */
  readonly node: {
    stop(): Promise<void>
    start(): Promise<void>
    /** Deletes all that a stopped node has stored. */
    forget(): Promise<void>
    /** Cuts every open connection once; the node goes on. */
    cut(): Promise<void>
  }
  /** What anyone can do to an inbox, and what lies on the node's disk. */
  readonly attacker: Attacker
  /** How much of everything: 1 in Node, less where each message costs a browser. */
  readonly scale: number
}

export interface Attacker {
  /** Puts bytes on a topic. @returns `stored`, or the code of the refusal */
  publish(topic: string, message: Uint8Array): Promise<string>
  /** The message bytes that the node holds of a topic, oldest first. */
  stored(topic: string): Promise<readonly Uint8Array[]>
}

export type Story = (world: World) => Promise<void>
