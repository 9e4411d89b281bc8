// Reads recordings: asciicast v2 (https://docs.asciinema.org/manual/asciicast/v2/), as far as ours go.

/** Something that happened in a recording. */
export interface CastEvent {
  /** Seconds since its beginning. */
  at: number;
  /** What was shown, or another size. */
  what: { show: string } | { cols: number; rows: number };
}

/** A recording. */
export interface Cast {
  cols: number;
  rows: number;
  title: string;
  events: CastEvent[];
  /** Seconds that it takes. */
  length: number;
}

const LARGEST = 1_000;

/** A recording's text as a recording; null when it is none. Lines that are no events are passed over. */
export function parseCast(text: string): Cast | null {
  const [first, ...rest] = text.split("\n");
  const header = readJson(first ?? "");
  if (typeof header !== "object" || header === null || !("version" in header) || header.version !== 2) return null;
  const cols = "width" in header ? sized(header.width) : null;
  const rows = "height" in header ? sized(header.height) : null;
  if (cols === null || rows === null) return null;
  const title = "title" in header && typeof header.title === "string" ? header.title : "";
  const events: CastEvent[] = [];
  let last = 0;
  for (const line of rest) {
    const event = parseEvent(line, last);
    if (event === null) continue;
    last = event.at;
    events.push(event);
  }
  return { cols, rows, title, events, length: last };
}

// Time never runs backwards.
function parseEvent(line: string, last: number): CastEvent | null {
  const value = readJson(line);
  if (!Array.isArray(value)) return null;
  const [at, code, data]: unknown[] = value;
  if (typeof at !== "number" || !Number.isFinite(at) || typeof data !== "string") return null;
  const time = Math.max(at, last);
  if (code === "o") return { at: time, what: { show: data } };
  const size = code === "r" ? /^(\d{1,4})x(\d{1,4})$/.exec(data) : null;
  const cols = size === null ? null : sized(Number(size[1]));
  const rows = size === null ? null : sized(Number(size[2]));
  return cols === null || rows === null ? null : { at: time, what: { cols, rows } };
}

function sized(value: unknown): number | null {
  return typeof value === "number" && Number.isInteger(value) && value >= 1 && value <= LARGEST ? value : null;
}

function readJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
