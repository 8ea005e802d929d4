/**
 * Serves and builds the demo (`vite demo --config vite.config.ts`) and runs the Node tests
 * (`vitest`). Tests in browsers, and of the packed packages, belong to playwright.config.ts.
 */
import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['tests/**/*.test.ts'],
    exclude: ['tests/browser/**', 'tests/packaging/**'],
    environment: 'node',
    // Each file in a process of its own: wasm, node:sqlite and worker threads all live here.
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 30_000,
    hookTimeout: 30_000,
    passWithNoTests: true,
    allowOnly: false,
  },
})
