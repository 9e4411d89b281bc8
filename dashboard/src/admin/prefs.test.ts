// The preferences that the engine knows are the ones that the page explains.
import { expect, it } from "vitest";
import engine from "../../../engine/src/content/prefs.rs?raw";
import { LEVELS, PREF_GROUPS, prefProblem } from "./prefs";

const table = engine.slice(engine.indexOf("const TABLE"), engine.indexOf("/// The names of all preferences"));

it("every preference has its words, and no other", () => {
  const named = [...table.matchAll(/pref\((?:"(\w+)"|(\w+)),/g)].map(([, name, constant = ""]) =>
    name ?? new RegExp(`const ${constant}: &str = "(\\w+)"`).exec(engine)?.[1] ?? constant,
  );
  expect(named.length).toBeGreaterThan(10);
  expect(PREF_GROUPS.flatMap(({ prefs }) => Object.keys(prefs)).toSorted()).toEqual(named.toSorted());
});

it("levels are the engine's", () => {
  const levels = /const LEVELS[^=]*= \[([^\]]*)\]/.exec(engine)?.[1] ?? "";
  expect(LEVELS.map((level) => `"${level}"`).join(", ")).toBe(levels);
});

it("what cannot be is said before the server is asked", () => {
  expect(prefProblem({ as: "seconds" }, "3600")).toBeUndefined();
  for (const wrong of ["", "-1", "1.5", "ten", "4294967296"]) expect(prefProblem({ as: "seconds" }, wrong)).toBeDefined();
  const secret = { as: "secret", bytes: 32 } as const;
  expect(prefProblem(secret, "")).toBeUndefined();
  expect(prefProblem(secret, "x".repeat(32))).toBeUndefined();
  expect(prefProblem(secret, "\u00fc".repeat(32))).toMatch(/64 bytes/);
});
