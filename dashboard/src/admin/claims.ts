// Rights as access roles have them: scope, actions and objects, each `*` or a list with commas. Pure.
import { textAt, type Obj } from "../objects/json";
import type { Claim } from "./wire";

/** Nothing of it is said yet, but that it is for every object. */
export const NEW_CLAIM: Claim = { scope: "", action: "", specific: "*" };

/** A right, of what an object says. */
export function claimOf(object: Obj): Claim {
  return { scope: textAt(object, "scope"), action: textAt(object, "action"), specific: textAt(object, "specific") };
}

/** A list as it is kept: without blanks, without what is empty or there twice. */
export function tidy(list: string): string {
  return [...new Set(list.split(",").map((part) => part.trim()).filter(Boolean))].join(",");
}

/** What is missing in a right; `*` says all of it. */
export function missing({ scope, action, specific }: Claim): (keyof Claim)[] {
  const parts = { scope, action, specific } as const;
  return (["scope", "action", "specific"] as const).filter((part) => tidy(parts[part]) === "");
}

/** A right in words: `machines: get, list`. */
export function claimWords({ scope, action, specific }: Claim): string {
  const every = (text: string) => text === "*";
  const listed = (text: string) => tidy(text).replaceAll(",", ", ");
  if (every(scope) && every(action) && every(specific)) return "everything";
  const what = every(action) ? "everything" : listed(action);
  const where = every(scope) ? "everywhere" : listed(scope);
  return `${where}: ${what}${every(specific) || specific === "" ? "" : ` (${listed(specific)} only)`}`;
}

type Scopes = Readonly<Record<string, Readonly<Record<string, unknown>>>>;

/** The scopes there are, to choose from. */
export function scopesOf(scopes: Scopes): string[] {
  return ["*", ...Object.keys(scopes).toSorted()];
}

/** What can be done in these scopes, to choose from. */
export function actionsIn(scopes: Scopes, chosen: string): string[] {
  const wanted = tidy(chosen).split(",");
  const of = wanted.includes("*") ? Object.keys(scopes) : wanted;
  const actions = of.flatMap((scope) => Object.keys(scopes[scope] ?? {}));
  return ["*", ...new Set(actions.toSorted())];
}
