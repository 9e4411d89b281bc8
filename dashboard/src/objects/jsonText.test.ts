// The line on which a text stops being JSON.
import { describe, expect, it } from "vitest";
import { readJson, readObject } from "./jsonText";

function lineOf(text: string): number | null {
  const read = readJson(text);
  return "line" in read ? read.line : null;
}

describe("JSON that somebody types", () => {
  it("is read", () => {
    expect(readJson(' {"a": [1, -2.5e3, true, null, "x\\n"], "b": {}} \n')).toEqual({
      value: { a: [1, -2500, true, null, "x\n"], b: {} },
    });
    expect(readJson("[]")).toEqual({ value: [] });
  });

  it.each([
    ['{\n  "a": 1\n  "b": 2\n}', 3],
    ['{\n  "a": 1,\n}', 3],
    ['{\n  "a": yes\n}', 2],
    ['{\n  a: 1\n}', 2],
    ['{"a": [1, 2}', 1],
    ['{\n  "a": "open\n}', 2],
    ['{\n  "a": {\n    "b": 1\n', 4],
    ["[1, 2] 3", 1],
    ["{}\n\n}", 3],
    ['["\\x"]', 1],
    ["", 1],
  ])("%j fails on line %i", (text, line) => {
    expect(lineOf(text)).toBe(line);
  });

  it("says what is the matter", () => {
    expect(readJson('{"a": yes}')).toEqual({ line: 1, text: "JSON has no place for y here." });
    expect(readJson('{"a": "b\n}')).toEqual({ line: 1, text: "A text goes on over the end of its line." });
    expect(readJson('{"a": 1')).toEqual({ line: 1, text: "The text ends too early: a quote or a bracket is open." });
    expect(readJson("  ")).toEqual({ line: 1, text: "There is nothing here." });
  });

  it("is an object where one is needed", () => {
    expect(readObject("[]")).toHaveProperty("text");
    expect(readObject("{}")).toEqual({ value: {} });
  });

  it("is as deep as it likes without an end of the stack", () => {
    expect(lineOf(`${"[".repeat(5_000)}\n]`)).toBe(2);
  });
});
