/**
 * Serves and builds the demo (`vite demo --config vite.config.ts`) and runs the Node tests
 * (`vitest`). Tests in browsers, and of the packed packages, belong to playwright.config.ts.
 */
import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    projects: [
      {
        extends: true,
        test: {
          name: 'node',
          include: ['tests/**/*.test.ts'],
          exclude: ['tests/browser/**', 'tests/packaging/**', 'tests/node/contract/**'],
        },
      },
      // Both stores of the node pass the same tests, and PostgreSQL does so with either doorbell.
      ...['sqlite', 'postgres', 'postgres-poll'].map((store) => ({
        extends: true as const,
        test: {
          name: store,
          include: ['tests/node/contract/*.test.ts'],
          env: { PADLOCK_TEST_STORE: store },
          ...(store !== 'sqlite' && { globalSetup: 'tests/node/contract/server.ts' }),
        },
      })),
    ],
    environment: 'node',
    // Each file in its own process: wasm, node:sqlite and worker threads all run here.
    pool: 'forks',
    maxWorkers: 2,
    // On two cores with nodes, databases and browsers, slow is not wrong, and hangs are still found: a
    // test of fifteen seconds took more than a minute on a shared machine.
    testTimeout: 180_000,
    hookTimeout: 180_000,
    passWithNoTests: true,
    allowOnly: false,
  },
})
