/**
 * Reads the vectors beside it (README.md says what they are) for tests in TypeScript, and turns
 * each case into one test. A missing field or one of another kind throws: a vector is never half
 * read.
 */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'

export type Json = string | boolean | null | readonly Json[] | JsonObject
export interface JsonObject {
  readonly [name: string]: Json
}

/** One case of a file. */
export interface Vector {
  readonly name: string
  readonly op: string
  readonly input: Fields
  /** What must come out; absent if `refusal` is there. */
  readonly output: Json | undefined
  /** The code it must be refused with, or null where any refusal will do; else absent. */
  readonly code: string | null | undefined
  /** The whole case, for the few operations that have fields beside input and output. */
  readonly fields: Fields
}

export type VectorFile =
  | 'account'
  | 'contact'
  | 'grants'
  | 'heads'
  | 'ids'
  | 'metadata'
  | 'own'
  | 'padding'
  | 'payload'
  | 'prekey'
  | 'sealing'
  | 'signing'

/** All cases of a file, in its order. */
export function readVectors(file: VectorFile): readonly Vector[] {
  const text = readFileSync(new URL(`./${file}.json`, import.meta.url), 'utf8')
  const cases = new Fields(JSON.parse(text)).list('cases')
  return cases.map((json) => {
    const fields = new Fields(json)
    return {
      name: fields.text('name'),
      op: fields.text('op'),
      input: fields.object('input'),
      output: fields.has('output') ? fields.value('output') : undefined,
      code: fields.has('code') ? fields.textOrNull('code') : undefined,
      fields,
    }
  })
}

/** The runner of one operation; it asserts with `expect`. */
export type RunVector = (vector: Vector) => void | Promise<void>

/**
 * One test for each case of a file. Every operation of the file has a runner, or the name of the tests
 * that run it.
 */
export function testVectors(
  file: VectorFile,
  runners: Readonly<Record<string, RunVector | 'elsewhere'>>,
): void {
  const vectors = readVectors(file)
  describe(`vectors of ${file}.json`, () => {
    test('every operation has a runner', () => {
      const ops = new Set(vectors.map((vector) => vector.op))
      expect(Object.keys(runners).sort()).toEqual([...ops].sort())
    })
    for (const vector of vectors) {
      const run = runners[vector.op]
      if (run === undefined || run === 'elsewhere') continue
      test(`${vector.op}: ${vector.name}`, () => run(vector))
    }
  })
}

/** Asserts that a check gave a vector's output, or refused with its code (any, where it is null). */
export function expectResult(
  vector: Vector,
  result:
    | { readonly ok: true; readonly value: unknown }
    | { readonly ok: false; readonly code: string },
  output: unknown = vector.output,
): void {
  if (vector.code === undefined) {
    expect(result).toEqual({ ok: true, value: output })
  } else {
    expect(result.ok).toBe(false)
    if (!result.ok && vector.code !== null) expect(result.code).toBe(vector.code)
  }
}

/** Bytes as vectors write them: hex, a run of one byte, or several of these in a row. */
export function readBytes(json: Json): Uint8Array {
  if (typeof json === 'string') {
    if (!/^(?:[0-9a-f]{2})*$/.test(json)) throw new Error(`not hex: ${json.slice(0, 40)}`)
    return new Uint8Array(Buffer.from(json, 'hex'))
  }
  const fields = new Fields(json)
  if (fields.has('concat')) {
    return new Uint8Array(Buffer.concat(fields.list('concat').map(readBytes)))
  }
  const [byte] = readBytes(fields.value('fill'))
  if (byte === undefined) throw new Error('nothing to fill with')
  return new Uint8Array(Number(fields.integer('times'))).fill(byte)
}

/** Long output of `padding.json` is given as its length and SHA-256. */
export function expectBytes(actual: Uint8Array, expected: Json): void {
  if (typeof expected === 'object' && expected !== null && 'sha256' in expected) {
    const fields = new Fields(expected)
    expect(BigInt(actual.length)).toBe(fields.integer('length'))
    expect(createHash('sha256').update(actual).digest('hex')).toBe(fields.text('sha256'))
  } else {
    expect(Buffer.from(actual).toString('hex')).toBe(
      Buffer.from(readBytes(expected)).toString('hex'),
    )
  }
}

/** A JSON object whose fields are read by kind. */
export class Fields {
  readonly json: JsonObject

  constructor(json: Json) {
    if (typeof json !== 'object' || json === null || isList(json)) throw new Error('not an object')
    this.json = json
  }

  has(name: string): boolean {
    return Object.hasOwn(this.json, name)
  }

  value(name: string): Json {
    const value = this.json[name]
    if (value === undefined) throw new Error(`no field ${name}`)
    return value
  }

  text(name: string): string {
    const value = this.value(name)
    if (typeof value !== 'string') throw new Error(`${name} is not text`)
    return value
  }

  textOrNull(name: string): string | null {
    return this.value(name) === null ? null : this.text(name)
  }

  flag(name: string): boolean {
    const value = this.value(name)
    if (typeof value !== 'boolean') throw new Error(`${name} is not a boolean`)
    return value
  }

  integer(name: string): bigint {
    return BigInt(this.text(name))
  }

  integerOrNull(name: string): bigint | null {
    return this.value(name) === null ? null : this.integer(name)
  }

  bytes(name: string): Uint8Array {
    return readBytes(this.value(name))
  }

  list(name: string): readonly Json[] {
    const value = this.value(name)
    if (!isList(value)) throw new Error(`${name} is not a list`)
    return value
  }

  object(name: string): Fields {
    return new Fields(this.value(name))
  }

  objects(name: string): readonly Fields[] {
    return this.list(name).map((json) => new Fields(json))
  }
}

// Array.isArray alone does not narrow a readonly array out of a union.
const isList = (json: Json): json is readonly Json[] => Array.isArray(json)
