// Lines of a text that is being edited: pure. Lines count from 1, places from 0.

const STEP = "  ";

/** The line that a place is in. */
export function lineAt(text: string, place: number): number {
  let line = 1;
  for (let at = text.indexOf("\n"); at !== -1 && at < place; at = text.indexOf("\n", at + 1)) line += 1;
  return line;
}

/** Where a line begins; the text's end when there are not as many. */
export function startOfLine(text: string, line: number): number {
  let at = 0;
  for (let count = 1; count < line; count += 1) {
    const next = text.indexOf("\n", at);
    if (next === -1) return text.length;
    at = next + 1;
  }
  return at;
}

/** The spaces a new line begins with after `place`: as many as the line before, more after a colon. */
export function indentAfter(text: string, place: number): string {
  const before = text.slice(startOfLine(text, lineAt(text, place)), place);
  const spaces = /^[ \t]*/.exec(before)?.[0] ?? "";
  return /:\s*$/.test(before) ? spaces + STEP : spaces;
}

/** Lines moved one step to the right, or to the left as far as they can. */
export function shifted(text: string, step: 1 | -1): string {
  const move = (line: string) => (step === 1 ? (line === "" ? line : STEP + line) : line.replace(/^ {1,2}|^\t/, ""));
  return text.split("\n").map(move).join("\n");
}
