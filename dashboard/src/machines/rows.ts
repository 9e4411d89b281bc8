// The rows of the Machines page: the parts of the list that are looked at, fetched when they are, kept as they
// are by events and fetched again at a slow pace. Rows change at once; their order only when they are fetched.
import { api, type Part } from "../api";
import type { Event } from "../wire";
import { mayBeIn, type Row, type View, type Wanted } from "./view";

/** Rows of a part. */
export const PART = 100;
/** Milliseconds from an event that changes which rows there are until they are fetched again. */
const SOON = 300;
/** Milliseconds between two such fetches: thousands of machines may come at once. */
const PACE = 2_000;

/** What is known of the list. */
export interface Rows {
  /** Whose rows these are. */
  view: View;
  /** How many are in the view; null before the first answer. */
  filtered: number | null;
  /** How many machines there are. */
  total: number;
  /** Whether the rows are another view's, until its own are there. */
  old: boolean;
  /** Why the last fetch failed; null when it did not. */
  error: unknown;
  /** Changes with every change of anything. */
  version: number;
}

type Fetch = (view: View, wanted: Wanted) => Promise<Part<Row>>;

/** A list of which only parts are here. */
export class RowList {
  private state: Rows;
  private parts = new Map<number, { rows: Row[]; next: string | null }>();
  private readonly asked = new Set<number>();
  /** Answers to what was asked before it changed count for nothing. */
  private turn = 0;
  private first = 0;
  private end = 1;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private fetched = 0;
  private readonly listeners = new Set<() => void>();

  constructor(
    view: View,
    private readonly fetch: Fetch,
  ) {
    this.state = { view, filtered: null, total: 0, old: false, error: null, version: 0 };
  }

  readonly subscribe = (tell: () => void): (() => void) => {
    this.listeners.add(tell);
    return () => this.listeners.delete(tell);
  };

  readonly get = (): Rows => this.state;

  /** The row at a place; undefined as long as it is not here. */
  at(index: number): Row | undefined {
    return this.parts.get(Math.floor(index / PART))?.rows[index % PART];
  }

  /** The rows that are here, in their order. */
  loaded(): Row[] {
    return [...this.parts.keys()].sort((a, b) => a - b).flatMap((part) => this.parts.get(part)?.rows ?? []);
  }

  /** Shows another view. Its rows take the place of those that are here when they come. */
  show(view: View): void {
    this.turn += 1;
    this.asked.clear();
    this.first = 0;
    this.end = 1;
    this.change({ view, old: true, error: null });
    void this.load(0);
  }

  /** Says which rows are looked at; those that are not here are fetched. */
  look(first: number, end: number): void {
    this.first = first;
    this.end = Math.max(end, first + 1);
    if (this.state.old) return;
    for (const part of this.looked()) if (!this.parts.has(part)) void this.load(part);
  }

  /** Fetches what is looked at once more, and forgets the rest. */
  refresh(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    this.fetched = Date.now();
    this.turn += 1;
    this.asked.clear();
    const looked = this.looked();
    for (const part of this.parts.keys()) if (!looked.includes(part)) this.parts.delete(part);
    // Where each begins is counted anew: rows may have come or gone before them.
    for (const part of this.parts.values()) part.next = null;
    for (const part of looked) void this.load(part);
  }

  /** Heeds an event of a machine. */
  heed(event: Event, now: number): void {
    const known = this.place(event.Key);
    if (event.Action === "delete") {
      if (known === null) return this.refreshSoon();
      this.remove(known);
      return this.refreshSoon();
    }
    const { Object: machine } = event;
    if (!isRow(machine)) return this.refreshSoon();
    if (known !== null) {
      known.rows[known.index] = machine;
      this.change({});
      if (!mayBeIn(this.state.view, machine, now)) this.refreshSoon();
    } else if (event.Action === "create" || mayBeIn(this.state.view, machine, now)) {
      this.refreshSoon();
    }
  }

  /** Stops what is under way. */
  close(): void {
    clearTimeout(this.timer);
    this.turn += 1;
  }

  private looked(): number[] {
    const count = this.state.filtered ?? 1;
    const last = Math.floor(Math.max(0, Math.min(this.end, count) - 1) / PART);
    const first = Math.min(Math.floor(this.first / PART), last);
    return Array.from({ length: last - first + 1 }, (_, index) => first + index);
  }

  private refreshSoon(): void {
    if (this.timer !== undefined) return;
    const wait = Math.max(SOON, this.fetched + PACE - Date.now());
    this.timer = setTimeout(() => this.refresh(), wait);
  }

  private async load(part: number): Promise<void> {
    if (this.asked.has(part)) return;
    this.asked.add(part);
    const { turn } = this;
    const after = this.parts.get(part - 1)?.next ?? null;
    const offset = after === null ? part * PART : 0;
    try {
      const answer = await this.fetch(this.state.view, { after, offset, limit: PART });
      if (turn === this.turn) this.take(part, answer);
    } catch (error) {
      if (turn !== this.turn) return;
      this.asked.delete(part);
      this.change({ error });
    }
  }

  private take(part: number, { items, filtered, total, next }: Part<Row>): void {
    this.asked.delete(part);
    if (this.state.old) this.parts.clear();
    this.parts.set(part, { rows: items, next });
    for (const known of this.parts.keys()) if (known > 0 && known * PART >= filtered) this.parts.delete(known);
    this.change({ filtered, total, old: false, error: null });
    // More may be looked at than there were rows before, and fewer rows than were looked at.
    this.look(this.first, this.end);
  }

  private place(uuid: string): { rows: Row[]; index: number } | null {
    for (const { rows } of this.parts.values()) {
      const index = rows.findIndex((row) => row.Uuid === uuid);
      if (index >= 0) return { rows, index };
    }
    return null;
  }

  private remove({ rows, index }: { rows: Row[]; index: number }): void {
    rows.splice(index, 1);
    // The rows behind move up, from part to part as far as they are here.
    const parts = [...this.parts.entries()].sort(([a], [b]) => a - b);
    const from = parts.findIndex(([, part]) => part.rows === rows);
    for (let at = from; at + 1 < parts.length; at += 1) {
      const [here, behind] = [parts[at], parts[at + 1]];
      if (here === undefined || behind === undefined || behind[0] !== here[0] + 1) break;
      const moved = behind[1].rows.shift();
      if (moved === undefined) break;
      here[1].rows.push(moved);
    }
    const { filtered, total } = this.state;
    this.change({ filtered: Math.max(0, (filtered ?? 1) - 1), total: Math.max(0, total - 1) });
  }

  private change(part: Partial<Rows>): void {
    this.state = { ...this.state, ...part, version: this.state.version + 1 };
    for (const tell of this.listeners) tell();
  }
}

/** Whether an event's object is a machine as rows show it. */
function isRow(value: unknown): value is Row {
  return (
    typeof value === "object" &&
    value !== null &&
    "Uuid" in value &&
    typeof value.Uuid === "string" &&
    "Name" in value &&
    typeof value.Name === "string" &&
    "Roles" in value &&
    Array.isArray(value.Roles) &&
    "ProvisionState" in value &&
    typeof value.ProvisionState === "string"
  );
}

/** Most machines that one selection takes. */
export const MOST_SELECTED = 1_000;

/** All machines of a view, in its order: the first ones, as many as a selection takes. */
export async function allOf(view: View, path: (view: View, wanted: Wanted) => string): Promise<Row[]> {
  const part = await api.list<Row>(path(view, { after: null, offset: 0, limit: MOST_SELECTED }));
  return part.items;
}
