// The server's no to an object that was to be saved, where it belongs.
import { ApiError } from "../api";
import { explain, type Explained } from "../explain";
import type { KindSpec } from "./kind";
import { NO_PROBLEMS, placed, type Placed, type Places } from "./problems";

/** Complaints at their fields, or why it failed as a whole. */
export interface Told {
  problems: Placed;
  failure: Explained | null;
}

/** What became of a try. */
export function told(kind: KindSpec, error: Error | null, isNew: boolean): Told {
  if (error === null) return { problems: NO_PROBLEMS, failure: null };
  if (!(error instanceof ApiError)) return { problems: NO_PROBLEMS, failure: explain(error, "change") };
  if (error.status === 422 || error.status === 400) {
    return { problems: placed(error.messages, placesOf(kind)), failure: null };
  }
  if (error.status === 409 && isNew) {
    const text = "This name is taken. Choose another one.";
    return { problems: { at: new Map([[kind.key, [{ text }]]]), others: [] }, failure: null };
  }
  if (error.status === 409 && error.kind === "PATCH") {
    const text = "Somebody else changed the same meanwhile, so nothing was saved. Look at what is different now.";
    return { problems: NO_PROBLEMS, failure: { text, retryAfter: null } };
  }
  return { problems: NO_PROBLEMS, failure: explain(error, "change") };
}

function placesOf(kind: KindSpec): Places {
  const all = kind.groups.flatMap((group) => group.fields);
  const code = all.find((field) => field.as === "code" && field.at.length === 1);
  return {
    fields: [kind.key, "Description", ...all.map((field) => field.at.join("/"))],
    key: kind.key,
    noun: kind.noun,
    ...(code === undefined ? {} : { text: code.at.join("/") }),
  };
}
