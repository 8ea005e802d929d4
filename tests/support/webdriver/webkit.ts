/**
 * WebKitGTK's own browser (MiniBrowser), driven by its own driver, on a screen that nobody sees.
 * A driver takes one session at a time, so every profile has a driver of its own. Whatever ends this
 * process ends the screen and the drivers; browsers end with their screen.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { freePort } from '../../../scripts/free-port.ts'
import { leashed } from '../../../scripts/leash.ts'
import type { BrowserEngine } from '../browser-page.ts'
import { isReady, Session } from './client.ts'
import { WebDriverProfile } from './page.ts'

export interface WebKit extends BrowserEngine {
  newProfile(): Promise<WebDriverProfile>
}

/** A screen, by the name that X clients know it under. */
const startScreen = async (): Promise<{ name: string; process: ChildProcess }> => {
  const words = ['Xvfb', '-displayfd', '3', '-screen', '0', '1280x1024x24', '-nolisten', 'tcp']
  const [command = '', ...args] = leashed('KILL', words)
  const child = spawn(command, args, { stdio: ['ignore', 'ignore', 'ignore', 'pipe'] })
  const failed = once(child, 'exit').then(([code]) => {
    throw new Error(`Xvfb ended at once (${code})`)
  })
  const number = once(child.stdio[3] ?? child, 'data').then(([chunk]) => String(chunk).trim())
  return { name: `:${await Promise.race([number, failed])}`, process: child }
}

/**
 * Nothing of whoever runs the tests: no settings or session bus of a desktop, so that the browser is
 * the same everywhere. It needs no more than this, root's included, since automation has no sandbox.
 */
const environment = (screen: string, home: string): NodeJS.ProcessEnv => ({
  PATH: process.env.PATH,
  DISPLAY: screen,
  // Caches of fonts and shaders.
  HOME: home,
  // Where dbus-launch is installed, GLib would start a bus that outlives the browser.
  DBUS_SESSION_BUS_ADDRESS: 'disabled:',
})

const startDriver = async (
  env: NodeJS.ProcessEnv,
): Promise<{ url: string; process: ChildProcess }> => {
  const port = await freePort()
  const [command = '', ...args] = leashed('KILL', ['WebKitWebDriver', `--port=${port}`])
  // A group of its own: browsers join that of their driver, and end with it.
  const child = spawn(command, args, { env, stdio: 'ignore', detached: true })
  const url = `http://127.0.0.1:${port}`
  // It does not tell when it listens.
  while (!(await isReady(url))) {
    if (child.exitCode !== null) throw new Error(`WebKitWebDriver ended (${child.exitCode})`)
    await delay(10)
  }
  return { url, process: child }
}

/** Ends a process, or its group, at once: nothing that it has is wanted anymore. */
const stop = async (child: ChildProcess, isGroup = false): Promise<void> => {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return
  const ended = once(child, 'exit')
  process.kill(isGroup ? -child.pid : child.pid, 'SIGKILL')
  await ended
}

/** `close` it; profiles that are still open end with it. */
export const startWebKit = async (): Promise<WebKit> => {
  const home = await mkdtemp(join(tmpdir(), 'padlock-webkit-'))
  const screen = await startScreen()
  const env = environment(screen.name, home)
  const drivers = new Set<ChildProcess>()
  return {
    newProfile: async () => {
      const driver = await startDriver(env)
      drivers.add(driver.process)
      return WebDriverProfile.of(await Session.open(driver.url), async () => {
        drivers.delete(driver.process)
        await stop(driver.process, true)
      })
    },
    close: async () => {
      for (const driver of drivers) await stop(driver, true)
      await stop(screen.process)
      await rm(home, { recursive: true, force: true })
    },
  }
}
