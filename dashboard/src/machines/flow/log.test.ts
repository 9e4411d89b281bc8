// How a job's log is shown while it grows.
import { describe, expect, it } from "vitest";
import { beginning, displayed, grown, MOST, NOTHING } from "./log";

describe("a job's log", () => {
  it("is shown whole as long as it is short", () => {
    expect(beginning(MOST)).toEqual({ offset: 0, cut: false });
    const shown = grown(grown(NOTHING, "one\ntw"), "o\n");
    expect(shown).toEqual({ text: "one\ntwo\n", cut: false });
    expect(displayed(shown)).toBe("one\ntwo\n");
  });

  it("begins with a whole line where its beginning is left out", () => {
    expect(beginning(MOST + 10)).toEqual({ offset: 10, cut: true });
    const shown = grown({ text: "", cut: true }, "half a line\nwhole\n");
    expect(shown).toEqual({ text: "whole\n", cut: true });
    expect(grown(shown, "next\n").text).toBe("whole\nnext\n");
  });

  it("stays bounded while it grows", () => {
    let shown = NOTHING;
    for (let part = 0; part < 20; part += 1) shown = grown(shown, `${"x".repeat(70_000)}\n`);
    expect(shown.cut).toBe(true);
    expect(shown.text.length).toBeLessThanOrEqual(MOST);
    expect(shown.text.startsWith("x") && shown.text.endsWith("\n")).toBe(true);
    expect(displayed(grown(NOTHING, "\u001b[31mred\u001b[0m"))).toBe("red");
  });
});
