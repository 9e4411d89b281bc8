// Ages and durations as people read them.

const MINUTE = 60;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** Milliseconds for which a heartbeat says that a machine is online, as on the server. */
const ONLINE_FOR = 60_000;

/** What tells whether a machine is online. */
export interface Presence {
  /** What the server said; false also of one that said goodbye. */
  Online: boolean;
  LastSeenAt: string | null;
}

/** Whether a machine is online at a time of the server's clock: its last heartbeat is younger than 60 seconds. */
export function isOnline(machine: Presence, now: number): boolean {
  return machine.Online && machine.LastSeenAt !== null && now - Date.parse(machine.LastSeenAt) < ONLINE_FOR;
}

/** When the dot or the label of a machine will be another one, in milliseconds since 1970; null for never. */
export function nextTurn(machine: Presence, now: number): number | null {
  const seen = machine.LastSeenAt === null ? Number.NaN : Date.parse(machine.LastSeenAt);
  if (Number.isNaN(seen)) return null;
  if (isOnline(machine, now)) return seen + ONLINE_FOR;
  const age = Math.max(0, now - seen);
  const step = (age < MINUTE * 1000 ? 1 : age < HOUR * 1000 ? MINUTE : age < DAY * 1000 ? HOUR : DAY) * 1000;
  return seen + (Math.floor(age / step) + 1) * step;
}

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

/** How long something took: `4 s`, `3 min 20 s`, `2 h 5 min`. */
export function duration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  const [hours, minutes, rest] = [Math.floor(whole / HOUR), Math.floor(whole / MINUTE) % 60, whole % MINUTE];
  const parts = hours > 0 ? [part(hours, "h"), part(minutes, "min")] : [part(minutes, "min"), part(rest, "s")];
  return parts.filter(Boolean).join(" ") || "0 s";
}

function part(count: number, unit: string): string {
  return count === 0 ? "" : `${count} ${unit}`;
}

/** How long ago something was: `just now`, `3 hours ago`; empty where it never was. */
export function ago(time: string | null, now: number): string {
  const seconds = secondsSince(time, now);
  if (seconds === null) return "";
  return seconds < 90 ? "just now" : `${ageWords(seconds)} ago`;
}

/** When something was or will be, in the operator's own zone and language; empty for never. */
export function when(time: string | null, now: number): string {
  return time === null ? "" : localTime(Date.parse(time), now);
}

/** A wall-clock time in the operator's own zone and language; without the date when it is today. */
export function localTime(milliseconds: number, now: number): string {
  const date = new Date(milliseconds);
  const today = date.toDateString() === new Date(now).toDateString();
  return date.toLocaleString(undefined, today ? { timeStyle: "short" } : { dateStyle: "medium", timeStyle: "short" });
}
