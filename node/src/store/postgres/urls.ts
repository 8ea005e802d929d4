/** Connection strings that name several servers, as libpq writes them: postgres://user@one:5432,two/name. */

/** A connection string for each server. */
export function urlsOf(text: string): readonly string[] {
  const [, before = '', hosts = '', after = ''] =
    /^(postgres(?:ql)?:\/\/(?:[^@/]*@)?)([^/?#]*)(.*)$/.exec(text) ?? []
  return hosts.includes(',') ? hosts.split(',').map((host) => `${before}${host}${after}`) : [text]
}
