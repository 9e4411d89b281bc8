import { describe, expect, it } from "vitest";
import { ageLabel, ageWords, ago, clock, duration, isOnline, nextTurn, secondsSince } from "./age";

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

  it("are told as people do", () => {
    const now = Date.parse("2026-03-01T12:00:00Z");
    expect(ago("2026-03-01T11:59:00Z", now)).toBe("just now");
    expect(ago("2026-03-01T11:58:00Z", now)).toBe("2 minutes ago");
    expect(ago(null, now)).toBe("");
  });

  it("of what took long are told in its two largest units", () => {
    const cases = [0, 4, 59.4, 60, 61, 200, 7_500, 7_200, -1];
    expect(cases.map(duration)).toEqual(["0 s", "4 s", "59 s", "1 min", "1 min 1 s", "3 min 20 s", "2 h 5 min", "2 h", "0 s"]);
  });

  it("count down in minutes and seconds", () => {
    expect([332, 59.2, 0, -3].map(clock)).toEqual(["5:32", "1:00", "0:00", "0:00"]);
  });

  it("end a machine's being online at sixty seconds, exactly", () => {
    const seen = Date.parse("2026-03-01T12:00:00Z");
    const heard = { Online: true, LastSeenAt: "2026-03-01T12:00:00Z" };
    expect([0, 59_999, 60_000].map((past) => isOnline(heard, seen + past))).toEqual([true, true, false]);
    expect(isOnline({ ...heard, Online: false }, seen)).toBe(false);
    expect(isOnline({ Online: true, LastSeenAt: null }, seen)).toBe(false);
  });

  it("say when they will be others", () => {
    const seen = Date.parse("2026-03-01T12:00:00Z");
    const heard = { Online: true, LastSeenAt: "2026-03-01T12:00:00Z" };
    const next = (past: number, machine = heard) => (nextTurn(machine, seen + past) ?? 0) - seen;
    expect(next(1_234)).toBe(60_000);
    expect(next(60_000)).toBe(120_000);
    expect(next(3_599_999)).toBe(3_600_000);
    expect(next(3_600_000)).toBe(7_200_000);
    expect(next(4 * 86_400_000 + 5)).toBe(5 * 86_400_000);
    expect(next(1_500, { ...heard, Online: false })).toBe(2_000);
    expect(nextTurn({ Online: false, LastSeenAt: null }, seen)).toBeNull();
  });
});
