// The server's complaints about an object, each at the field it is about. Pure.
import type { CodeProblem } from "../ui/CodeEditor";
import { asSentence } from "../explain";

/** Complaints by field (`Tasks`, or `Params/muster/image`), and those that are about none. */
export interface Placed {
  at: ReadonlyMap<string, readonly CodeProblem[]>;
  others: readonly string[];
}

/** No complaint. */
export const NO_PROBLEMS: Placed = { at: new Map(), others: [] };

/** Where complaints of a kind belong that name no field. */
export interface Places {
  /** The fields that the form has, by their paths: `Description`, `Params/muster/image`. */
  fields: readonly string[];
  /** The field that names the object. */
  key: string;
  /** One of them, as the server calls it: `profile`. */
  noun: string;
  /** The field with the object's own template. */
  text?: string;
}

/** Puts each complaint where it belongs. */
export function placed(messages: readonly string[], places: Places): Placed {
  const at = new Map<string, CodeProblem[]>();
  const others: string[] = [];
  for (const message of messages) {
    const found = place(message, places);
    if (found === null) others.push(asSentence(message));
    else at.set(found.field, [...(at.get(found.field) ?? []), found.problem]);
  }
  return { at, others };
}

interface Found {
  field: string;
  problem: CodeProblem;
}

function place(message: string, { fields, key, noun, text }: Places): Found | null {
  const param = /^(?:Params: |param )(?<name>[^\s:]+)(?: of [^:]+)?: (?<rest>.*)$/su.exec(message)?.groups;
  if (param !== undefined) {
    const [name = "", rest = ""] = [param["name"], param["rest"]];
    if (fields.includes(`Params/${name}`)) return { field: `Params/${name}`, problem: lined(rest) };
    // A param's name is not the beginning of a sentence.
    if (fields.includes("Params")) return { field: "Params", problem: { text: `${name}: ${rest}` } };
  }
  const named = /^(?<field>[A-Z][A-Za-z]+)(?:[.:]| is | must | cannot )/u.exec(message)?.groups?.["field"];
  if (named !== undefined && fields.includes(named)) {
    return { field: named, problem: lined(message.startsWith(`${named}: `) ? message.slice(named.length + 2) : message) };
  }
  if (text !== undefined && /^(?:template )?"[^"]*", line \d+/u.test(message)) return { field: text, problem: lined(message) };
  if (message.startsWith(`${noun} name `)) return { field: key, problem: lined(message.slice(noun.length + 1)) };
  return null;
}

/** A complaint with the line it names: `template "web", line 7: ...`. */
export function lined(message: string): CodeProblem {
  const found = /^(?:template )?"[^"]*", line (?<line>\d+): (?<rest>.*)$/su.exec(message)?.groups;
  if (found?.["line"] === undefined || found["rest"] === undefined) return { text: asSentence(message) };
  return { line: Number(found["line"]), text: asSentence(found["rest"]) };
}
