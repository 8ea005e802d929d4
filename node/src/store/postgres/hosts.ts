/** The servers that a connection string names. One of them takes writes; which one that is may change. */
import pg from 'pg'
import { urlsOf } from './urls.ts'

export class Hosts {
  /** Whether a session keeps what a connection prepared: not behind a pooler in transaction mode. */
  readonly keepsStatements: boolean
  readonly #urls: readonly string[]
  #at = 0

  constructor(text: string, keepsStatements = true) {
    this.#urls = urlsOf(text)
    this.keepsStatements = keepsStatements
  }

  get count(): number {
    return this.#urls.length
  }

  /** Where new connections lead. */
  get url(): string {
    return this.#urls[this.#at] ?? ''
  }

  /** This server did not answer, or only reads: the next one is tried, unless it is already. */
  leave(url: string): void {
    if (url === this.url) this.#at = (this.#at + 1) % this.#urls.length
  }

  /** Options of a pool whose connections lead to whatever server is the one. */
  get poolOptions(): Pick<pg.PoolConfig, 'Client' | 'verify'> {
    const hosts = this
    class ClientOfHosts extends pg.Client {
      constructor(config?: pg.ClientConfig) {
        super({ ...config, connectionString: hosts.url })
      }
    }
    if (this.count === 1) return { Client: ClientOfHosts }
    return {
      Client: ClientOfHosts,
      verify(client, done) {
        client.query('SHOW transaction_read_only').then(({ rows: [row] }) => {
          done(row?.transaction_read_only === 'on' ? new Error('the server only reads') : undefined)
        }, done)
      },
    }
  }
}

/** A connection to the first server of these that answers. */
export async function connectToAny(text: string, config: pg.ClientConfig): Promise<pg.Client> {
  const hosts = new Hosts(text)
  for (let tries = 1; ; tries += 1) {
    const { url } = hosts
    const client = new pg.Client({ ...config, connectionString: url })
    // A connection that breaks fails its running query.
    client.on('error', () => {})
    try {
      await client.connect()
      return client
    } catch (error) {
      if (tries >= hosts.count) throw error
      hosts.leave(url)
    }
  }
}
