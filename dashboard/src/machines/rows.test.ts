import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Part } from "../api";
import { machine } from "../fixtures";
import { changed } from "../live";
import { PART, RowList } from "./rows";
import { ALL, type Row, type View, type Wanted } from "./view";

const NOW = Date.parse("2026-11-22T12:00:00Z");

/** A server of many machines, which answers when it is told to. */
class Server {
  names: string[];
  asked: Wanted[] = [];
  held: (() => void)[] = [];
  hold = false;

  constructor(count: number) {
    this.names = Array.from({ length: count }, (_, index) => `node-${index}`);
  }

  readonly list = async (view: View, wanted: Wanted): Promise<Part<Row>> => {
    this.asked.push(wanted);
    if (this.hold) await new Promise<void>((go) => this.held.push(go));
    const found = this.names.filter((name) => name.includes(view.search));
    const start = (wanted.after === null ? 0 : found.indexOf(wanted.after) + 1) + wanted.offset;
    const names = found.slice(start, start + wanted.limit);
    const items = names.map((name) => machine({ Uuid: name, Name: name }));
    const next = names.length === wanted.limit ? (names[names.length - 1] ?? null) : null;
    return { items, filtered: found.length, total: this.names.length, next };
  };
}

const settle = () => vi.advanceTimersByTimeAsync(0);

beforeEach(() => void vi.useFakeTimers({ now: NOW }));
afterEach(() => void vi.useRealTimers());

async function shown(server: Server, view: View = ALL): Promise<RowList> {
  const list = new RowList(view, server.list);
  list.show(view);
  await settle();
  return list;
}

describe("rows", () => {
  it("are fetched when they are looked at, each part from where the one before ended", async () => {
    const server = new Server(1_000);
    const list = await shown(server);
    expect([list.get().filtered, list.at(0)?.Name, list.at(PART)]).toEqual([1_000, "node-0", undefined]);
    list.look(90, 130);
    await settle();
    expect(list.at(PART)?.Name).toBe(`node-${PART}`);
    list.look(850, 890);
    await settle();
    expect(list.at(850)?.Name).toBe("node-850");
    expect(server.asked.map(({ after, offset }) => [after, offset])).toEqual([
      [null, 0],
      ["node-99", 0],
      [null, 800],
    ]);
  });

  it("of another view take the place of those that are here when they come", async () => {
    const server = new Server(300);
    const list = await shown(server);
    server.hold = true;
    list.show({ ...ALL, search: "node-29" });
    list.look(0, 30);
    expect([list.at(5)?.Name, list.get().old]).toEqual(["node-5", true]);
    list.show({ ...ALL, search: "node-7" });
    const [late, now] = server.held;
    now?.();
    await settle();
    late?.();
    await settle();
    expect([list.at(0)?.Name, list.get().filtered, list.get().old]).toEqual(["node-7", 11, false]);
  });

  it("change at once and keep their places", async () => {
    const list = await shown(new Server(3));
    list.heed(changed(machine({ Uuid: "node-1", Name: "zebra", ProvisionState: "Failed" })), NOW);
    expect([list.at(1)?.Name, list.at(1)?.ProvisionState, list.at(2)?.Name]).toEqual(["zebra", "Failed", "node-2"]);
  });

  it("go at once, and those behind move up over the parts", async () => {
    const server = new Server(250);
    const list = await shown(server);
    list.look(0, 150);
    await settle();
    list.heed({ ...changed(machine({ Uuid: "node-3" })), Action: "delete" }, NOW);
    expect([list.at(3)?.Name, list.at(99)?.Name, list.at(100)?.Name]).toEqual(["node-4", "node-100", "node-101"]);
    expect([list.get().filtered, list.get().total]).toEqual([249, 249]);
  });

  it("that are new are fetched soon, and thousands of them not each by itself", async () => {
    const server = new Server(2);
    const list = await shown(server);
    server.names.unshift("a-new-one");
    for (let count = 0; count < 1_000; count += 1) list.heed(changed(machine({ Uuid: "x" }), "create"), NOW);
    await vi.advanceTimersByTimeAsync(400);
    expect([list.at(0)?.Name, server.asked.length]).toEqual(["a-new-one", 2]);
    list.heed(changed(machine({ Uuid: "y" }), "create"), NOW);
    await vi.advanceTimersByTimeAsync(1_000);
    expect(server.asked.length).toBe(2);
    await vi.advanceTimersByTimeAsync(1_500);
    expect(server.asked.length).toBe(3);
  });

  it("that nobody looks at are forgotten when the others are fetched again", async () => {
    const server = new Server(1_000);
    const list = await shown(server);
    list.look(850, 890);
    await settle();
    server.asked = [];
    list.refresh();
    await settle();
    expect(server.asked.map(({ offset }) => offset)).toEqual([800]);
    expect([list.at(0), list.at(850)?.Name]).toEqual([undefined, "node-850"]);
    server.names.length = 120;
    list.refresh();
    await settle();
    expect([list.get().filtered, list.at(119)?.Name]).toEqual([120, "node-119"]);
  });

  it("stay when the server does not answer, and say why", async () => {
    const server = new Server(3);
    const list = await shown(server);
    const why = new Error("away");
    const broken = new RowList(ALL, () => Promise.reject(why));
    broken.show(ALL);
    await settle();
    expect(broken.get().error).toBe(why);
    expect(list.get().error).toBeNull();
    list.close();
  });
});
