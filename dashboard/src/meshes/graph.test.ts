// What is drawn of a mesh network: everybody while they are few, and what matters where they are many.
import { describe, expect, test } from "vitest";
import { advice, FEW, graphOf, standingAt, summary, tunnels } from "./graph";
import { placed, SIZE, strokes } from "./layout";
import type { MeshEdge, MeshMap, MeshMember } from "./wire";

function member(number: number, part: Partial<MeshMember> = {}): MeshMember {
  return { Machine: `id-${number}`, Name: `web-${number}`, Roles: [], Addresses: [], Online: true, Key: "key", Relay: false, Endpoints: [], ReportedAt: null, Error: "", ...part };
}

function edge(From: number, To: number, part: Partial<MeshEdge> = {}): MeshEdge {
  return { From, To, Way: "direct", Up: true, HandshakeAt: null, Received: 0, Sent: 0, ...part };
}

/** A network in which all have tunnels with each other. */
function mesh(members: MeshMember[], relay: number | null = null): MeshMap {
  const edges = members.flatMap((_, to) => members.slice(0, to).map((_other, from) => edge(from, to)));
  return { Name: "home", Relay: relay === null ? null : `id-${relay}`, Members: members, Edges: edges };
}

const many = (count: number, part: (number: number) => Partial<MeshMember> = () => ({})) => Array.from({ length: count }, (_, number) => member(number, part(number)));

describe("a small network", () => {
  test("has a spot for each member and a line for each pair, the relay in use first", () => {
    const map = mesh(many(4, (number) => ({ Relay: number === 2 })), 2);
    const graph = graphOf(map);
    expect(graph.spots.map(({ name }) => name)).toEqual(["web-2", "web-0", "web-1", "web-3"]);
    expect([graph.lines.length, graph.relay, graph.grouped]).toEqual([6, 0, false]);
  });

  test("tells of each pair how it stands", () => {
    const map = mesh(many(3, (number) => ({ Online: number !== 2 })), 0);
    expect(map.Edges.map((each) => standingAt(map, each))).toEqual(["direct", "away", "away"]);
    expect(standingAt(map, edge(0, 1, { Way: "relay", Up: false }))).toBe("relayed");
    expect(standingAt(map, edge(0, 1, { Up: false }))).toBe("unmet");
    expect(standingAt({ ...map, Relay: null }, edge(0, 1, { Way: "relay", Up: false }))).toBe("unmet");
  });

  test("is summed up in words", () => {
    const map = mesh(many(4, (number) => ({ Relay: number === 0, Online: number !== 3 })), 0);
    map.Edges[2] = edge(1, 2, { Way: "relay", Up: false });
    expect(summary(map, graphOf(map))).toBe("4 members, 3 online. 2 pairs have a tunnel, 1 goes by the relay. web-0 relays.");
  });

  test("counts the tunnels of each member", () => {
    const map = mesh(many(3));
    map.Edges[0] = edge(0, 1, { Up: false });
    expect(tunnels(map)).toEqual([
      { up: 1, possible: 2 },
      { up: 1, possible: 2 },
      { up: 2, possible: 2 },
    ]);
  });

  test("asks for a relay only where somebody is not reached and nobody relays", () => {
    const sound = mesh(many(3));
    expect(advice(sound, graphOf(sound))).toBeNull();
    const torn = { ...sound, Edges: [edge(0, 1, { Up: false }), edge(0, 2), edge(1, 2)] };
    expect(advice(torn, graphOf(torn))).toMatch(/nobody relays\. Mark a member/);
    const relayed = { ...torn, Relay: "id-2" };
    expect(advice(relayed, graphOf(relayed))).toBeNull();
  });
});

describe("a large network", () => {
  const roles = (number: number) => ({ Roles: [["web", "db", "cache"][number % 3] ?? ""] });

  test("is drawn by role, with relays and those with trouble by themselves", () => {
    const members = many(90, (number) => ({ ...roles(number), Relay: number === 0, Error: number === 7 ? "the kernel has no WireGuard" : "" }));
    const graph = graphOf(mesh(members, 0));
    expect(graph.spots.map(({ name, kind, members: of }) => [name, kind, of.length])).toEqual([
      ["web-0", "relay", 1],
      ["web-7", "member", 1],
      ["cache", "group", 30],
      ["db", "group", 29],
      ["web", "group", 29],
    ]);
    expect(graph.spots[2]?.within.direct).toBe((30 * 29) / 2);
    expect(graph.lines.find(({ from, to }) => from === 3 && to === 4)?.pairs).toBe(29 * 29);
  });

  test("never has more spots than can be read, whatever its roles", () => {
    const members = many(1_000, (number) => ({ Roles: [`role-${number % 400}`], Relay: number < 40, Error: number % 5 === 0 ? "no" : "" }));
    const graph = graphOf({ Name: "home", Relay: "id-3", Members: members, Edges: [] });
    expect(graph.spots.length).toBeLessThanOrEqual(FEW);
    expect(graph.spots.flatMap(({ members: of }) => of).length).toBe(1_000);
    expect(graph.spots[0]?.id).toBe("id-3");
    expect(graph.spots.at(-1)?.name).toBe("other roles");
  });

  test("shows each way between two spots by itself", () => {
    const map = mesh(many(70, (number) => ({ Roles: [number < 35 ? "web" : "db"] })), null);
    map.Edges = [edge(0, 40), edge(1, 41, { Way: "relay", Up: false }), edge(2, 42)];
    map.Relay = "id-69";
    const graph = graphOf(map);
    expect(graph.lines.map(({ standing, pairs }) => [standing, pairs])).toEqual([
      ["direct", 2],
      ["relayed", 1],
    ]);
  });

  test("of more than 250 members needs a relay in any case", () => {
    const map = { ...mesh([]), Members: many(251) };
    expect(advice(map, graphOf(map))).toMatch(/more than 250 members/);
  });

  test("of 250 members with all their tunnels is drawn within a moment", () => {
    const map = mesh(many(250, roles), 3);
    const began = performance.now();
    const graph = graphOf(map);
    strokes(graph, placed(graph), null);
    expect(map.Edges.length).toBe(31_125);
    expect(performance.now() - began).toBeLessThan(1_000);
  });
});

describe("the drawing", () => {
  test("keeps every spot within, and the relay in use at the top", () => {
    for (const count of [1, 2, 3, 16, 17, 60]) {
      const places = placed(graphOf(mesh(many(count, (number) => ({ Relay: number === 0 })), 0)));
      for (const { x, y, r } of places) {
        expect(Math.min(x, y) - r).toBeGreaterThan(100);
        expect(Math.max(x, y) + r).toBeLessThan(SIZE - 100);
      }
      expect(places[0]?.y).toBe(Math.min(...places.map(({ y }) => y)));
    }
  });

  test("keeps spots apart", () => {
    const places = placed(graphOf(mesh(many(60))));
    const [one, two] = places;
    if (one === undefined || two === undefined) throw new Error("nothing is drawn");
    expect(Math.hypot(one.x - two.x, one.y - two.y)).toBeGreaterThan(one.r + two.r);
  });

  test("takes relayed pairs through the relay", () => {
    const map = mesh(many(4, (number) => ({ Relay: number === 0 })), 0);
    map.Edges = [edge(1, 2, { Way: "relay", Up: false })];
    const graph = graphOf(map);
    const places = placed(graph);
    const [stroke] = strokes(graph, places, null);
    const [ax = 0, ay = 0, cx = 0, cy = 0, bx = 0, by = 0] = (stroke?.d.match(/-?[\d.]+/g) ?? []).map(Number);
    const middle = { x: (ax + 2 * cx + bx) / 4, y: (ay + 2 * cy + by) / 4 };
    expect(middle.x).toBeCloseTo(places[0]?.x ?? 0, 0);
    expect(middle.y).toBeCloseTo(places[0]?.y ?? 0, 0);
    expect(stroke?.standing).toBe("relayed");
  });

  test("leaves out what all names end in, unless they were the same then", () => {
    const names = (...of: string[]) => placed(graphOf(mesh(of.map((Name, number) => member(number, { Name }))))).map(({ label }) => label.text);
    expect(names("web-1.dc1.example", "web-2.dc1.example")).toEqual(["web-1", "web-2"]);
    expect(names("web.dc1.org", "web.dc2.org")).toEqual(["web.dc1.org", "web.dc2.org"]);
    expect(names("a-machine-with-a-long-name")).toEqual(["a-machine-wit\u2026"]);
  });

  test("writes no name upside down", () => {
    for (const { label } of placed(graphOf(mesh(many(60))))) {
      expect(Math.cos((label.turn * Math.PI) / 180)).toBeGreaterThanOrEqual(-0.001);
    }
  });

  test("tells the lines of the spot that is looked at from the others", () => {
    const graph = graphOf(mesh(many(4)));
    const parts = strokes(graph, placed(graph), 1).map(({ near, d }) => [near, d.split("M").length - 1]);
    expect(parts).toEqual([
      [false, 3],
      [true, 3],
    ]);
  });
});
