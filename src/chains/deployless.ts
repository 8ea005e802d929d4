/**
 * A program for `eth_call` that asks a contract account about a signature, deploying the account
 * first if it has no code. It runs as the creation of a contract that never comes to be, so nothing
 * of it needs to be on the chain. Asked directly, a contract that reverts or burns its gas looks like
 * a server in trouble, as servers share no error for that; in here its failure is a plain no.
 */

import { concatBytes, decodeHex } from '../protocol/bytes.ts'
import { type Deployment, encodeQuestion, toWord } from './erc6492.ts'

/**
 * EVM code. In comments the stack after the instructions, its top on the right. What follows the
 * program goes to memory: at 0 the factory, at 0x20 the account, at 0x40 the length of the factory's
 * call data, at 0x60 that data, and behind it the question.
 */
const instructions = [
  '6066', // PUSH1 0x66, the length of this program                    program
  '803803', // DUP1 CODESIZE SUB                                       program size
  '8091600039', // DUP1 SWAP2 PUSH1 0 CODECOPY                         size
  // An account with code is not deployed: whoever made the signature would choose a call.
  '6020513b', // PUSH1 0x20 MLOAD EXTCODESIZE                          size code
  '602257', // PUSH1 0x22 JUMPI                                        size
  '60006000', // PUSH1 0, PUSH1 0                                      size 0 0
  '6040516060', // PUSH1 0x40 MLOAD PUSH1 0x60                         size 0 0 length 0x60
  '6000600051', // PUSH1 0, PUSH1 0 MLOAD                              size 0 0 length 0x60 0 factory
  '5af150', // GAS CALL POP                                            size
  '5b', // 0x22: JUMPDEST                                              size
  // Without code there is no account, whatever a precompile answers.
  '6020513b15', // PUSH1 0x20 MLOAD EXTCODESIZE ISZERO                 size isMissing
  '605b57', // PUSH1 0x5b JUMPI                                        size
  '6000602091', // PUSH1 0, PUSH1 0x20 SWAP2                           0x20 0 size
  '604051606001', // PUSH1 0x40 MLOAD PUSH1 0x60 ADD                   0x20 0 size start
  '80910390', // DUP1 SWAP2 SUB SWAP1                                  0x20 0 length start
  '6000602051', // PUSH1 0, PUSH1 0x20 MLOAD                           0x20 0 length start 0 account
  '5af1', // GAS CALL                                                  success
  // Like OpenZeppelin's SignatureChecker: the first word counts, all 32 bytes of it.
  '3d601f1016', // RETURNDATASIZE PUSH1 0x1f LT AND                    isWord
  '600051', // PUSH1 0 MLOAD                                           isWord word
  '631626ba7e60e01b', // PUSH4 magic value, PUSH1 0xe0 SHL             isWord word magic
  '1416', // EQ AND                                                    isAccepted
  '600052', // PUSH1 0 MSTORE
  '60206000f3', // PUSH1 0x20, PUSH1 0 RETURN
  '5b', // 0x5b: JUMPDEST
  '6000600052', // PUSH1 0, PUSH1 0 MSTORE
  '60206000f3', // PUSH1 0x20, PUSH1 0 RETURN
]
const program = decodeHex(instructions.join('')) ?? new Uint8Array()

const nothing: Deployment = { factory: new Uint8Array(20), data: new Uint8Array() }

/** The program with its question. @param account 20 bytes; @param hash 32 bytes. */
export const buildProgram = (
  account: Uint8Array,
  hash: Uint8Array,
  signature: Uint8Array,
  { factory, data }: Deployment = nothing,
): Uint8Array =>
  concatBytes(
    program,
    toWord(factory),
    toWord(account),
    toWord(data.length),
    data,
    encodeQuestion(hash, signature),
  )

/** What the program returns for yes and for no. */
export const yes = `0x${'0'.repeat(63)}1`
export const no = `0x${'0'.repeat(64)}`
