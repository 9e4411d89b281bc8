import { describe, expect, it } from "vitest";
import { caretAfter, formatCode, readCode, remark } from "./code";

describe("bootstrap codes", () => {
  it("are understood however they are typed or pasted", () => {
    for (const text of ["K7P-3XB", "k7p3xb", " K7P 3XB ", "k7p-3x8", "K7P\u20133XB", "Bootstrap code: K7P-3XB\n"]) {
      expect(readCode(text).characters, text).toBe("K7P3XB");
    }
  });

  it("mend the four likely misreadings and say so", () => {
    const typed = readCode("zu6823");
    expect(typed.characters).toBe("2VGB23");
    expect(typed.mended).toEqual([
      { from: "Z", to: "2" },
      { from: "U", to: "V" },
      { from: "6", to: "G" },
      { from: "8", to: "B" },
    ]);
    expect(remark(typed)).toContain("Read Z as 2, U as V, 6 as G, 8 as B");
  });

  it("never drop a character without a word", () => {
    const typed = readCode("K7P3XO");
    expect(typed.characters).toBe("K7P3X");
    expect(remark(typed)).toContain("Codes never contain \u201cO\u201d");
    expect(remark(readCode("K7P3XBC"))).toContain("six characters; the rest was left out");
    expect(remark(readCode("K7P-3XB"))).toBe("");
  });

  it("look at a bounded part of a long paste", () => {
    expect(readCode("K".repeat(100_000)).surplus).toBe(250);
  });

  it("are shown as three, dash, three", () => {
    expect(["", "K7P", "K7P3", "K7P3XB"].map(formatCode)).toEqual(["", "K7P", "K7P-3", "K7P-3XB"]);
    expect([0, 3, 4, 6].map(caretAfter)).toEqual([0, 3, 5, 7]);
  });
});
