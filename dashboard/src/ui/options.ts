// What a list of tags offers, and how one moves in it: pure.

/** One of the set. */
export interface TagOption {
  value: string;
  /** What it is called, when not by its value. */
  name?: string;
  /** A short remark, such as a priority. */
  note?: string;
  /** Where it is described. */
  to?: string;
}

/** Longest list that is offered at once; typing narrows it. */
const OFFERED = 50;

/** The options that contain what was typed: those that begin with it first. With `free`, what was typed is one
 * itself when there is no such option. */
export function offered(options: readonly TagOption[], typed: string, free = false): TagOption[] {
  const text = typed.trim().toLowerCase();
  const name = (option: TagOption) => (option.name ?? option.value).toLowerCase();
  const fitting = options.filter((option) => name(option).includes(text));
  const begins = (option: TagOption) => (name(option).startsWith(text) ? 0 : 1);
  const sorted = fitting.sort((a, b) => begins(a) - begins(b) || name(a).localeCompare(name(b))).slice(0, OFFERED);
  const own = typed.trim();
  if (!free || own === "" || options.some((option) => option.value === own)) return sorted;
  return [...sorted, { value: own, note: "as typed" }];
}

/** The place after a step in a list of `count`, round its ends. */
export function moved(at: number, step: 1 | -1, count: number): number {
  return count === 0 ? 0 : (at + step + count) % count;
}
