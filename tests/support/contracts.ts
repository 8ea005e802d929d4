/** The Solidity sources of tests/support/contracts, compiled in this process. */
import { readdirSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import type { Abi, Hex } from 'viem'

/** What a contract is deployed from. */
export interface CompiledContract {
  readonly abi: Abi
  readonly bytecode: Hex
}

/** The part of the compiler's answer that is read (standard JSON output). */
interface CompilerOutput {
  readonly errors?: readonly { readonly severity: string; readonly formattedMessage: string }[]
  readonly contracts?: Readonly<
    Record<
      string,
      Readonly<
        Record<string, { readonly abi: Abi; readonly evm: { bytecode: { object: string } } }>
      >
    >
  >
}

const folder = new URL('./contracts/', import.meta.url)
let compiled: ReadonlyMap<string, CompiledContract> | undefined

/** All contracts by name; the first call takes about a second. @throws if a source does not compile. */
export function compileContracts(): ReadonlyMap<string, CompiledContract> {
  compiled ??= compile()
  return compiled
}

function compile(): ReadonlyMap<string, CompiledContract> {
  // Loaded when it is needed: it unpacks a compiler of several megabytes.
  const solc: { compile(input: string): string } = createRequire(import.meta.url)('solc')
  const names = readdirSync(folder).filter((name) => name.endsWith('.sol'))
  const input = {
    language: 'Solidity',
    sources: Object.fromEntries(
      names.map((name) => [name, { content: readFileSync(new URL(name, folder), 'utf8') }]),
    ),
    settings: {
      optimizer: { enabled: true },
      outputSelection: { '*': { '*': ['abi', 'evm.bytecode.object'] } },
    },
  }
  const output: CompilerOutput = JSON.parse(solc.compile(JSON.stringify(input)))
  const errors = (output.errors ?? []).filter(({ severity }) => severity === 'error')
  if (errors.length > 0) throw new Error(errors.map((one) => one.formattedMessage).join('\n'))
  return new Map(
    Object.values(output.contracts ?? {})
      .flatMap((ofFile) => Object.entries(ofFile))
      .map(([name, { abi, evm }]) => [name, { abi, bytecode: `0x${evm.bytecode.object}` }]),
  )
}
