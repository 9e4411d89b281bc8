import { describe, expect, it } from "vitest";
import { applyEvent, parseEvent, reconnectDelay } from "./events";
import { machine } from "./fixtures";
import type { Event } from "./wire";

function event(action: string, key: string, object: unknown): Event {
  return { Time: "", Type: "machines", Action: action, Key: key, Principal: "system", Object: object };
}

describe("events", () => {
  it("add, change and remove machines", () => {
    const first = machine({ Uuid: "a", Name: "web-1" });
    const added = applyEvent([first], event("create", "b", machine({ Uuid: "b", Name: "web-2" })));
    expect(added?.map((each) => each.Name)).toEqual(["web-1", "web-2"]);
    const changed = applyEvent(added ?? [], event("save", "a", { ...first, Online: false }));
    expect(changed?.map((each) => each.Online)).toEqual([false, true]);
    expect(applyEvent(changed ?? [], event("delete", "a", null))?.map((each) => each.Uuid)).toEqual(["b"]);
  });

  it("that do not show the machine ask for the list", () => {
    expect(applyEvent([], event("update", "a", null))).toBeNull();
    expect(applyEvent([], event("update", "a", { Uuid: "a" }))).toBeNull();
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
