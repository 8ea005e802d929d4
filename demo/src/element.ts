/**
 * Creates elements without markup: text is always a text node, so nothing from a message or a
 * wallet can become HTML.
 */

export type Child = Node | string

/** An element with attributes and children; an attribute that is `false` is left out. */
export const element = <Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag,
  attributes: Readonly<Record<string, string | boolean>> = {},
  ...children: readonly Child[]
): HTMLElementTagNameMap[Tag] => {
  const made = document.createElement(tag)
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== false) made.setAttribute(name, value === true ? '' : value)
  }
  made.append(...children)
  return made
}

/** A button that does something; `type="button"`, so that it never submits a form by accident. */
export const button = (
  attributes: Readonly<Record<string, string | boolean>>,
  onClick: () => void,
  ...children: readonly Child[]
): HTMLButtonElement => {
  const made = element('button', { type: 'button', ...attributes }, ...children)
  made.addEventListener('click', onClick)
  return made
}

/** Gives a parent exactly these children, in order, without moving any that is in its place. */
export const arrange = (parent: Element, wanted: readonly Element[]): void => {
  for (const [at, child] of wanted.entries()) {
    if (parent.children[at] !== child) parent.insertBefore(child, parent.children[at] ?? null)
  }
  while (parent.children.length > wanted.length) parent.lastElementChild?.remove()
}
