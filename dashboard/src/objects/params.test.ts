// Ways to enter params.
import { describe, expect, it } from "vitest";
import { entryOf, startOf } from "./params";

describe("a param's value", () => {
  it("is entered as its schema says", () => {
    expect(entryOf({ type: "boolean" }, true)).toEqual({ as: "switch" });
    expect(entryOf({ type: "integer", minimum: 1 }, 3)).toEqual({ as: "whole", min: 1 });
    expect(entryOf({ enum: ["a", "b"] }, "a")).toEqual({ as: "choice", choices: ["a", "b"] });
    expect(entryOf({ type: "string" }, "x")).toEqual({ as: "text" });
    expect(entryOf({ type: "object" }, {})).toEqual({ as: "json" });
    expect(entryOf(null, 1)).toEqual({ as: "json" });
  });

  it("is entered as JSON when it is another than the schema says, so that nothing of it is lost", () => {
    expect(entryOf({ type: "boolean" }, "yes")).toEqual({ as: "json" });
    expect(entryOf({ type: "integer" }, 1.5)).toEqual({ as: "json" });
    expect(entryOf({ enum: ["a"] }, null)).toEqual({ as: "json" });
  });

  it("begins with its default, or with the least", () => {
    expect(startOf({ type: "integer", default: 100 })).toBe(100);
    expect(startOf({ type: "integer", minimum: 5 })).toBe(5);
    expect(startOf({ type: "array" })).toEqual([]);
    expect(startOf({ type: "object" })).toEqual({});
    expect(startOf({ type: "boolean", default: false })).toBe(false);
    expect(startOf(null)).toBe("");
  });
});
