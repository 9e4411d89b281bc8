// What is said of virtual addresses and routes.
import { describe, expect, test } from "vitest";
import { checkOf, checkWords, healthWords, heldState, holderOf, moveWords, USUAL } from "./words";

const web = (number: number, part = {}) => ({ Machine: `id-${number}`, Name: `web-${number}`, Online: true, Healthy: true, Message: "", ...part });
const vip = (part = {}) => ({ Name: "api", Enabled: true, Holder: "id-1", Members: [web(1), web(2)], ...part });

describe("who holds it", () => {
  test.each([
    ["the holder by its name", {}, "held", "Held by web-1"],
    ["a holder that is not listed any more by its id", { Holder: "id-9" }, "held", "Held by id-9"],
    ["nobody, since it is not enabled", { Enabled: false, Holder: "" }, "disabled", "Not enabled: nobody holds it"],
    ["nobody, for lack of machines", { Holder: "", Members: [] }, "nobody", "Held by nobody: no member of the mesh network may hold it"],
    ["nobody, since none is healthy", { Holder: "", Members: [web(1, { Healthy: false }), web(2, { Healthy: false })] }, "nobody", "Held by nobody: none of the 2 machines that may hold it is healthy"],
    ["nobody, since all are offline", { Holder: "", Members: [web(1, { Online: false }), web(2, { Online: false, Healthy: false })] }, "nobody", "Held by nobody: all 2 machines that may hold it are offline"],
    ["nobody yet, while somebody could", { Holder: "" }, "nobody", "Held by nobody: it is given to a healthy machine in a moment"],
  ])("%s", (_sentence, part, tone, words) => {
    expect(heldState(vip(part))).toEqual({ tone, words });
  });

  test("is nobody where the server names none", () => {
    expect(holderOf(vip({ Holder: "" }))).toBeNull();
  });
});

test("the healthy ones are counted", () => {
  expect(healthWords(vip({ Members: [web(1), web(2, { Healthy: false })] }))).toBe("1 of 2");
  expect(healthWords(vip({ Members: [] }))).toBe("");
});

test("a check is told in a few words", () => {
  expect(checkWords(USUAL)).toBe("None");
  expect(checkWords({ ...USUAL, Type: "tcp", Target: ":6443" })).toBe("TCP :6443");
  expect(checkWords({ ...USUAL, Type: "http", Target: "https://10.20.0.9/healthz" })).toBe("HTTPS 10.20.0.9/healthz");
  expect(checkWords({ ...USUAL, Type: "exec", Target: "true" })).toBe("Command true");
});

test("what a check does not say is as usual", () => {
  expect(checkOf(undefined)).toEqual(USUAL);
  expect(checkOf({ Type: "http", Target: "http://127.0.0.1/", Interval: 1 })).toEqual({ ...USUAL, Type: "http", Target: "http://127.0.0.1/", Interval: 1 });
  expect(checkOf({ Type: "carrier pigeon" }).Type).toBe("");
});

test("how soon it moves follows from interval and threshold", () => {
  expect(moveWords(USUAL)).toBe("Tested every 5 seconds; lost after 3 failures in a row. When its holder dies, another one holds it within 17 seconds.");
  expect(moveWords({ Interval: 1, UnhealthyThreshold: 1 })).toBe("Tested every second; lost after one failure. When its holder dies, another one holds it within 3 seconds.");
});
