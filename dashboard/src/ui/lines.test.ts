// Lines of a text that is being edited.
import { describe, expect, it } from "vitest";
import { indentAfter, lineAt, shifted, startOfLine } from "./lines";

const TEXT = "users:\n  - name: mia\n\npackages:\n";

describe("lines of a text", () => {
  it("are counted from one, and end with their line break", () => {
    expect(lineAt(TEXT, 0)).toBe(1);
    expect(lineAt(TEXT, 6)).toBe(1);
    expect(lineAt(TEXT, 7)).toBe(2);
    expect(lineAt(TEXT, TEXT.length)).toBe(5);
    expect(lineAt("", 0)).toBe(1);
  });

  it("begin after the break before them", () => {
    expect(startOfLine(TEXT, 1)).toBe(0);
    expect(TEXT.slice(startOfLine(TEXT, 4))).toBe("packages:\n");
    expect(startOfLine(TEXT, 99)).toBe(TEXT.length);
  });

  it("go on at the indentation of the one before, and further in after a colon", () => {
    expect(indentAfter(TEXT, 6)).toBe("  ");
    expect(indentAfter(TEXT, 20)).toBe("  ");
    expect(indentAfter("plain", 5)).toBe("");
    expect(indentAfter("\tkey:", 5)).toBe("\t  ");
  });

  it("move in and out, and never lose more than spaces", () => {
    expect(shifted("a\n\nb", 1)).toBe("  a\n\n  b");
    expect(shifted("  a\n b\nc\n\td", -1)).toBe("a\nb\nc\nd");
    expect(shifted(shifted("x: 1\n  y", 1), -1)).toBe("x: 1\n  y");
  });
});
