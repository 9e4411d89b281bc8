// Where the spots of a map stand, and the paths of its lines: a circle with the relay in use at the top, so that
// no line between two others goes through it. Pure.
import type { Graph, Line, Spot } from "./graph";
import type { Standing } from "./peers";

/** Width of the drawing, in its own units, and its height where names are turned. */
export const SIZE = 720;
/** Its height where names are level. */
const LOW = 560;
/** Radius of the circle: room for names is left outside. */
const RADIUS = 215;
/** Most spots whose names are written level. */
const LEVEL = 16;
/** Longest name that has room. */
const LONGEST = 14;

/** A point of the drawing. */
interface Point {
  x: number;
  y: number;
}

/** A spot with its place. */
export interface Placed extends Point {
  spot: Spot;
  r: number;
  label: Point & { text: string; anchor: "start" | "middle" | "end"; turn: number };
}

/** Lines of one look, in one path. */
export interface Stroke {
  standing: Standing;
  /** 1 to 4: how many pairs a line stands for. */
  width: number;
  /** Whether it is of the spot that is looked at. */
  near: boolean;
  d: string;
}

/** What of the drawing is shown: `viewBox` of the picture. */
export function frame({ spots }: Graph): string {
  const height = spots.length <= LEVEL ? LOW : SIZE;
  return `0 ${(SIZE - height) / 2} ${SIZE} ${height}`;
}

/** All spots at their places. */
export function placed({ spots, relay, grouped }: Graph): Placed[] {
  const names = shortNames(spots);
  const step = (2 * Math.PI) / Math.max(1, spots.length);
  // The relay in use is the first of the spots, if there is one.
  const start = relay === null && spots.length === 2 ? Math.PI : -Math.PI / 2;
  const room = spots.length < 2 ? RADIUS : (RADIUS * step) / 2;
  return spots.map((spot, index) => {
    const angle = start + index * step;
    const far = spots.length === 1 ? 0 : RADIUS;
    const r = Math.min(radiusOf(spot, grouped), room * 0.9);
    const text = spot.kind === "group" ? `${names[index] ?? ""} (${spot.members.length})` : (names[index] ?? "");
    return { spot, r, ...pointAt(angle, far), label: labelAt(angle, far, r, text, spots.length) };
  });
}

function radiusOf(spot: Spot, grouped: boolean): number {
  if (spot.kind === "group") return Math.min(26, 8 + 2.2 * Math.log2(spot.members.length));
  if (spot.kind === "relay") return 11;
  return grouped ? 6 : 8;
}

function pointAt(angle: number, far: number): Point {
  return { x: rounded(SIZE / 2 + far * Math.cos(angle)), y: rounded(SIZE / 2 + far * Math.sin(angle)) };
}

function rounded(value: number): number {
  return Math.round(value * 10) / 10;
}

function labelAt(angle: number, far: number, r: number, text: string, count: number): Placed["label"] {
  const [right, down] = [Math.cos(angle), Math.sin(angle)];
  if (far === 0) return { x: SIZE / 2, y: SIZE / 2 + r + 20, text, anchor: "middle", turn: 0 };
  if (count <= LEVEL) {
    const { x, y } = pointAt(angle, far + r + 10);
    const anchor = right > 0.3 ? "start" : right < -0.3 ? "end" : "middle";
    return { x, y: rounded(y + (anchor === "middle" ? Math.sign(down) * 8 : 0)), text, anchor, turn: 0 };
  }
  // Along the radius, and never upside down.
  const turn = rounded((angle * 180) / Math.PI);
  const left = right < -0.001;
  return { ...pointAt(angle, far + r + 6), text, anchor: left ? "end" : "start", turn: left ? rounded(turn + 180) : turn };
}

/** Names without what all of them end in, and cut where they are too long. */
function shortNames(spots: readonly Spot[]): string[] {
  const hosts = spots.map(({ name, kind }) => (kind === "group" ? name : (name.split(".")[0] ?? name)));
  const unique = new Set(hosts).size === hosts.length;
  return spots.map(({ name }, index) => cut(unique ? (hosts[index] ?? name) : name));
}

function cut(name: string): string {
  const letters = [...name];
  return letters.length <= LONGEST ? name : `${letters.slice(0, LONGEST - 1).join("")}\u2026`;
}

/** The lines as few paths, the ones that matter most on top. `look`: the spot that is looked at. */
export function strokes({ lines, relay }: Graph, places: readonly Placed[], look: number | null): Stroke[] {
  const found = new Map<string, Stroke>();
  const via = relay === null ? undefined : places[relay];
  for (const line of lines) {
    const width = Math.min(4, 1 + Math.floor(Math.log10(line.pairs)));
    const near = look !== null && (line.from === look || line.to === look);
    const key = `${line.standing} ${width} ${near}`;
    const known = found.get(key);
    const d = pathOf(line, places, via);
    if (known === undefined) found.set(key, { standing: line.standing, width, near, d });
    else known.d += d;
  }
  return [...found.values()].sort((a, b) => Number(a.near) - Number(b.near) || ON_TOP[a.standing] - ON_TOP[b.standing]);
}

const ON_TOP: Readonly<Record<Standing, number>> = { away: 0, direct: 1, relayed: 2, unmet: 3 };

function pathOf({ from, to, standing }: Line, places: readonly Placed[], via: Point | undefined): string {
  const [a, b] = [places[from], places[to]];
  if (a === undefined || b === undefined) return "";
  if (standing !== "relayed" || via === undefined) return `M${a.x} ${a.y}L${b.x} ${b.y}`;
  // Half way along this curve is the relay.
  const [x, y] = [rounded(2 * via.x - (a.x + b.x) / 2), rounded(2 * via.y - (a.y + b.y) / 2)];
  return `M${a.x} ${a.y}Q${x} ${y} ${b.x} ${b.y}`;
}

/** The spot, in words for those who point at it. */
export function spotWords({ name, members, kind, online, troubled, within }: Spot): string {
  if (kind !== "group") return `${name}${kind === "relay" ? ", relay" : ""}, ${online === 1 ? "online" : "offline"}${troubled > 0 ? ", not reached by all" : ""}`;
  const tunnels = within.direct === 0 ? "" : `, ${within.direct} tunnels within`;
  return `${name}: ${members.length} members, ${online} online${troubled > 0 ? `, ${troubled} not reached by all` : ""}${tunnels}`;
}
