import { describe, expect, it } from "vitest";
import { runAll, tally, type Result, type Target } from "./bulk";

const TARGETS: Target[] = Array.from({ length: 9 }, (_, index) => ({ Uuid: `${index}`, Name: `node-${index}` }));

function run(act: (target: Target) => Promise<string | undefined>, signal = new AbortController().signal) {
  const results = new Map<string, Result>();
  const tell = (target: Target, result: Result) => void results.set(target.Uuid, result);
  return runAll(TARGETS, act, (error) => String(error), tell, signal).then(() => results);
}

describe("the same for many machines", () => {
  it("is done a few at a time, and a failure is one machine's alone", async () => {
    let [now, most] = [0, 0];
    const results = await run(async ({ Uuid }) => {
      now += 1;
      most = Math.max(most, now);
      await Promise.resolve();
      now -= 1;
      if (Uuid === "4") throw new Error("locked");
      return Uuid === "5" ? "noted" : undefined;
    });
    expect(most).toBe(4);
    expect(results.get("4")).toEqual({ state: "failed", why: "Error: locked" });
    expect(results.get("5")).toEqual({ state: "done", note: "noted" });
    expect(tally(results.values())).toEqual({ done: 8, failed: 1, skipped: 0, left: 0 });
  });

  it("is stopped between two of them", async () => {
    const stopper = new AbortController();
    const results = await run(async ({ Uuid }) => {
      if (Uuid === "3") stopper.abort();
      return undefined;
    }, stopper.signal);
    expect(tally(results.values())).toEqual({ done: 4, failed: 0, skipped: 5, left: 0 });
  });
});
