// JSON as somebody types it: read, or the line on which it ends to be JSON. Pure.
import { isObj, type Json, type Obj } from "./json";

/** What a text says, or why it says nothing. */
export type Read<T extends Json> = { value: T } | { line: number; text: string };

/** Reads any JSON. */
export function readJson(text: string): Read<Json> {
  try {
    // What `JSON.parse` gives is JSON, whatever its type says.
    const value: Json = JSON.parse(text);
    return { value };
  } catch {
    const place = firstFault(text);
    return { line: text.slice(0, place).split("\n").length, text: complaint(text, place) };
  }
}

/** Reads a JSON object. */
export function readObject(text: string): Read<Obj> {
  const read = readJson(text);
  if (!("value" in read)) return read;
  return isObj(read.value) ? { value: read.value } : { line: 1, text: "This is JSON, but no object: it begins with {." };
}

function complaint(text: string, place: number): string {
  if (text.trim() === "") return "There is nothing here.";
  if (place >= text.length) return "The text ends too early: a quote or a bracket is open.";
  const char = text[place] ?? "";
  return char === "\n" ? "A text goes on over the end of its line." : `JSON has no place for ${char} here.`;
}

const SPACE = /[ \t\r\n]*/y;
const TEXT = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y;
const PLAIN = /true|false|null|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;

// Browsers name the place of an error each in its own words, some not at all.
/** Where a text stops being JSON. The walk has no recursion: nesting is a list of what is open. */
function firstFault(text: string): number {
  const open: ("{" | "[")[] = [];
  let at = 0;
  const take = (pattern: RegExp): boolean => {
    pattern.lastIndex = at;
    if (!pattern.test(text)) return false;
    at = pattern.lastIndex;
    return true;
  };
  const char = (wanted: string): boolean => {
    take(SPACE);
    if (text[at] !== wanted) return false;
    at += 1;
    return true;
  };
  const name = (): boolean => (take(SPACE), take(TEXT)) && char(":");
  for (;;) {
    // A value begins here.
    if (char("{")) {
      open.push("{");
      if (!char("}")) {
        if (!name()) return faultOf(text, at);
        continue;
      }
      open.pop();
    } else if (char("[")) {
      open.push("[");
      if (!char("]")) continue;
      open.pop();
    } else if (!take(TEXT) && !take(PLAIN)) {
      return faultOf(text, at);
    }
    // A value has ended: so may what it is in.
    for (;;) {
      const inside = open.at(-1);
      if (inside === undefined) return (take(SPACE), at);
      if (char(",")) {
        if (inside === "{" && !name()) return faultOf(text, at);
        break;
      }
      if (!char(inside === "{" ? "}" : "]")) return faultOf(text, at);
      open.pop();
    }
  }
}

/** Of a text without its end, the end of its line; else the place itself. */
function faultOf(text: string, at: number): number {
  if (text[at] !== '"') return at;
  const unfinished = /"(?:[^"\\\n]|\\.)*/y;
  unfinished.lastIndex = at;
  unfinished.test(text);
  return unfinished.lastIndex;
}
