// What limits a token as it is typed, and as the server is told.
import { expect, it } from "vitest";
import { asTerms, countLimits, limitProblems, NO_LIMITS } from "./limits";

it("nothing typed limits nothing", () => {
  expect(asTerms(NO_LIMITS)).toEqual({});
  expect(limitProblems(NO_LIMITS)).toEqual({});
});

it("lists are read by commas and lines, and by blanks where no entry has any", () => {
  const limits = { ...NO_LIMITS, networks: "10.20.0.0/16, fd00:20::/64\n192.168.7.0/24 ", serials: "AB 12, CD-34", uses: 5 };
  expect(asTerms(limits)).toEqual({
    Cidr: ["10.20.0.0/16", "fd00:20::/64", "192.168.7.0/24"],
    Serial: ["AB 12", "CD-34"],
    MaxUses: 5,
  });
  expect(limitProblems(limits)).toEqual({});
  expect(countLimits(limits)).toBe(3);
});

it("roles and mesh network are left to whoever approves", () => {
  const limits = { ...NO_LIMITS, roles: ["web"], mesh: "edge" };
  expect(asTerms(limits)).toEqual({ Roles: ["web"], MeshNetwork: "edge" });
  expect(asTerms({ ...limits, approval: true })).toEqual({ RequireApproval: true });
});

it("what the server would refuse is said at its field", () => {
  for (const [field, text] of [
    ["networks", "10.20.0.0"],
    ["networks", "10.20.0.0/33"],
    ["networks", "10.20.0.256/24"],
    ["networks", "fd00::/129"],
    ["networks", "home/8"],
    ["macs", "52:54:00:12:34"],
    ["serials", "\u00fc1"],
    ["uuids", "4c4c4544-0058-4b10-8032"],
  ] as const) {
    expect(Object.keys(limitProblems({ ...NO_LIMITS, [field]: text })), text).toEqual([field]);
  }
  expect(limitProblems({ ...NO_LIMITS, networks: "10.0.0.0/8 x" }).networks).toContain("\u201cx\u201d");
  expect(limitProblems({ ...NO_LIMITS, uses: 0 }).uses).toMatch(/One machine at least/);
  const many = Array.from({ length: 65 }, (_, index) => `S${index}`).join(",");
  expect(limitProblems({ ...NO_LIMITS, serials: many }).serials).toBe("At most 64; these are 65.");
});
