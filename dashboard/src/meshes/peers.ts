// How a tunnel stands, in words, and how fast it is used: what the pages of mesh networks say of peers. Pure.
import { memorySize } from "../size";
import type { MachinePeers, Peer, Way } from "./wire";

/** How two members reach each other. `unmet`: both are there, and neither a tunnel nor a relay joins them. */
export type Standing = "direct" | "relayed" | "unmet" | "away";

/** What tells how a pair stands. */
interface Pair {
  way: Way;
  up: boolean;
  /** Both are online. */
  there: boolean;
  /** There is a relay in use. */
  relay: boolean;
}

/** How a pair stands. */
export function standingOf({ way, up, there, relay }: Pair): Standing {
  if (!there) return "away";
  if (up && way === "direct") return "direct";
  return way === "relay" && relay ? "relayed" : "unmet";
}

/** How a peer is reached, in words. */
export interface Reached {
  standing: Standing;
  words: string;
  /** More than fits the table. */
  why: string;
}

/** What words for a pair are made of. */
interface Facts {
  /** The relay in use, or empty. */
  relay: string;
  /** The two have a tunnel of their own, or try one. */
  tunnel: boolean;
  /** They had a handshake once. */
  before: boolean;
}

/** How a pair stands, in words. */
export function reachedWords(standing: Standing, { relay, tunnel, before }: Facts): Reached {
  switch (standing) {
    case "direct":
      return { standing, words: "Direct", why: "They have a tunnel with each other." };
    case "relayed":
      return {
        standing,
        words: `By relay ${relay}`,
        why: tunnel
          ? "They do not reach each other; a tunnel of their own is tried all the while."
          : "In a network of this size, the two need no tunnel of their own.",
      };
    case "away":
      return { standing, words: "Offline", why: "One of the two is offline." };
    case "unmet":
      return before
        ? { standing, words: "Tunnel lost", why: "Their last handshake is over three minutes old, and no relay joins them." }
        : { standing, words: "No tunnel yet", why: "They have not reached each other, and no relay joins them." };
  }
}

/** How a machine reaches a peer. `online`: the machine itself is there. */
export function reached(peer: Peer, online: boolean): Reached {
  // A pair without a tunnel of its own has the relay's way and no other.
  const way = peer.Tunnel ? peer.Way : "relay";
  const standing = standingOf({ way, up: peer.Up, there: peer.Online && online, relay: peer.Relay !== "" });
  return reachedWords(standing, { relay: peer.Relay, tunnel: peer.Tunnel, before: peer.HandshakeAt !== null });
}

/** What somebody has to know before the table, in plain sentences. */
export interface Remark {
  tone: "problem" | "warning" | "info";
  text: string;
}

/** What is to be said of a machine's place in its mesh network. */
export function remarks(machine: { Name: string }, online: boolean, told: MachinePeers): Remark[] {
  const found: Remark[] = [];
  if (told.Error !== "") found.push({ tone: "problem", text: `${machine.Name} has no tunnels: ${ended(told.Error)} ${remedy(told.Error)}` });
  else if (!online) found.push({ tone: "info", text: `${machine.Name} is offline: this is what was known when it was last heard of.` });
  else if (told.MeshKey === "") found.push({ tone: "info", text: "It has not told its key yet. A machine that is online joins within seconds." });
  const unmet = told.Peers.filter((peer) => reached(peer, online).standing === "unmet");
  if (told.Error === "" && unmet.length > 0 && told.Relay === "") {
    const [one] = unmet;
    const whom = unmet.length === 1 ? (one?.Name ?? "") : `${unmet.length} members that are online`;
    const text = `It does not reach ${whom}, and nobody relays. Mark a member that all can reach as relay: in its Configuration, card Network.`;
    found.push({ tone: "warning", text });
  }
  return found;
}

function ended(text: string): string {
  const sentence = text.trim();
  return /[.!?]$/u.test(sentence) ? sentence : `${sentence}.`;
}

function remedy(error: string): string {
  if (/wireguard/iu.test(error)) return "Boot a kernel with WireGuard (Linux has it since 5.6): it joins by itself then.";
  return "It tries again by itself.";
}

/** Bytes a second in each direction. */
export interface Rate {
  received: number;
  sent: number;
}

/** Two readings of a machine's counters, the older one to reckon rates from. */
export interface Readings {
  last: MachinePeers;
  before: MachinePeers | null;
}

/** The readings after another answer. Without a new report of the machine, there is nothing new to count. */
export function heard(known: Readings | null, told: MachinePeers): Readings {
  if (known === null) return { last: told, before: null };
  return { last: told, before: told.ReportedAt === known.last.ReportedAt ? known.before : known.last };
}

/** How fast a tunnel is used; null before the second reading, and after counters began anew. */
export function rateOf(peer: Peer, { last, before }: Readings): Rate | null {
  const old = before?.Peers.find(({ Machine }) => Machine === peer.Machine);
  if (old === undefined || before?.ReportedAt == null || last.ReportedAt === null) return null;
  const seconds = (Date.parse(last.ReportedAt) - Date.parse(before.ReportedAt)) / 1000;
  const [received, sent] = [peer.Received - old.Received, peer.Sent - old.Sent];
  if (!(seconds > 0) || received < 0 || sent < 0) return null;
  return { received: received / seconds, sent: sent / seconds };
}

/** A rate for people: `1.2 MiB/s`. */
export function rateWords(bytesPerSecond: number): string {
  return `${memorySize(Math.round(bytesPerSecond))}/s`;
}
