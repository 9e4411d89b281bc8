// The same for many machines: a few at a time, one result each, to be stopped between two.

/** A machine that something is done with. */
export interface Target {
  Uuid: string;
  Name: string;
}

/** How far one machine is. */
export type Result =
  | { state: "waiting" }
  | { state: "running" }
  | { state: "done"; note?: string }
  | { state: "failed"; why: string }
  | { state: "skipped" };

/** Machines that are worked on at the same time. */
const AT_ONCE = 4;

/** How far all of them are. */
export interface Tally {
  done: number;
  failed: number;
  skipped: number;
  left: number;
}

/** Counts results. */
export function tally(results: Iterable<Result>): Tally {
  const counted: Tally = { done: 0, failed: 0, skipped: 0, left: 0 };
  for (const { state } of results) {
    if (state === "done") counted.done += 1;
    else if (state === "failed") counted.failed += 1;
    else if (state === "skipped") counted.skipped += 1;
    else counted.left += 1;
  }
  return counted;
}

/**
 * Does `act` with every target. `tell` hears each result; a failure is one machine's alone. Once `signal` says
 * stop, those that have not begun are skipped.
 */
export async function runAll<T extends Target>(
  targets: readonly T[],
  act: (target: T) => Promise<string | undefined>,
  why: (error: unknown) => string,
  tell: (target: T, result: Result) => void,
  signal: AbortSignal,
): Promise<void> {
  const waiting = [...targets];
  const work = async () => {
    for (let target = waiting.shift(); target !== undefined; target = waiting.shift()) {
      if (signal.aborted) {
        tell(target, { state: "skipped" });
        continue;
      }
      tell(target, { state: "running" });
      try {
        const note = await act(target);
        tell(target, note === undefined ? { state: "done" } : { state: "done", note });
      } catch (error) {
        tell(target, { state: "failed", why: why(error) });
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(AT_ONCE, targets.length) }, work));
}
