/** The bundlers that the README names, and how each serves and builds its project of `projects/`. */

export interface Bundler {
  /** As a test's title says it. */
  readonly name: string
  /** A folder of `projects/`. */
  readonly project: string
  /** Commands of the project's own `.bin`, run one after the other. */
  readonly commands: readonly (readonly string[])[]
  /** A server of the bundler's own, as a command; `PORT` stands for its port. */
  readonly server?: readonly string[]
  /** The folder to serve where there is no such server; `public/index.html` is put into it. */
  readonly folder?: string
  /** Files that the project gets beside its own. */
  readonly files?: Readonly<Record<string, string>>
  /** Whether the bundler leaves the worker behind, so that the SDK starts its own copy and says so. */
  readonly leavesWorkerBehind?: true
}

/** As the README says it for dev servers that leave the worker behind. */
const viteExcluding = {
  'vite.config.js': `export default { optimizeDeps: { exclude: ['padlock-sdk'] } }\n`,
}
const viteServer = ['vite', '--port', 'PORT', '--strictPort', '--host', '127.0.0.1']

export const bundlers: readonly Bundler[] = [
  { name: 'vite 8, dev server', project: 'vite-8', commands: [], server: viteServer },
  { name: 'vite 8', project: 'vite-8', commands: [['vite', 'build']], folder: 'dist' },
  {
    name: 'vite 7, dev server',
    project: 'vite-7',
    commands: [],
    server: viteServer,
    leavesWorkerBehind: true,
  },
  {
    name: 'vite 7 with the README’s option, dev server',
    project: 'vite-7',
    files: viteExcluding,
    commands: [],
    server: viteServer,
  },
  { name: 'vite 7', project: 'vite-7', commands: [['vite', 'build']], folder: 'dist' },
  {
    name: 'vite 6, dev server',
    project: 'vite-6',
    commands: [],
    server: viteServer,
    leavesWorkerBehind: true,
  },
  {
    name: 'vite 6 with the README’s option, dev server',
    project: 'vite-6',
    files: viteExcluding,
    commands: [],
    server: viteServer,
  },
  { name: 'vite 6', project: 'vite-6', commands: [['vite', 'build']], folder: 'dist' },
  {
    name: 'webpack 5, dev server',
    project: 'webpack-5',
    commands: [],
    server: ['webpack', 'serve', '--mode', 'development', '--port', 'PORT', '--host', '127.0.0.1'],
  },
  {
    name: 'webpack 5',
    project: 'webpack-5',
    commands: [['webpack', '--mode', 'production']],
    folder: 'dist',
  },
  {
    name: 'rspack, dev server',
    project: 'rspack',
    commands: [],
    server: ['rspack', 'serve', '--mode', 'development', '--port', 'PORT', '--host', '127.0.0.1'],
  },
  {
    name: 'rspack',
    project: 'rspack',
    commands: [['rspack', 'build', '--mode', 'production']],
    folder: 'dist',
  },
  {
    name: 'Next.js 16 with turbopack, dev server',
    project: 'next-16',
    commands: [],
    server: ['next', 'dev', '--turbopack', '--port', 'PORT', '--hostname', '127.0.0.1'],
  },
  {
    name: 'Next.js 16 with turbopack',
    project: 'next-16',
    commands: [['next', 'build', '--turbopack']],
    server: ['next', 'start', '--port', 'PORT', '--hostname', '127.0.0.1'],
  },
  {
    name: 'Next.js 16 with webpack, dev server',
    project: 'next-16',
    commands: [],
    server: ['next', 'dev', '--webpack', '--port', 'PORT', '--hostname', '127.0.0.1'],
  },
  {
    name: 'Next.js 16 with webpack',
    project: 'next-16',
    commands: [['next', 'build', '--webpack']],
    server: ['next', 'start', '--port', 'PORT', '--hostname', '127.0.0.1'],
  },
  {
    name: 'esbuild, dev server',
    project: 'esbuild',
    commands: [],
    server: [
      ...['esbuild', 'conversation.js', '--bundle', '--splitting', '--format=esm'],
      ...['--outdir=public', '--servedir=public', '--serve=127.0.0.1:PORT'],
    ],
    leavesWorkerBehind: true,
  },
  {
    name: 'esbuild',
    project: 'esbuild',
    commands: [
      ['esbuild', 'conversation.js', '--bundle', '--splitting', '--format=esm', '--outdir=dist'],
    ],
    folder: 'dist',
    leavesWorkerBehind: true,
  },
  {
    name: 'esbuild without modules',
    project: 'esbuild',
    commands: [['esbuild', 'conversation.js', '--bundle', '--format=iife', '--outdir=dist']],
    folder: 'dist',
    leavesWorkerBehind: true,
  },
  {
    name: 'rollup 4',
    project: 'rollup-4',
    commands: [['rollup', '--config']],
    folder: 'dist',
    leavesWorkerBehind: true,
  },
  {
    name: 'Parcel 2, dev server',
    project: 'parcel-2',
    commands: [],
    server: ['parcel', 'serve', 'index.html', '--port', 'PORT', '--host', '127.0.0.1'],
  },
  {
    name: 'Parcel 2',
    project: 'parcel-2',
    commands: [['parcel', 'build', 'index.html']],
    folder: 'dist',
  },
  { name: 'SvelteKit 3, dev server', project: 'sveltekit-3', commands: [], server: viteServer },
  {
    name: 'SvelteKit 3',
    project: 'sveltekit-3',
    commands: [['vite', 'build']],
    server: ['vite', 'preview', '--port', 'PORT', '--strictPort', '--host', '127.0.0.1'],
  },
]
