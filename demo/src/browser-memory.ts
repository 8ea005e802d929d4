/**
 * Small notes that outlive the page, in local storage. If that is blocked, the page still works,
 * and forgets them when it closes.
 */

const here = new Map<string, string>()
const prefix = 'padlock-demo-'

/** The note, or undefined. */
export const recall = (name: string): string | undefined => {
  try {
    return localStorage.getItem(prefix + name) ?? undefined
  } catch {
    return here.get(name)
  }
}

/** Keeps a note; without a text, removes it. */
export const remember = (name: string, text: string | undefined): void => {
  try {
    if (text === undefined) localStorage.removeItem(prefix + name)
    else localStorage.setItem(prefix + name, text)
  } catch {
    if (text === undefined) here.delete(name)
    else here.set(name, text)
  }
}
