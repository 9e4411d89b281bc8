// What an operator changed, as a JSON Patch that fails where somebody else changed the same; and
// what becomes of unsaved changes when the object changes meanwhile. Pure.
import type { Operation } from "../api";
import { isObj, same, type Json, type Obj } from "./json";

/** Fields that the server sets; what a client says of them is ignored. */
const SERVER_SET: ReadonlySet<string> = new Set([
  "Available",
  "Bundle",
  "CreatedAt",
  "CreatedBy",
  "Endpoint",
  "Epoch",
  "Errors",
  "FreeAddresses",
  "HasPassword",
  "HasValue",
  "Holder",
  "Import",
  "LastModifiedAt",
  "LastModifiedBy",
  "Members",
  "Partial",
  "ReadOnly",
  "RunnerWait",
  "State",
  "Validated",
]);

/** Fields in which several people may change different members at once. */
const MAPS: ReadonlySet<string> = new Set(["Params", "Meta"]);

/** What an author wrote of an object. */
export function authored(object: Obj): Obj {
  return Object.fromEntries(Object.entries(object).filter(([name]) => !SERVER_SET.has(name)));
}

/** An editor's state: the object as it was last seen, and as it is to be. */
export interface Draft {
  seen: Obj;
  wanted: Obj;
  /** Fields that somebody else changed as well; to be decided by a person. */
  conflicts: readonly string[];
}

/** An object, to be changed. */
export function draftOf(object: Obj): Draft {
  return { seen: object, wanted: authored(object), conflicts: [] };
}

/** Whether there is something to save. */
export function isChanged({ seen, wanted }: Draft): boolean {
  return changedFields(seen, wanted).length > 0;
}

/** Names of the fields that differ. */
function changedFields(seen: Obj, wanted: Obj): string[] {
  const before = authored(seen);
  const names = new Set([...Object.keys(before), ...Object.keys(wanted)]);
  return [...names].filter((name) => !same(before[name], wanted[name]));
}

/** JSON Pointer of a path. */
export function pointer(...names: readonly string[]): string {
  return names.map((name) => `/${name.replaceAll("~", "~0").replaceAll("/", "~1")}`).join("");
}

/**
 * The steps from what was seen to what is wanted. Each field that is changed is tested first, so that nothing
 * that came meanwhile is overwritten; other fields are left as they are. `hidden` ones are never shown, so that
 * there is nothing to test.
 */
export function operations({ seen, wanted }: Draft, hidden: readonly string[] = []): Operation[] {
  return changedFields(seen, wanted).flatMap((name) => {
    const [before, after] = [seen[name], wanted[name]];
    if (MAPS.has(name) && isObj(before) && isObj(after)) return memberOperations(name, before, after);
    const path = pointer(name);
    const test: Operation[] = before === undefined || hidden.includes(name) ? [] : [{ op: "test", path, value: before }];
    return after === undefined ? [...test, { op: "remove", path }] : [...test, { op: "add", path, value: after }];
  });
}

function memberOperations(field: string, before: Obj, after: Obj): Operation[] {
  const names = [...new Set([...Object.keys(before), ...Object.keys(after)])].filter(
    (name) => !same(before[name], after[name]),
  );
  // That a member is not there cannot be tested alone: the whole map is, when one is added.
  const added = names.some((name) => before[name] === undefined);
  const tests: Operation[] = added
    ? [{ op: "test", path: pointer(field), value: before }]
    : names.map((name) => ({ op: "test", path: pointer(field, name), value: before[name] ?? null }));
  const steps = names.map((name): Operation => {
    const value = after[name];
    const path = pointer(field, name);
    return value === undefined ? { op: "remove", path } : { op: "add", path, value };
  });
  return [...tests, ...steps];
}

/** The state after the object became another one: what the operator did not touch follows it. */
export function rebased({ seen, wanted, conflicts }: Draft, now: Obj): Draft {
  const [before, theirs] = [authored(seen), authored(now)];
  const next: Record<string, Json> = { ...theirs };
  const torn = new Set(conflicts);
  for (const name of changedFields(seen, wanted)) {
    const merged = mergedField(before[name], wanted[name], theirs[name], MAPS.has(name));
    if (merged.conflict) torn.add(name);
    if (merged.value === undefined) delete next[name];
    else next[name] = merged.value;
  }
  const open = [...torn].filter((name) => !same(next[name], theirs[name]));
  return { seen: now, wanted: next, conflicts: open };
}

interface Merged {
  value: Json | undefined;
  conflict: boolean;
}

function mergedField(before: Json | undefined, mine: Json | undefined, theirs: Json | undefined, map: boolean): Merged {
  if (same(before, theirs) || same(mine, theirs)) return { value: mine, conflict: false };
  if (!map || !isObj(before) || !isObj(mine) || !isObj(theirs)) return { value: mine, conflict: true };
  let conflict = false;
  const value: Record<string, Json> = { ...theirs };
  for (const name of new Set([...Object.keys(before), ...Object.keys(mine)])) {
    if (same(before[name], mine[name])) continue;
    if (!same(before[name], theirs[name]) && !same(mine[name], theirs[name])) conflict = true;
    const own = mine[name];
    if (own === undefined) delete value[name];
    else value[name] = own;
  }
  return { value, conflict };
}

/** The state after a person decided about a field: `mine` is saved over theirs, or theirs is taken. */
export function decided(draft: Draft, field: string, keep: "mine" | "theirs"): Draft {
  const conflicts = draft.conflicts.filter((name) => name !== field);
  if (keep === "mine") return { ...draft, conflicts };
  const { [field]: _, ...others } = draft.wanted;
  const theirs = draft.seen[field];
  return { ...draft, wanted: theirs === undefined ? others : { ...others, [field]: theirs }, conflicts };
}
