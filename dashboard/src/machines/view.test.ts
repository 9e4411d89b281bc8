import { describe, expect, it } from "vitest";
import { machine } from "../fixtures";
import { ALL, isFiltered, listPath, mayBeIn, readView, writeView, type View } from "./view";
import { dropView, GIVEN, keepView, keptViews, nameOf } from "./views";

const NOW = Date.parse("2026-11-22T12:00:00Z");

const SOME: View = {
  search: "  dell 52:54 ",
  states: ["Installing", "Failed"],
  roles: ["web"],
  meshes: ["core", ""],
  status: "offline",
  sort: "mesh",
  descending: true,
};

describe("a view", () => {
  it("comes back from its address as it was", () => {
    for (const view of [ALL, SOME, { ...ALL, sort: "roles" as const }, { ...ALL, meshes: [""] }]) {
      expect(readView(new URLSearchParams(writeView(view).toString()))).toEqual(view);
    }
    expect(writeView(ALL).toString()).toBe("");
  });

  it("leaves out of an address what is no view's", () => {
    expect(readView(new URLSearchParams("state=Nonsense&status=maybe&sort=serial&order=up&x=1&role=a&role=a"))).toEqual({
      ...ALL,
      roles: ["a"],
    });
  });

  it("is asked for by indexes of the server, in the order of people's names", () => {
    const asked = new URLSearchParams(listPath(SOME, { after: "W10", offset: 200, limit: 100 }).split("?")[1]);
    expect(asked.get("q")).toBe("dell 52:54");
    expect(asked.get("ProvisionState")).toBe("In(Installing,Failed)");
    expect(asked.get("Roles")).toBe("In(web)");
    expect(asked.get("MeshNetwork")).toBe("In(core,)");
    expect(asked.get("Online")).toBe("false");
    expect(asked.get("sort")).toBe("MeshNetwork,NaturalName");
    expect([asked.get("reverse"), asked.get("after"), asked.get("offset"), asked.get("limit")]).toEqual(["true", "W10", "200", "100"]);
    const plain = listPath(ALL, { after: null, offset: 0, limit: 100 });
    for (const word of ["q=", "In(", "Online", "reverse", "after", "offset"]) expect(plain).not.toContain(word);
    expect(plain).toContain("slim=Inventory");
  });

  it("has machines in it by what rows show of them", () => {
    const online = { ...machine(), Online: true, LastSeenAt: "2026-11-22T11:59:30Z" };
    const rows = (part: Partial<View>, now = NOW) => mayBeIn({ ...ALL, ...part }, online, now);
    expect(rows({})).toBe(true);
    expect(rows({ states: ["Failed"] })).toBe(false);
    expect(rows({ meshes: [""] })).toBe(true);
    expect(rows({ roles: ["nobody"] })).toBe(false);
    expect(rows({ status: "online" })).toBe(true);
    expect(rows({ status: "online" }, NOW + 30_000)).toBe(false);
    expect([ALL, { ...ALL, search: "  " }, { ...ALL, sort: "mesh" as const }, SOME].map(isFiltered)).toEqual([false, false, false, true]);
  });
});

describe("named views", () => {
  const storage = () => {
    const kept = new Map<string, string>();
    return {
      getItem: (key: string) => kept.get(key) ?? null,
      setItem: (key: string, value: string) => void kept.set(key, value),
      removeItem: (key: string) => void kept.delete(key),
      clear: () => kept.clear(),
      key: () => null,
      length: 0,
    };
  };

  it("are kept, found by what they show, replaced and forgotten", () => {
    const place = storage();
    expect(nameOf(SOME, keptViews(place))).toBeNull();
    keepView(place, "Rack 7", SOME);
    expect(nameOf(SOME, keptViews(place))).toBe("Rack 7");
    keepView(place, "Rack 7", { ...ALL, search: "r7" });
    expect(keptViews(place)).toEqual([{ name: "Rack 7", query: "q=r7" }]);
    expect(dropView(place, "Rack 7")).toEqual([]);
  });

  it("that come with the page are views", () => {
    for (const { name, query } of GIVEN) {
      const view = readView(new URLSearchParams(query));
      expect(nameOf(view, [])).toBe(name);
      expect(isFiltered(view)).toBe(name !== "All machines");
    }
  });

  it("that are damaged are passed over", () => {
    const place = storage();
    for (const text of ["{", "7", '[{"name":1,"query":"x"},null,{"name":"a","query":"q=1"}]']) {
      place.setItem("muster.machines.views", text);
      expect(keptViews(place).length).toBe(text.length > 10 ? 1 : 0);
    }
  });
});
