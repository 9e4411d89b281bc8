// Changes as patches, and changes that meet.
import { describe, expect, it } from "vitest";
import { decided, draftOf, isChanged, operations, pointer, rebased } from "./change";
import type { Obj } from "./json";

const ROLE: Obj = {
  Name: "web",
  Description: "",
  Params: { "muster/image": "debian-12", "muster/merge-priority": 20 },
  Profiles: ["base"],
  LastModifiedAt: "2026-01-01T00:00:00Z",
  Available: true,
};

function edited(fields: Obj, object: Obj = ROLE) {
  const draft = draftOf(object);
  return { ...draft, wanted: { ...draft.wanted, ...fields } };
}

describe("a change as a patch", () => {
  it("is empty for what only the server sets, and for the same in another order", () => {
    const params = { "muster/merge-priority": 20, "muster/image": "debian-12" };
    expect(isChanged(edited({ Params: params }))).toBe(false);
    expect(operations(edited({ Params: params }))).toEqual([]);
    expect(isChanged(edited({ Description: "x" }))).toBe(true);
  });

  it("tests each field that it changes, and nothing else", () => {
    expect(operations(edited({ Description: "serves" }))).toEqual([
      { op: "test", path: "/Description", value: "" },
      { op: "add", path: "/Description", value: "serves" },
    ]);
  });

  it("changes params one by one", () => {
    const params = { "muster/image": "debian-13", "muster/merge-priority": 20 };
    expect(operations(edited({ Params: params }))).toEqual([
      { op: "test", path: "/Params/muster~1image", value: "debian-12" },
      { op: "add", path: "/Params/muster~1image", value: "debian-13" },
    ]);
  });

  it("tests all params when it adds or removes some", () => {
    const steps = operations(edited({ Params: { "muster/image": "debian-12", "a~b": 1 } }));
    expect(steps[0]).toEqual({ op: "test", path: "/Params", value: ROLE["Params"] });
    expect(steps.slice(1)).toEqual([
      { op: "remove", path: "/Params/muster~1merge-priority" },
      { op: "add", path: "/Params/a~0b", value: 1 },
    ]);
  });

  it("does not test what is never shown", () => {
    const secret = { Name: "DB", Value: "", HasValue: true };
    expect(operations(edited({ Value: "hunter2" }, secret), ["Value"])).toEqual([
      { op: "add", path: "/Value", value: "hunter2" },
    ]);
  });

  it("escapes names in its paths", () => {
    expect(pointer("Params", "a/b~c")).toBe("/Params/a~1b~0c");
  });
});

describe("an object that changes while it is edited", () => {
  it("is followed where the operator changed nothing", () => {
    const next = rebased(edited({ Description: "mine" }), { ...ROLE, Profiles: ["base", "ssh"] });
    expect(next.wanted["Profiles"]).toEqual(["base", "ssh"]);
    expect(next.wanted["Description"]).toBe("mine");
    expect(next.conflicts).toEqual([]);
  });

  it("is merged param by param", () => {
    const mine = edited({ Params: { "muster/image": "debian-13", "muster/merge-priority": 20 } });
    const next = rebased(mine, { ...ROLE, Params: { "muster/image": "debian-12", "muster/merge-priority": 50 } });
    expect(next.wanted["Params"]).toEqual({ "muster/image": "debian-13", "muster/merge-priority": 50 });
    expect(next.conflicts).toEqual([]);
  });

  it("conflicts where both changed the same, until somebody decides", () => {
    const next = rebased(edited({ Description: "mine" }), { ...ROLE, Description: "theirs" });
    expect(next.conflicts).toEqual(["Description"]);
    const mine = decided(next, "Description", "mine");
    expect(mine.conflicts).toEqual([]);
    expect(operations(mine)).toEqual([
      { op: "test", path: "/Description", value: "theirs" },
      { op: "add", path: "/Description", value: "mine" },
    ]);
    const theirs = decided(next, "Description", "theirs");
    expect(isChanged(theirs)).toBe(false);
  });

  it("keeps a conflict open when the object changes again, and ends it when both agree", () => {
    const first = rebased(edited({ Description: "mine" }), { ...ROLE, Description: "theirs" });
    const second = rebased(first, { ...ROLE, Description: "theirs", Profiles: [] });
    expect(second.conflicts).toEqual(["Description"]);
    expect(rebased(second, { ...ROLE, Description: "mine" }).conflicts).toEqual([]);
  });
});
