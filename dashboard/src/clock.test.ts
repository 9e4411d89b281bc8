import { describe, expect, it } from "vitest";
import { ServerClock } from "./clock";

/** The header of an answer that a server gives at this time. */
function header(at: number): string {
  return new Date(Math.floor(at / 1_000) * 1_000).toUTCString();
}

describe("the server's clock", () => {
  const start = Date.parse("2026-11-22T10:00:00Z");

  it("is the browser's as long as nothing speaks against it", () => {
    const clock = new ServerClock();
    expect(clock.ahead).toBe(0);
    clock.heed(header(start + 900), start + 850, start + 950);
    clock.heed(null, start, start);
    clock.heed("no date", start, start);
    expect(clock.ahead).toBe(0);
  });

  it("is found to a fraction of a second by several answers", () => {
    const clock = new ServerClock();
    const ahead = 90_000;
    for (const at of [130, 480, 760, 990]) {
      clock.heed(header(start + at + ahead), start + at - 5, start + at + 5);
    }
    expect(Math.abs(clock.ahead - ahead)).toBeLessThan(300);
  });

  it("follows when one of the clocks is set", () => {
    const clock = new ServerClock();
    clock.heed(header(start), start, start);
    clock.heed(header(start + 1_000), start + 61_000, start + 61_000);
    expect(Math.abs(clock.ahead + 60_000)).toBeLessThanOrEqual(500);
  });
});
