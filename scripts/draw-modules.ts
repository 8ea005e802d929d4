/**
 * Draws who imports whom: the modules of the SDK, the folders of its engine, and those of the node, a
 * picture each in docs/pictures/. They are made from the imports themselves, so they cannot say
 * anything else than the code. Without `--write` (`npm run pictures`) this only checks that they are
 * current.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { instance } from '@viz-js/viz'
import { listSourceFiles, root } from './files.ts'
import { type Import, readImports } from './imports.ts'

const pictureDir = 'docs/pictures'

/** A picture shows the folders below one folder; what a folder imports from elsewhere is left out. */
const pictures = [
  { name: 'sdk', folder: 'src', title: 'The SDK: src/' },
  { name: 'engine', folder: 'src/engine', title: 'The engine: src/engine/' },
  { name: 'node', folder: 'node/src', title: 'The node: node/src/' },
] as const

/** Files that everything imports: their arrows would hide all others. */
const foundations = ['src/errors.ts', 'src/async.ts', 'src/release.ts', 'src/error-messages.ts']

/** The box that a file belongs to; undefined if it is not in the picture. */
const boxOf = (path: string, folder: string): string | undefined => {
  const isShown = path.startsWith(`${folder}/`) && !foundations.includes(path)
  const isEngineModel = path === 'src/engine/model.ts' && folder === 'src/engine'
  if (!isShown || path.startsWith('src/gen/')) return undefined
  if (isEngineModel) return 'model.ts'
  const [first = '', ...rest] = path.slice(folder.length + 1).split('/')
  return rest.length === 0 ? '*.ts' : `${first}/`
}

interface Arrow {
  readonly from: string
  readonly to: string
  readonly count: number
  readonly isCode: boolean
}

/** One arrow for all imports from one box to another. */
const arrowsIn = (imports: readonly Import[], folder: string): readonly Arrow[] => {
  const arrows = new Map<string, Arrow>()
  for (const { from, to, isPackage, typeOnly } of imports) {
    const [tail, head] = isPackage ? [] : [boxOf(from, folder), boxOf(to, folder)]
    if (!tail || !head || tail === head) continue
    const known = arrows.get(`${tail} ${head}`)
    const isCode = !typeOnly || known?.isCode === true
    arrows.set(`${tail} ${head}`, { from: tail, to: head, count: (known?.count ?? 0) + 1, isCode })
  }
  return [...arrows].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, arrow]) => arrow)
}

const viz = await instance()

const draw = (imports: readonly Import[], { name, folder, title }: (typeof pictures)[number]) => {
  const sizes = new Map<string, number>()
  for (const path of listSourceFiles().filter((each) => each.endsWith('.ts'))) {
    const box = boxOf(path, folder)
    if (box !== undefined) sizes.set(box, (sizes.get(box) ?? 0) + 1)
  }
  const files = (count = 0) => `${count} ${count === 1 ? 'file' : 'files'}`
  return viz.renderString(
    {
      name,
      directed: true,
      graphAttributes: {
        label: `${title}\nan arrow counts imports; dashed: of types only`,
        labelloc: 't',
        fontname: 'sans-serif',
        ranksep: 0.5,
        nodesep: 0.3,
      },
      nodeAttributes: {
        shape: 'box',
        style: 'rounded,filled',
        fillcolor: '#f2f4f7',
        fontname: 'sans-serif',
        fontsize: 12,
      },
      edgeAttributes: {
        arrowsize: 0.7,
        color: '#667085',
        fontname: 'sans-serif',
        fontsize: 9,
        fontcolor: '#667085',
      },
      nodes: [...sizes].sort().map(([box, count]) => ({
        name: box,
        attributes: { label: box.endsWith('/') ? `${box}\n${files(count)}` : box },
      })),
      edges: arrowsIn(imports, folder).map(({ from, to, count, isCode }) => ({
        tail: from,
        head: to,
        attributes: { label: String(count), style: isCode ? 'solid' : 'dashed' },
      })),
    },
    { format: 'svg' },
  )
}

const { imports } = readImports()
const isWriting = process.argv.includes('--write')
mkdirSync(join(root, pictureDir), { recursive: true })
for (const picture of pictures) {
  const path = join(root, pictureDir, `${picture.name}.svg`)
  const fresh = draw(imports, picture)
  if (isWriting) writeFileSync(path, fresh)
  else if (!existsSync(path) || readFileSync(path, 'utf8') !== fresh) {
    console.log(
      'The imports changed: run `npm run pictures` and commit docs/pictures with the change.',
    )
    process.exitCode = 1
    break
  }
}
