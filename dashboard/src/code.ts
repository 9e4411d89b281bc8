// Bootstrap codes as people type them (`spec/security.md` 2.1; `protocol/src/code.rs` does
// the same on the server). Nothing typed vanishes without a word: what is mended, left out
// or too much is reported beside the result.

/** The 23 characters a code is made of. */
export const ALPHABET = "BCDFGHJKMNPQRTVWXY23479";
/** Characters of a code. */
export const CODE_LENGTH = 6;

const MENDED: Partial<Record<string, string>> = { "8": "B", "6": "G", Z: "2", U: "V" };
/** Looks like a whole code with its dash: found inside a pasted sentence. */
const WHOLE = /(?:^|[^A-Z0-9])([A-Z0-9]{3}[-\u2013][A-Z0-9]{3})(?![A-Z0-9])/;

/** A typed text, read as a code. */
export interface TypedCode {
  /** At most six characters of the alphabet, without the dash. */
  characters: string;
  /** What was read as something else, such as `8` as `B`. */
  mended: { from: string; to: string }[];
  /** What no code contains and was left out. */
  foreign: string[];
  /** How many characters were too many. */
  surplus: number;
}

/** Reads a text as (the beginning of) a code. */
export function readCode(text: string): TypedCode {
  const upper = text.slice(0, 256).toUpperCase();
  const whole = WHOLE.exec(upper)?.[1];
  const typed: TypedCode = { characters: "", mended: [], foreign: [], surplus: 0 };
  for (const character of whole ?? upper) {
    if (/[\s\-\u2013]/.test(character)) continue;
    take(typed, character);
  }
  return typed;
}

function take(typed: TypedCode, character: string): void {
  const to = MENDED[character] ?? character;
  if (!ALPHABET.includes(to)) {
    if (!typed.foreign.includes(character)) typed.foreign.push(character);
  } else if (typed.characters.length === CODE_LENGTH) {
    typed.surplus += 1;
  } else {
    typed.characters += to;
    if (to !== character && !typed.mended.some((known) => known.from === character)) {
      typed.mended.push({ from: character, to });
    }
  }
}

/** The code as it is shown: three, dash, three. The dash comes with the fourth character. */
export function formatCode(characters: string): string {
  return characters.length > 3 ? `${characters.slice(0, 3)}-${characters.slice(3)}` : characters;
}

/** Where the caret stands in the shown code when `typed` characters of it lie before. */
export function caretAfter(typed: number): number {
  return typed > 3 ? typed + 1 : typed;
}

/** What to say about a typed text, or an empty text. */
export function remark(typed: TypedCode): string {
  const said: string[] = [];
  if (typed.foreign.length > 0) {
    const list = typed.foreign.slice(0, 4).map((character) => `\u201c${character}\u201d`).join(", ");
    said.push(`Codes never contain ${list}; left out. They use ${ALPHABET}.`);
  }
  if (typed.surplus > 0) said.push("A code has six characters; the rest was left out.");
  if (typed.mended.length > 0) {
    const list = typed.mended.map(({ from, to }) => `${from} as ${to}`).join(", ");
    said.push(`Read ${list}, since codes leave out look-alikes.`);
  }
  return said.join(" ");
}
