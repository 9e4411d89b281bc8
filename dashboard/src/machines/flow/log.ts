// What of a job's log is shown while it grows: its end, whole lines, bounded. Pure.
import { lines } from "../../foreign";

/** Most characters that are kept; of a longer log the end is. */
export const MOST = 512 * 1024;

/** The part of a log that is shown. */
export interface Shown {
  text: string;
  /** Whether something before it is left out. */
  cut: boolean;
}

export const NOTHING: Shown = { text: "", cut: false };

/** Byte of the log to begin at, and whether that leaves something out. */
export function beginning(length: number): { offset: number; cut: boolean } {
  return length > MOST ? { offset: length - MOST, cut: true } : { offset: 0, cut: false };
}

/** With more at its end. What begins in the middle of a line begins with the next one. */
export function grown(shown: Shown, more: string): Shown {
  const text = shown.text + more;
  const tooLong = text.length > MOST;
  // The first part of a log that is cut begins anywhere.
  const anywhere = tooLong || (shown.cut && shown.text === "");
  if (!anywhere) return { text, cut: shown.cut };
  const end = text.slice(-MOST);
  return { text: end.slice(end.indexOf("\n") + 1), cut: true };
}

/** As it stands on the page. */
export function displayed(shown: Shown): string {
  return lines(shown.text).join("\n");
}
