// What the tabs of a machine's page decide: changes in words, rules for disks, complaints, values of params.
import { describe, expect, it } from "vitest";
import { disk } from "../../fixtures";
import { choiceOf, OTHER, ruleChoices } from "./diskRule";
import { contentsInShort, diskInWords, held, isEmpty, stableName } from "./disks";
import { changes, complaint, inWords, sourceInWords, sourcePath } from "./draft";
import { effective, isOwn, others } from "./values";
import { seedProblem } from "./seed";

const EMPTY = { Table: "", Filesystem: "", Label: "", Partitions: [], Error: "" };

describe("changes in words", () => {
  const seen = { Name: "db-07", Description: "", Locked: false, Roles: ["web"], MeshNetwork: "", Params: { "muster/network": "dhcp" } };

  it("name the setting, what it was and what it will be", () => {
    const wanted = { ...seen, Roles: ["web", "db"], Locked: true, Params: { "muster/inject-agent": false, "site/rack": { row: 3 } } };
    expect(changes({ seen, wanted, conflicts: [] })).toEqual([
      { what: "Locked", before: "no", after: "yes" },
      { what: "Roles", before: "web", after: "web, db" },
      { what: "Network of the installed system", before: "dhcp", after: "not set here" },
      { what: "Install the agent", before: "not set here", after: "no" },
      { what: "site/rack", before: "not set here", after: "row 3" },
    ]);
    expect(changes({ seen, wanted: seen, conflicts: [] })).toEqual([]);
  });

  it("show every kind of value", () => {
    expect([null, "", [], ["a", 1], {}, { Pick: "only" }, 7].map((value) => inWords(value))).toEqual([
      "nothing",
      "nothing",
      "none",
      "a, 1",
      "nothing",
      "Pick only",
      "7",
    ]);
  });
});

describe("who says something", () => {
  it("is named and linked", () => {
    const source = (Kind: "machine" | "role" | "profile" | "preference", Name: string) => ({ Kind, Name, Value: null, Cut: 0 });
    expect(sourceInWords(source("role", "web"))).toBe("role web");
    expect(sourceInWords(source("profile", "global"))).toBe("the profile global");
    expect(sourcePath(source("profile", "site/a b"))).toBe("/profiles/site%2Fa%20b");
    expect(sourcePath(source("machine", ""))).toBeNull();
    expect(sourcePath(source("preference", "defaultImage"))).toBe("/settings");
  });

  it("stands beside the complaint, so that it is not said again", () => {
    expect(complaint("param muster/network of role web: vlan=9999 must be 1 to 4094")).toBe("vlan=9999 must be 1 to 4094");
    expect(complaint("no image is chosen for machine a")).toBe("no image is chosen for machine a");
  });
});

describe("the rule for the system disk", () => {
  const disks = [disk(), disk({ Serial: "", Wwn: "0x5", Model: "" }), disk({ Serial: "", Wwn: "", ById: [] }), disk({ Removable: true })];

  it("offers each fixed disk by a name that stays, and the ways to pick one", () => {
    expect(ruleChoices(disks).map(({ value }) => value)).toEqual([
      "Serial:2140B9D0",
      "Wwn:0x5",
      "only",
      "smallest",
      "largest",
      "first-nvme",
    ]);
    expect(stableName(disk({ Serial: "", Wwn: "" }))).toEqual({ field: "ById", value: "ata-Micron_5300_2140B9D0" });
    expect(diskInWords(disk())).toBe("Micron 5300, 480 GB (2140B9D0)");
  });

  it("is found again in the list, and kept when it is none of it", () => {
    const choices = ruleChoices(disks);
    expect(choiceOf(undefined, choices)).toBe("");
    expect(choiceOf({ Serial: "2140B9D0" }, choices)).toBe("Serial:2140B9D0");
    expect(choiceOf({ Pick: "largest" }, choices)).toBe("largest");
    expect(choiceOf({ Model: "PM9A3", Pick: "largest" }, choices)).toBe(OTHER);
    expect(choiceOf("nonsense", choices)).toBe(OTHER);
  });
});

describe("what is on a disk", () => {
  const partition = { Number: 2, Size: 10_000_000_000, Name: "root", Filesystem: "ext4", Label: "", Used: 2_000_000_000, LastMounted: "/" };

  it("is told part by part", () => {
    const full = disk({ Contents: { ...EMPTY, Table: "gpt", Partitions: [partition, { ...partition, Number: 3, Filesystem: "" }] } });
    expect(contentsInShort(full.Contents)).toBe("GPT, 2 partitions");
    expect(held(full).map(({ on, what, label }) => [on, what, label])).toEqual([
      ["part 2", "ext4", "root"],
      ["part 3", "not recognised", "root"],
    ]);
  });

  it("is never called empty when it could not be read", () => {
    expect(isEmpty(EMPTY)).toBe(true);
    expect(contentsInShort(EMPTY)).toBe("empty");
    expect(isEmpty({ ...EMPTY, Error: "cannot be read" })).toBe(false);
    expect(isEmpty({ ...EMPTY, Filesystem: "xfs" })).toBe(false);
    expect(contentsInShort({ ...EMPTY, Error: "cannot be read" })).toBe("cannot be read");
  });
});

describe("what is wrong with a configuration", () => {
  it("names role and line", () => {
    expect(seedProblem('template "role web", line 2: .secrets.x: secret x does not exist')).toEqual({
      role: "web",
      line: 2,
      text: ".secrets.x: secret x does not exist.",
    });
    expect(seedProblem("role base: its rendered template, line 7: the key is there twice")).toEqual({
      role: "base",
      line: 7,
      text: "The key is there twice. (in what the template became)",
    });
    expect(seedProblem("role db needs a mesh network, and machine a is in none")).toMatchObject({ role: "db", line: null });
    expect(seedProblem("param muster/network: there is no link eth9")).toMatchObject({ role: null, line: null });
  });
});

describe("values of params", () => {
  const own = { Kind: "machine", Name: "", Value: 1, Cut: 0 } as const;
  const role = { Kind: "role", Name: "web", Value: 2, Cut: 0 } as const;

  it("come from the first who says something", () => {
    const param = { Name: "site/row", Sources: [own, role] };
    expect(effective(param)).toEqual(own);
    expect(isOwn(param)).toBe(true);
    expect(others(param)).toEqual([role]);
    expect(isOwn({ ...param, Sources: [role] })).toBe(false);
  });
});
