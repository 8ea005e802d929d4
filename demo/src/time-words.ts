/** Times as people read them: the clock in this browser's format, days in words. */

const clock = new Intl.DateTimeFormat(undefined, { hour: 'numeric', minute: '2-digit' })
const day = new Intl.DateTimeFormat('en', { weekday: 'long', day: 'numeric', month: 'long' })
const dayAndYear = new Intl.DateTimeFormat('en', { dateStyle: 'long' })
const shortDay = new Intl.DateTimeFormat('en', { day: 'numeric', month: 'short' })

/** A day with its year. */
export const sayDate = (timeMs: number): string => dayAndYear.format(timeMs)

export const sayTime = (timeMs: number): string => clock.format(timeMs)

/** The same for all times of one local day. */
export const dayOf = (timeMs: number): string => new Date(timeMs).toDateString()

const yesterdayOf = (nowMs: number): string => {
  const date = new Date(nowMs)
  date.setDate(date.getDate() - 1)
  return date.toDateString()
}

export const sayDay = (timeMs: number, nowMs: number): string => {
  if (dayOf(timeMs) === dayOf(nowMs)) return 'Today'
  if (dayOf(timeMs) === yesterdayOf(nowMs)) return 'Yesterday'
  const isThisYear = new Date(timeMs).getFullYear() === new Date(nowMs).getFullYear()
  return (isThisYear ? day : dayAndYear).format(timeMs)
}

/** For a list: the time of today, the day of anything older. */
export const sayRecent = (timeMs: number, nowMs: number): string => {
  if (dayOf(timeMs) === dayOf(nowMs)) return sayTime(timeMs)
  return dayOf(timeMs) === yesterdayOf(nowMs) ? 'Yesterday' : shortDay.format(timeMs)
}
