import { describe, expect, it } from "vitest";
import { isOf, parseEvent, reconnectDelay } from "./events";
import type { Event } from "./wire";

function event(action: string, key: string, object: unknown): Event {
  return { Time: "", Type: "machines", Action: action, Key: key, Principal: "system", Object: object };
}

describe("events", () => {
  it("go to those who asked for them", () => {
    const saved = event("save", "a.b", null);
    for (const pattern of ["*.*.*", "machines.*.*", "machines.save.*"]) expect(isOf(saved, pattern), pattern).toBe(true);
    for (const pattern of ["jobs.*.*", "machines.delete.*", "machines.save.b"]) {
      expect(isOf(saved, pattern), pattern).toBe(false);
    }
  });

  it("that are none are passed over", () => {
    for (const frame of ["", "{", "[]", "null", '{"Type":"machines"}', new ArrayBuffer(4)]) {
      expect(parseEvent(frame)).toBeNull();
    }
    expect(parseEvent(JSON.stringify(event("save", "a", null)))?.Key).toBe("a");
  });
});

describe("reconnecting", () => {
  it("backs off with full jitter up to half a minute", () => {
    expect([0, 1, 2, 9, 500].map((attempt) => reconnectDelay(attempt, 0.5))).toEqual([500, 1_000, 2_000, 15_000, 15_000]);
    expect(reconnectDelay(20, 0)).toBe(0);
  });
});
