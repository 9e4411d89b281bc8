// Every kind of audit row that the server writes has words here, and no other.
import { describe, expect, it } from "vitest";
import source from "../../engine/src/change.rs?raw";
import { AUDIT_GROUPS, auditWords, principalWords } from "./audit";

describe("audit rows", () => {
  it("have words for each of the server's kinds, and for no other", () => {
    const list = /pub enum AuditKind \{([^}]*)\}/.exec(source)?.[1] ?? "";
    const kinds = [...list.matchAll(/rename = "([^"]+)"/g)].map((match) => match[1]);
    expect(kinds.length).toBeGreaterThan(30);
    expect(AUDIT_GROUPS.flatMap((group) => Object.keys(group.kinds)).toSorted()).toEqual(kinds.toSorted());
    expect(auditWords("machine.deleted")).toBe("machine deleted");
    expect(auditWords("of.later")).toBe("of.later");
  });

  it("name who did something", () => {
    expect(principalWords("user:ann:b")).toBe("ann:b");
    expect(principalWords("system")).toBe("the server");
    expect(principalWords("machine:u-1")).toBe("machine u-1");
    expect(principalWords("machine:u-1", () => "web-1")).toBe("web-1");
    expect(principalWords("key:Ku6bHTYFWV7wGUDpQL-hgsQ7")).toBe("a machine with the key Ku6bHTYFWV7w\u2026");
  });
});
