import { describe, expect, it } from "vitest";
import { ageLabel, ageWords, clock, secondsSince } from "./age";

describe("ages", () => {
  it("are labelled by their largest whole unit", () => {
    const cases: [number, string, string][] = [
      [0, "0s", "0 seconds"],
      [59, "59s", "59 seconds"],
      [65, "1m", "1 minute"],
      [3 * 60, "3m", "3 minutes"],
      [3_599, "59m", "59 minutes"],
      [3_600, "1h", "1 hour"],
      [86_399, "23h", "23 hours"],
      [4 * 86_400, "4d", "4 days"],
      [400 * 86_400, "400d", "400 days"],
    ];
    for (const [seconds, label, words] of cases) {
      expect(ageLabel(seconds)).toBe(label);
      expect(ageWords(seconds)).toBe(words);
    }
  });

  it("are counted from the last heartbeat and never negative", () => {
    const now = Date.parse("2026-03-01T12:00:00Z");
    expect(secondsSince("2026-03-01T11:58:55Z", now)).toBe(65);
    expect(secondsSince("2026-03-01T12:00:05Z", now)).toBe(0);
    expect(secondsSince(null, now)).toBeNull();
    expect(secondsSince("nonsense", now)).toBeNull();
  });

  it("count down in minutes and seconds", () => {
    expect([332, 59.2, 0, -3].map(clock)).toEqual(["5:32", "1:00", "0:00", "0:00"]);
  });
});
