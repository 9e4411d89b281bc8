// What is said of tunnels, and rates between two readings.
import { describe, expect, test } from "vitest";
import { heard, rateOf, rateWords, reached, remarks, type Readings } from "./peers";
import type { MachinePeers, Peer } from "./wire";

function peer(part: Partial<Peer> = {}): Peer {
  return {
    Machine: "2",
    Name: "web-2",
    Addresses: ["10.20.0.2"],
    Online: true,
    Tunnel: true,
    Way: "direct",
    Relay: "",
    HandshakeAt: "2026-03-01T12:00:00Z",
    Up: true,
    Received: 0,
    Sent: 0,
    Endpoint: "192.0.2.7:51820",
    ...part,
  };
}

function told(part: Partial<MachinePeers> = {}): MachinePeers {
  return { MeshNetwork: "home", MeshKey: "key", ReportedAt: "2026-03-01T12:00:00Z", Error: "", Relay: "", Peers: [peer()], ...part };
}

describe("how a peer is reached", () => {
  test.each([
    ["a session is a direct way", peer(), "Direct"],
    ["another way is by the relay, which is named", peer({ Way: "relay", Relay: "gate", Up: false }), "By relay gate"],
    ["a pair that needs no tunnel goes by the relay", peer({ Tunnel: false, Relay: "gate", Up: false, HandshakeAt: null }), "By relay gate"],
    ["who never answered has no tunnel yet", peer({ Up: false, HandshakeAt: null }), "No tunnel yet"],
    ["who answered once and does no more is lost", peer({ Up: false }), "Tunnel lost"],
    ["a relay's way without a relay is none", peer({ Way: "relay", Up: false, HandshakeAt: null }), "No tunnel yet"],
    ["who is offline is not reached", peer({ Online: false, Up: false }), "Offline"],
  ])("%s", (_sentence, given, words) => {
    expect(reached(given, true).words).toBe(words);
  });

  test("nobody is reached from a machine that is offline", () => {
    expect(reached(peer(), false).standing).toBe("away");
  });
});

describe("what is said above the table", () => {
  const db = { Name: "db-07" };
  const texts = (online: boolean, part: Partial<MachinePeers>) => remarks(db, online, told(part)).map(({ text }) => text);

  test("nothing where everybody is reached", () => {
    expect(texts(true, {})).toEqual([]);
  });

  test("a kernel without WireGuard is named, with what helps", () => {
    const [text, ...more] = texts(true, { Error: "the kernel has no WireGuard", MeshKey: "" });
    expect(text).toBe("db-07 has no tunnels: the kernel has no WireGuard. Boot a kernel with WireGuard (Linux has it since 5.6): it joins by itself then.");
    expect(more).toEqual([]);
  });

  test("somebody who is not reached where nobody relays leads to the card Network", () => {
    const lost = peer({ Up: false, HandshakeAt: null });
    expect(texts(true, { Peers: [lost] })[0]).toMatch(/^It does not reach web-2, and nobody relays\..*card Network\.$/);
    expect(texts(true, { Peers: [lost, peer({ ...lost, Machine: "3" })] })[0]).toMatch(/^It does not reach 2 members that are online/);
    expect(texts(true, { Peers: [lost], Relay: "gate" })).toEqual([]);
  });

  test("a machine that is offline, or has not told its key, is said to be so", () => {
    expect(texts(false, {})[0]).toMatch(/^db-07 is offline/);
    expect(texts(true, { MeshKey: "", Peers: [] })[0]).toMatch(/^It has not told its key yet/);
  });
});

describe("rates", () => {
  const at = (ReportedAt: string, Received: number, Sent: number) => told({ ReportedAt, Peers: [peer({ Received, Sent })] });
  const after = (...all: MachinePeers[]) => all.reduce<Readings | null>(heard, null);
  const rate = (readings: Readings | null) => {
    const [first] = readings?.last.Peers ?? [];
    if (readings === null || first === undefined) throw new Error("nothing was read");
    return rateOf(first, readings);
  };

  test("come of two reports of the machine, by its server's clock", () => {
    expect(rate(after(at("2026-03-01T12:00:00Z", 1_000, 0), at("2026-03-01T12:00:20Z", 21_000, 4_000)))).toEqual({ received: 1_000, sent: 200 });
  });

  test("are not there before the second report, however often is asked", () => {
    const first = at("2026-03-01T12:00:00Z", 1_000, 0);
    expect(rate(after(first))).toBeNull();
    expect(rate(after(first, first))).toBeNull();
  });

  test("stay while the same report is answered again", () => {
    const second = at("2026-03-01T12:00:20Z", 21_000, 4_000);
    expect(rate(after(at("2026-03-01T12:00:00Z", 1_000, 0), second, second))).toEqual({ received: 1_000, sent: 200 });
  });

  test("are not made of counters that began anew", () => {
    expect(rate(after(at("2026-03-01T12:00:00Z", 9_000, 9_000), at("2026-03-01T12:00:20Z", 10, 10)))).toBeNull();
  });

  test("are told in units that people read", () => {
    expect([0, 512, 1_572_864].map(rateWords)).toEqual(["0 B/s", "512 B/s", "1.5 MiB/s"]);
  });
});
