/**
 * JSON-RPC to a chain's server: by URL over `fetch`, or through a client that the application has,
 * such as a viem public client. Answers are bounded and checked to be hex; every failure throws.
 */

/** A viem client, an EIP-1193 provider, or anything else with their `request`. */
export interface ChainClientLike {
  request(arg: { readonly method: string; readonly params?: unknown }): Promise<unknown>
}

/** Asks for what is answered in hex. Rejects if the signal aborts. */
export type AskChain = (
  method: string,
  params: readonly unknown[],
  signal: AbortSignal,
) => Promise<string>

// The code of a contract is the largest honest answer: 24 KiB by EIP-170, 512 KiB on some chains,
// two hex digits a byte.
const answerLimitBytes = 2 * 1024 * 1024

export const askThroughClient =
  (client: ChainClientLike): AskChain =>
  async (method, params, signal) => {
    signal.throwIfAborted()
    // A client of the application's need not know of signals.
    const aborted = new Promise<never>((_, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason), { once: true })
    })
    const result = await Promise.race([client.request({ method, params }), aborted])
    return checkHex(result)
  }

export const askOverHttp =
  (url: string): AskChain =>
  async (method, params, signal) => {
    const response = await fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ jsonrpc: '2.0', id: 1, method, params }),
      // Neither who asks nor from which page is any of the server's business.
      credentials: 'omit',
      referrerPolicy: 'no-referrer',
      cache: 'no-store',
      signal,
    })
    if (!response.ok || !response.body) {
      await response.body?.cancel()
      throw new Error(`HTTP ${response.status}`)
    }
    const answer: unknown = JSON.parse(await readBounded(response.body))
    if (typeof answer !== 'object' || answer === null || !('result' in answer)) {
      throw new Error('no result')
    }
    return checkHex(answer.result)
  }

const readBounded = async (body: ReadableStream<Uint8Array>): Promise<string> => {
  const reader = body.getReader()
  const decoder = new TextDecoder()
  let text = ''
  let bytes = 0
  for (;;) {
    const { done, value } = await reader.read()
    if (done) return text + decoder.decode()
    bytes += value.length
    if (bytes > answerLimitBytes) {
      await reader.cancel()
      throw new Error('an answer that is too long')
    }
    text += decoder.decode(value, { stream: true })
  }
}

const checkHex = (result: unknown): string => {
  if (typeof result !== 'string' || result.length > answerLimitBytes) throw new Error('no hex')
  if (!/^0x[0-9a-fA-F]*$/.test(result)) throw new Error('no hex')
  return result.toLowerCase()
}
