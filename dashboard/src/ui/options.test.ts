// Lists of options that are narrowed by typing.
import { expect, it } from "vitest";
import { moved, offered } from "./options";

const ROLES = ["web", "postgres", "postgres-replica", "old-postgres"].map((value) => ({ value }));

it("offers what contains the text, and what begins with it first", () => {
  expect(offered(ROLES, " POST").map(({ value }) => value)).toEqual(["postgres", "postgres-replica", "old-postgres"]);
  expect(offered(ROLES, "").map(({ value }) => value)).toEqual(["old-postgres", "postgres", "postgres-replica", "web"]);
  expect(offered(ROLES, "none")).toEqual([]);
});

it("searches by the name that is shown, not by the value behind it", () => {
  const options = [{ value: "6f1c", name: "core" }];
  expect(offered(options, "core")).toEqual(options);
  expect(offered(options, "6f")).toEqual([]);
});

it("offers what was typed itself, where anything may be typed and nothing is called so", () => {
  expect(offered(ROLES, "mysql", true)).toEqual([{ value: "mysql", note: "as typed" }]);
  expect(offered(ROLES, "web", true)).toEqual([{ value: "web" }]);
  expect(offered(ROLES, "  ", true)).toHaveLength(4);
});

it("offers at most fifty", () => {
  const many = Array.from({ length: 80 }, (_, index) => ({ value: `role-${index}` }));
  expect(offered(many, "role")).toHaveLength(50);
});

it("moves round the ends", () => {
  expect(moved(0, -1, 3)).toBe(2);
  expect(moved(2, 1, 3)).toBe(0);
  expect(moved(0, 1, 0)).toBe(0);
});
