/** The page's few icons, as inline SVG in the colour of the surrounding text. */

const svgNamespace = 'http://www.w3.org/2000/svg'

/** Strokes on a grid of 20 by 20. */
const strokes = {
  clock: ['M10 3.5a6.5 6.5 0 1 0 0 13a6.5 6.5 0 1 0 0-13', 'M10 6.5V10l2.5 1.7'],
  check: ['M4 10.5l4 4L16 6'],
  received: ['M10 3.5v9', 'M6 9l4 4l4-4', 'M4 16.5h12'],
  warning: ['M10 3.5L17.5 16.5h-15z', 'M10 8v4', 'M10 14.2v.1'],
  copy: ['M7.5 7.5h9v9h-9z', 'M12.5 7.5v-4h-9v9h4'],
  down: ['M10 4v12', 'M5 11l5 5l5-5'],
  back: ['M12.5 4.5L7 10l5.5 5.5'],
  more: [
    'M4.5 9.6a.4.4 0 1 0 0 .8a.4.4 0 1 0 0-.8',
    'M10 9.6a.4.4 0 1 0 0 .8a.4.4 0 1 0 0-.8',
    'M15.5 9.6a.4.4 0 1 0 0 .8a.4.4 0 1 0 0-.8',
  ],
  trash: ['M4 6h12', 'M8 6V3.5h4V6', 'M5.5 6l.8 10.5h7.4L14.5 6', 'M8.5 9v4.5', 'M11.5 9v4.5'],
  block: ['M10 3.5a6.5 6.5 0 1 0 0 13a6.5 6.5 0 1 0 0-13', 'M5.5 5.5l9 9'],
  person: ['M10 10a3.2 3.2 0 1 0 0-6.4a3.2 3.2 0 1 0 0 6.4', 'M3.8 16.5a6.3 6.3 0 0 1 12.4 0'],
  send: ['M10 16V4.5', 'M5 9.5l5-5l5 5'],
  settings: [
    'M3 6h7',
    'M14 6h3',
    'M12 4a2 2 0 1 0 0 4a2 2 0 1 0 0-4',
    'M3 14h3',
    'M10 14h7',
    'M8 12a2 2 0 1 0 0 4a2 2 0 1 0 0-4',
  ],
  devices: [
    'M3.5 5a1 1 0 0 1 1-1h10a1 1 0 0 1 1 1v2',
    'M3.5 5v7.5',
    'M2 15.5h8',
    'M3.5 12.5h6.5',
    'M12.5 9h5v7.5h-5z',
  ],
  wallet: [
    'M3 6.5h12.5a1.5 1.5 0 0 1 1.5 1.5v7.5h-12.5a1.5 1.5 0 0 1-1.5-1.5z',
    'M3 6.5l10-3v3',
    'M13.5 11v.1',
  ],
} as const

export type IconName = keyof typeof strokes

const shape = (tag: string, attributes: Readonly<Record<string, string>>): Element => {
  const made = document.createElementNS(svgNamespace, tag)
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value)
  return made
}

/** Decoration: the words beside it or its button's label give the meaning. */
export const icon = (name: IconName): Element => {
  const drawing = shape('svg', {
    viewBox: '0 0 20 20',
    class: `icon icon-${name}`,
    fill: 'none',
    stroke: 'currentColor',
    'stroke-width': '1.7',
    'stroke-linecap': 'round',
    'stroke-linejoin': 'round',
    'aria-hidden': 'true',
  })
  drawing.append(...strokes[name].map((d) => shape('path', { d })))
  return drawing
}

/** Padlock's mark: a speech bubble that is a lock. */
export const mark = (): Element => {
  const drawing = shape('svg', { viewBox: '0 0 32 32', class: 'mark', 'aria-hidden': 'true' })
  drawing.append(
    shape('path', {
      d: 'M10 13V9.5a6 6 0 0 1 12 0V13',
      fill: 'none',
      stroke: 'currentColor',
      'stroke-width': '3',
      'stroke-linecap': 'round',
    }),
    shape('path', {
      d: 'M9 12.5h14a4.5 4.5 0 0 1 4.5 4.5v5a4.5 4.5 0 0 1-4.5 4.5h-7.5L10 30.5v-4H9A4.5 4.5 0 0 1 4.5 22v-5A4.5 4.5 0 0 1 9 12.5z',
      fill: 'currentColor',
    }),
    shape('circle', { cx: '16', cy: '19.5', r: '2.2', class: 'mark-hole' }),
  )
  return drawing
}
