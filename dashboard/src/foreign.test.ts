// What machines print is text, whatever it holds.
import { describe, expect, it } from "vitest";
import { LONGEST_LINE, lines, oneLine } from "./foreign";

const ESC = "\u001b";

describe("texts of others", () => {
  it("lose colours, cursor movements and titles", () => {
    expect(lines(`${ESC}[1;31mred${ESC}[0m\n${ESC}[2J${ESC}[10;5Hat\u009b5Cx`)).toEqual(["red", "atx"]);
    expect(lines(`a${ESC}]0;owned\u0007b${ESC}]8;;http://evil${ESC}\\c`)).toEqual(["abc"]);
    expect(lines(`a${ESC}Pq#0${ESC}\\b${ESC}(Bc${ESC}7d${ESC}`)).toEqual(["abcd"]);
  });

  it("show a mark that turns reading round as a mark", () => {
    expect(lines("safe\u202egnp.exe")).toEqual(["safe\ufffdgnp.exe"]);
    expect(oneLine("a\u2066b\u200fc")).toBe("a\ufffdb\ufffdc");
  });

  it("keep tabs and lines, and nothing else that is not printed", () => {
    expect(lines("a\tb\u0000\u0007\u007f\nc\u0085")).toEqual(["a\tb", "c"]);
    expect(lines("<img src=x onerror=alert(1)>")).toEqual(["<img src=x onerror=alert(1)>"]);
  });

  it("show of a line that is written over what stands there last", () => {
    expect(lines(" 1%\r50%\r100%\r\nnext\r")).toEqual(["100%", "next"]);
  });

  it("cut what is too long and say how much", () => {
    const [cut] = lines("x".repeat(LONGEST_LINE + 5));
    expect(cut).toBe(`${"x".repeat(LONGEST_LINE)}\u2026 (5 more)`);
    expect(oneLine("y".repeat(65_536)).length).toBeLessThan(280);
    expect(oneLine(" a\nb ")).toBe("a b");
  });

  it("do not stall on hostile repetitions", () => {
    const begun = performance.now();
    lines(`${ESC}[`.repeat(200_000) + `${ESC}]`.repeat(200_000) + `${ESC}P`.repeat(200_000));
    expect(performance.now() - begun).toBeLessThan(2_000);
  });
});
