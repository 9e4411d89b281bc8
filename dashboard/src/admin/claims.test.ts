// Rights: how they are kept, told, and completed.
import { expect, it } from "vitest";
import { actionsIn, claimWords, missing, NEW_CLAIM, scopesOf, tidy } from "./claims";

const SCOPES = { machines: { get: {}, list: {} }, bootstrap: { approve: {}, list: {} } };

it("lists are kept without blanks, holes and repetitions", () => {
  expect(tidy(" get, list,,get ,")).toBe("get,list");
  expect(tidy(" , ")).toBe("");
});

it("what a right lacks is named", () => {
  expect(missing(NEW_CLAIM)).toEqual(["scope", "action"]);
  expect(missing({ scope: "machines", action: " , ", specific: "*" })).toEqual(["action"]);
  expect(missing({ scope: "*", action: "*", specific: "*" })).toEqual([]);
});

it("a right is told in words", () => {
  expect(claimWords({ scope: "*", action: "*", specific: "*" })).toBe("everything");
  expect(claimWords({ scope: "machines", action: "get,list", specific: "*" })).toBe("machines: get, list");
  expect(claimWords({ scope: "*", action: "get", specific: "a, b" })).toBe("everywhere: get (a, b only)");
});

it("what is offered comes from the server's scopes", () => {
  expect(scopesOf(SCOPES)).toEqual(["*", "bootstrap", "machines"]);
  expect(actionsIn(SCOPES, "machines")).toEqual(["*", "get", "list"]);
  expect(actionsIn(SCOPES, "machines, bootstrap")).toEqual(["*", "approve", "get", "list"]);
  expect(actionsIn(SCOPES, "*")).toEqual(["*", "approve", "get", "list"]);
  expect(actionsIn(SCOPES, "nothing")).toEqual(["*"]);
});
