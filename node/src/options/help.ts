/** Prints the table of options for people: `--help`, and the tables of docs/node.md. */
import { rateDefaults } from '../limits/rates.ts'
import { rateNames } from './kinds.ts'
import { groups, type Option, optionNames, optionTable, variableOf } from './table.ts'

const width = 100
const indent = ' '.repeat(6)

const wrap = (text: string, before: string): string => {
  const lines: string[] = []
  let line = ''
  for (const word of text.split(' ')) {
    if (line !== '' && before.length + line.length + 1 + word.length > width) {
      lines.push(before + line)
      line = word
    } else {
      line = line === '' ? word : `${line} ${word}`
    }
  }
  return [...lines, before + line].join('\n')
}

const describe = (name: (typeof optionNames)[number]): string => {
  const { kind, help, ...rest }: Option<unknown> = optionTable[name]
  const byDefault = rest.default ? ` (default: ${rest.default})` : ''
  return `  --${name} ${kind.placeholder}${byDefault}\n${wrap(help, indent)}`
}

const optionsText = groups
  .map((group) => {
    const names = optionNames.filter((name) => optionTable[name].group === group)
    return [group, ...names.map(describe)].join('\n')
  })
  .join('\n\n')

const ratesText = (): string => {
  const cells = [...rateNames].map(([written, name]) => `${written}=${rateDefaults[name]}`)
  const rows: string[] = []
  for (let at = 0; at < cells.length; at += 2) {
    rows.push(`  ${(cells[at] ?? '').padEnd(47)}${cells[at + 1] ?? ''}`.trimEnd())
  }
  return rows.join('\n')
}

/** What `padlock-node --help` prints. */
export const helpText = (version: string): string =>
  `padlock-node ${version}: stores and streams sealed envelopes for Padlock clients

Usage: padlock-node [options]                      run a node
       padlock-node backup | restore | check ...   <command> --help says more

Every option can be given in the environment too: --tls-cert is PADLOCK_TLS_CERT. The command line
wins. Times are 500ms, 30s, 2m or 1h (a bare number is seconds), sizes 64KiB, 32MiB or 1GiB.

${optionsText}

  --help, --version

Rates
${ratesText()}

Signals
  SIGTERM, SIGINT   stop: /readyz says no, subscriptions end with a code that clients retry, and
                    running requests finish within --stop-grace. A second signal ends the process
                    at once. Nothing acknowledged is lost either way, nor by SIGKILL.
  SIGHUP            read the certificate again.

Exit codes
  0   stopped as asked
  1   cannot start or go on: one sentence on standard error says why

No option changes the limits of the protocol: 1 MiB an envelope, 25 MiB and 500 envelopes a request,
1,000 topics a subscription.`

const cell = (text: string): string => text.replaceAll('|', '\\|')

/** The same as tables in Markdown, one for each group. */
export const optionsMarkdown = (): string =>
  groups
    .map((group) => {
      const rows = optionNames
        .filter((name) => optionTable[name].group === group)
        .map((name) => {
          const { kind, help, ...rest }: Option<unknown> = optionTable[name]
          const cells = [
            `\`--${name} ${cell(kind.placeholder)}\`<br>\`${variableOf(name)}\``,
            cell(help),
            rest.default ? `\`${rest.default}\`` : '',
          ]
          return `| ${cells.join(' | ')} |`
        })
      return [
        `### ${group}`,
        '',
        '| option | meaning | default |',
        '| --- | --- | --- |',
        ...rows,
      ].join('\n')
    })
    .join('\n\n')

/** Every rate with its default, as a table in Markdown. */
export const ratesMarkdown = (): string =>
  [
    '| rate | default |',
    '| --- | --- |',
    ...[...rateNames].map(([written, name]) => `| \`${written}\` | ${rateDefaults[name]} |`),
  ].join('\n')
