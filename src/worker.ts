/**
 * Entry `padlock-sdk/worker`: what runs inside the Worker. Load it as a module worker.
 *
 * @packageDocumentation
 */

import { serve } from './worker/main.ts'
import { readyMessage } from './worker/spawn.ts'

serve(globalThis)
globalThis.postMessage(readyMessage)
