// Events in words.
import { describe, expect, it } from "vitest";
import type { Event } from "../../wire";
import { added, changes, happening, MOST, type Happening } from "./happening";

function event(part: Partial<Event>): Event {
  return { Time: "2026-01-01T00:00:00Z", Type: "machines", Action: "update", Key: "m", Principal: "user:ann", Object: null, ...part };
}

const told = (part: Partial<Event>) => happening(event(part), "m", 1)?.text;

describe("events of a machine", () => {
  it("say what changed, and nothing of heartbeats", () => {
    const before = { Online: false, Stage: "none", LastSeenAt: "a", Params: {}, OS: "", Runnable: true };
    expect(changes(before, { ...before, LastSeenAt: "b" })).toBe("");
    expect(changes(before, { ...before, Online: true, Stage: "hello" })).toBe("is online; stage: none \u2192 hello");
    expect(changes(before, { ...before, Params: { secret: "x" }, OS: "debian-12", Runnable: false })).toBe(
      "params changed; OS: none \u2192 debian-12; runnable: yes \u2192 no",
    );
    expect(told({ Original: before, Object: { ...before, LastSeenAt: "c" } })).toBeUndefined();
    expect(told({ Action: "create", Object: {} })).toBe("registered");
  });

  it("tell of jobs and runs of this machine only", () => {
    const job = { Machine: "m", Task: "wipe", State: "failed", ResultErrors: ["exit status 3"] };
    expect(told({ Type: "jobs", Key: "j", Object: job, Original: { State: "running" } })).toBe("wipe failed: exit status 3");
    expect(told({ Type: "jobs", Key: "j", Object: job, Original: job })).toBeUndefined();
    expect(told({ Type: "jobs", Key: "j", Object: { ...job, Machine: "other" } })).toBeUndefined();
    const run = { Machine: "m", Mode: "rebuild", Status: "downloading", Error: "" };
    expect(told({ Type: "provisions", Key: "r", Object: run })).toBe("rebuild is downloading");
    expect(told({ Key: "other", Object: {}, Action: "create" })).toBeUndefined();
  });

  it("are text, cut and on one line, whatever a machine made of them", () => {
    const before = { OS: "" };
    const after = { OS: `a\u202eb\u001b[31m\n<img src=x onerror=alert(1)>${"x".repeat(500)}` };
    const line = changes(before, after);
    expect(line.startsWith("OS: none \u2192 a\ufffdb <img src=x onerror=alert(1)>xxx")).toBe(true);
    expect(line.length).toBeLessThan(120);
  });

  it("are few, and one that is told again takes the place of the last", () => {
    const line = (key: number, words: string): Happening => ({ key, time: "", about: "Job", text: words, principal: "" });
    expect(added([line(1, "a")], line(2, "a")).map(({ key }) => key)).toEqual([2]);
    let lines: readonly Happening[] = [];
    for (let key = 0; key < MOST + 9; key += 1) lines = added(lines, line(key, String(key)));
    expect(lines.length).toBe(MOST);
    expect(lines[0]?.key).toBe(MOST + 8);
  });
});
