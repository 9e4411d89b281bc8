// What the map of a mesh network shows: its members while they are few; else the relays, those with trouble, and
// the others by role. And how the pairs stand. Pure.
import { standingOf, type Standing } from "./peers";
import type { MeshEdge, MeshMap, MeshMember } from "./wire";

/** Most members that are drawn one by one. */
export const FEW = 60;
/** Most members up to which all have tunnels with each other (`FULL_MESH` of `protocol/src/mesh.rs`). */
export const FULL_MESH = 250;
/** Most that are drawn of each sort where there are more members; together they are not more than `FEW`. */
const MOST = { relays: 12, troubled: 24, groups: 24 } as const;

const NUMBERS = new Intl.NumberFormat();

/** How many pairs stand in each way. */
export type Tally = Readonly<Record<Standing, number>>;

function none(): Record<Standing, number> {
  return { direct: 0, relayed: 0, unmet: 0, away: 0 };
}

/** Something that is drawn at one place: a member, or several. */
export interface Spot {
  /** What tells it from the others. */
  id: string;
  name: string;
  /** Places of its members in the list. */
  members: readonly number[];
  kind: "member" | "relay" | "group";
  /** How many of them are online. */
  online: number;
  /** How many of them have trouble. */
  troubled: number;
  /** Pairs within. */
  within: Tally;
}

/** The pairs between two spots that stand in one way. */
export interface Line {
  from: number;
  to: number;
  standing: Standing;
  pairs: number;
}

/** The map, before it has a place on the screen. */
export interface Graph {
  spots: readonly Spot[];
  lines: readonly Line[];
  /** The spot of the relay in use. */
  relay: number | null;
  grouped: boolean;
  /** All pairs that have a tunnel or try one. */
  all: Tally;
}

/** How the pair of an edge stands. */
export function standingAt(map: MeshMap, edge: MeshEdge): Standing {
  const there = map.Members[edge.From]?.Online === true && map.Members[edge.To]?.Online === true;
  return standingOf({ way: edge.Way, up: edge.Up, there, relay: map.Relay !== null });
}

/** How many of a member's tunnels have a session, and how many it has in all. */
export interface Tunnels {
  up: number;
  possible: number;
}

/** The tunnels of every member, by its place in the list. */
export function tunnels(map: MeshMap): Tunnels[] {
  const found = map.Members.map(() => ({ up: 0, possible: 0 }));
  for (const edge of map.Edges) {
    for (const end of [found[edge.From], found[edge.To]]) {
      if (end === undefined) continue;
      end.possible += 1;
      if (edge.Up) end.up += 1;
    }
  }
  return found;
}

/** The graph of a network. */
export function graphOf(map: MeshMap): Graph {
  const unmet = unmetOf(map);
  const sets = map.Members.length <= FEW ? map.Members.map((_, index) => single(map, index)) : gathered(map, unmet);
  const ordered = [...sets].sort((a, b) => rank(map, a) - rank(map, b));
  const spotOf = new Map(ordered.flatMap(({ members }, spot) => members.map((member) => [member, spot] as const)));
  const { lines, within, all } = drawn(map, spotOf);
  const spots = ordered.map((set, index) => ({
    ...set,
    online: set.members.filter((member) => map.Members[member]?.Online === true).length,
    troubled: set.members.filter((member) => isTroubled(map, member, unmet)).length,
    within: within.get(index) ?? none(),
  }));
  const relay = map.Members.findIndex(({ Machine }) => Machine === map.Relay);
  return { spots, lines, relay: relay < 0 ? null : (spotOf.get(relay) ?? null), grouped: map.Members.length > FEW, all };
}

type Gathering = Pick<Spot, "id" | "name" | "members" | "kind">;

function single(map: MeshMap, index: number): Gathering {
  const member = map.Members[index];
  return { id: member?.Machine ?? "", name: member?.Name ?? "", members: [index], kind: member?.Relay === true ? "relay" : "member" };
}

/** How many unmet pairs each member is in. */
function unmetOf(map: MeshMap): number[] {
  const found = map.Members.map(() => 0);
  for (const edge of map.Edges) {
    if (standingAt(map, edge) !== "unmet") continue;
    for (const end of [edge.From, edge.To]) found[end] = (found[end] ?? 0) + 1;
  }
  return found;
}

function isTroubled(map: MeshMap, index: number, unmet: readonly number[]): boolean {
  const member = map.Members[index];
  return member?.Online === true && (member.Error !== "" || (unmet[index] ?? 0) > 0);
}

/** Relays and those with trouble by themselves, the others by their first role. */
function gathered(map: MeshMap, unmet: readonly number[]): Gathering[] {
  const all = map.Members.map((_, index) => index);
  const inUse = (index: number) => (map.Members[index]?.Machine === map.Relay ? 0 : 1);
  const relays = all
    .filter((index) => map.Members[index]?.Relay === true || inUse(index) === 0)
    .sort((a, b) => inUse(a) - inUse(b))
    .slice(0, MOST.relays);
  const troubled = all
    .filter((index) => isTroubled(map, index, unmet) && !relays.includes(index))
    .sort((a, b) => (unmet[b] ?? 0) - (unmet[a] ?? 0))
    .slice(0, MOST.troubled);
  const alone = new Set([...relays, ...troubled]);
  return [...[...alone].map((index) => single(map, index)), ...byRole(map.Members, all.filter((index) => !alone.has(index)))];
}

function byRole(members: readonly MeshMember[], rest: readonly number[]): Gathering[] {
  const groups = new Map<string, number[]>();
  for (const index of rest) {
    const role = members[index]?.Roles[0] ?? "";
    const known = groups.get(role);
    if (known === undefined) groups.set(role, [index]);
    else known.push(index);
  }
  const sorted = [...groups].sort(([, a], [, b]) => b.length - a.length);
  const shown = sorted.slice(0, sorted.length <= MOST.groups ? MOST.groups : MOST.groups - 1);
  const others = sorted.slice(shown.length).flatMap(([, indexes]) => indexes);
  // By name, so that none changes its place when another one grows.
  const named = shown.sort(([a], [b]) => a.localeCompare(b)).map(([role, indexes]) => ({ id: `role ${role}`, name: role === "" ? "no role" : role, members: indexes, kind: "group" as const }));
  return others.length === 0 ? named : [...named, { id: "others", name: "other roles", members: others, kind: "group" }];
}

/** The relay in use first, other relays, members, then groups; each sort keeps the order of names. */
function rank(map: MeshMap, { id, kind }: Gathering): number {
  if (id === map.Relay) return 0;
  return { relay: 1, member: 2, group: 3 }[kind];
}

/** The pairs between spots, those within one, and all of them. */
function drawn(map: MeshMap, spotOf: ReadonlyMap<number, number>) {
  const lines = new Map<string, { from: number; to: number; standing: Standing; pairs: number }>();
  const within = new Map<number, Record<Standing, number>>();
  const all = none();
  for (const edge of map.Edges) {
    const [one, other] = [spotOf.get(edge.From), spotOf.get(edge.To)];
    if (one === undefined || other === undefined) continue;
    const standing = standingAt(map, edge);
    all[standing] += 1;
    if (one === other) {
      const tally = within.get(one) ?? none();
      tally[standing] += 1;
      within.set(one, tally);
      continue;
    }
    const [from, to] = one < other ? [one, other] : [other, one];
    const key = `${from} ${to} ${standing}`;
    const line = lines.get(key) ?? { from, to, standing, pairs: 0 };
    line.pairs += 1;
    lines.set(key, line);
  }
  return { lines: [...lines.values()], within, all };
}

/** The whole map in a few sentences. */
export function summary(map: MeshMap, { all }: Graph): string {
  const online = map.Members.filter((member) => member.Online).length;
  const relay = map.Members.find(({ Machine }) => Machine === map.Relay)?.Name;
  const pairs = [
    counted(all.direct, "pair has a tunnel", "pairs have a tunnel"),
    all.relayed === 0 ? "" : counted(all.relayed, "goes by the relay", "go by the relay"),
    all.unmet === 0 ? "" : counted(all.unmet, "does not reach each other", "do not reach each other"),
  ];
  const members = `${counted(map.Members.length, "member", "members")}, ${NUMBERS.format(online)} online.`;
  return `${members} ${pairs.filter(Boolean).join(", ")}. ${relay === undefined ? "Nobody relays." : `${relay} relays.`}`;
}

function counted(count: number, one: string, many: string): string {
  return `${NUMBERS.format(count)} ${count === 1 ? one : many}`;
}

/** What is wrong with the network as a whole, and what helps; null for nothing. */
export function advice(map: MeshMap, { all }: Graph): string | null {
  if (map.Relay !== null) return null;
  if (map.Members.length > FULL_MESH) {
    return `In a network of more than ${FULL_MESH} members, those without a role in common reach each other by a relay, and nobody relays. Mark a member that all can reach: in its Configuration, card Network.`;
  }
  if (all.unmet > 0) return "Some members do not reach each other, and nobody relays. Mark a member that all can reach as relay: in its Configuration, card Network.";
  return null;
}
