// Ages and durations as people read them.

const MINUTE = 60;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** Seconds from an RFC 3339 time to `now` (ms); null when there is none. Never negative. */
export function secondsSince(time: string | null, now: number): number | null {
  const then = time === null ? Number.NaN : Date.parse(time);
  return Number.isNaN(then) ? null : Math.max(0, Math.floor((now - then) / 1000));
}

/** The short label beside a red dot: `45s`, `1m`, `3h`, `4d`. */
export function ageLabel(seconds: number): string {
  if (seconds < MINUTE) return `${seconds}s`;
  if (seconds < HOUR) return `${Math.floor(seconds / MINUTE)}m`;
  if (seconds < DAY) return `${Math.floor(seconds / HOUR)}h`;
  return `${Math.floor(seconds / DAY)}d`;
}

/** The same in words, for screen readers: `4 days`. */
export function ageWords(seconds: number): string {
  const [count, unit] =
    seconds < MINUTE
      ? [seconds, "second"]
      : seconds < HOUR
        ? [Math.floor(seconds / MINUTE), "minute"]
        : seconds < DAY
          ? [Math.floor(seconds / HOUR), "hour"]
          : [Math.floor(seconds / DAY), "day"];
  return `${count} ${unit}${count === 1 ? "" : "s"}`;
}

/** A countdown: `5:04`. */
export function clock(seconds: number): string {
  const whole = Math.max(0, Math.ceil(seconds));
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}

/** A wall-clock time in the operator's own zone and language; without the date when it is today. */
export function localTime(milliseconds: number, now: number): string {
  const date = new Date(milliseconds);
  const today = date.toDateString() === new Date(now).toDateString();
  return date.toLocaleString(undefined, today ? { timeStyle: "short" } : { dateStyle: "medium", timeStyle: "short" });
}
