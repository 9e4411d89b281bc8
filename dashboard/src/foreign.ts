// Texts of others' making: what machines print may hold anything. They are shown as text without what
// moves cursors, colours terminals or turns the direction of reading round. Pure.

// CSI, OSC, other strings, and escapes of two letters (ECMA-48), with their eight-bit forms.
const ESCAPES =
  /(?:\u001b\[|\u009b)[0-?]*[ -/]*[@-~]|\u001b\][^\u0007\u001b\n]*(?:\u0007|\u001b\\)?|\u001b[PX^_][^\u001b\n]*(?:\u001b\\)?|\u001b[ -/]*[0-~]?/g;
const CONTROLS = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g;
// Marks, embeddings, overrides and isolates of the bidirectional algorithm (Unicode TR 9).
const DIRECTIONS = /[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;

/** A line without escapes and control characters; a mark that turns the direction round is shown as one. */
function line(text: string, most: number): string {
  // As terminals show it: what follows a carriage return stands over what was before.
  const parts = text.replace(ESCAPES, "").split("\r");
  const last = parts.findLast((part) => part !== "") ?? "";
  const clean = last.replace(CONTROLS, "").replace(DIRECTIONS, "\ufffd");
  return clean.length > most ? `${clean.slice(0, most)}\u2026 (${clean.length - most} more)` : clean;
}

/** Most characters of a line of a log. */
export const LONGEST_LINE = 2_000;

/** A text of several lines, to be shown as it is. */
export function lines(text: string): string[] {
  return text.split("\n").map((each) => line(each, LONGEST_LINE));
}

/** A text as one line of at most `most` characters. */
export function oneLine(text: string, most = 256): string {
  return line(text.replace(/[\n\r\t]+/g, " "), most).trim();
}
