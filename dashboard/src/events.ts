// The websocket of `/api/v3/ws`: registers patterns, hands on events, and comes back by itself.
//
// A closed socket may have missed events, so every opening asks for a resync; between
// openings the pages refetch at a slow pace anyway.
import type { Event, Machine } from "./wire";

/** Longest pause before another attempt, in milliseconds. */
const MAX_DELAY = 30_000;
const BASE_DELAY = 1_000;

/** Full jitter: anything up to 1 s, 2 s, 4 s ... 30 s. `random` is in [0, 1). */
export function reconnectDelay(attempt: number, random: number): number {
  return Math.round(Math.min(MAX_DELAY, BASE_DELAY * 2 ** Math.min(attempt, 10)) * random);
}

/** A frame as an event, or null when it is none. */
export function parseEvent(frame: unknown): Event | null {
  if (typeof frame !== "string") return null;
  let value: unknown;
  try {
    value = JSON.parse(frame);
  } catch {
    return null;
  }
  return isEvent(value) ? value : null;
}

function isEvent(value: unknown): value is Event {
  return (
    typeof value === "object" &&
    value !== null &&
    "Type" in value &&
    typeof value.Type === "string" &&
    "Action" in value &&
    typeof value.Action === "string" &&
    "Key" in value &&
    typeof value.Key === "string"
  );
}

/** Whether an event's object is a machine as a page shows it. */
export function isMachine(value: unknown): value is Machine {
  return (
    typeof value === "object" &&
    value !== null &&
    "Uuid" in value &&
    typeof value.Uuid === "string" &&
    "Name" in value &&
    typeof value.Name === "string" &&
    "Roles" in value &&
    Array.isArray(value.Roles) &&
    "Inventory" in value &&
    typeof value.Inventory === "object" &&
    value.Inventory !== null
  );
}

/** Whether an event is of a pattern: `machines.*.*`, `jobs.update.*`; `machine_jobs.*.UUID` are a machine's jobs. */
export function isOf(event: Event, pattern: string): boolean {
  const [type, action, key] = pattern.split(".");
  if (type === "machine_jobs") {
    return event.Type === "jobs" && fits(event.Action, action) && fits(machineOf(event.Object), key);
  }
  return fits(event.Type, type) && fits(event.Action, action) && fits(event.Key, key);
}

/** The machine that an object is of: a job's, a provision run's; empty where it is of none. */
export function machineOf(object: unknown): string {
  const has = typeof object === "object" && object !== null && "Machine" in object;
  return has && typeof object.Machine === "string" ? object.Machine : "";
}

function fits(word: string, pattern: string | undefined): boolean {
  return pattern === "*" || pattern === word;
}

type Heed = (event: Event) => void;

/** A connection that lasts until it is closed. */
export class EventStream {
  private socket: WebSocket | null = null;
  private attempt = 0;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private closed = false;
  private readonly listeners = new Map<string, Set<Heed>>();

  /** `connected` hears whether it is connected; each time it is, events before were perhaps missed. */
  constructor(private readonly connected: (live: boolean) => void) {
    window.addEventListener("online", this.now);
    document.addEventListener("visibilitychange", this.now);
    this.connect();
  }

  /** Hands on the events of a pattern until the function that is returned is called. */
  subscribe(pattern: string, heed: Heed): () => void {
    const known = this.listeners.get(pattern);
    if (known === undefined) {
      this.listeners.set(pattern, new Set([heed]));
      this.say(`register ${pattern}`);
    } else {
      known.add(heed);
    }
    return () => this.unsubscribe(pattern, heed);
  }

  close(): void {
    this.closed = true;
    clearTimeout(this.timer);
    window.removeEventListener("online", this.now);
    document.removeEventListener("visibilitychange", this.now);
    this.socket?.close();
  }

  private unsubscribe(pattern: string, heed: Heed): void {
    const known = this.listeners.get(pattern);
    known?.delete(heed);
    if (known === undefined || known.size > 0) return;
    this.listeners.delete(pattern);
    this.say(`deregister ${pattern}`);
  }

  private say(words: string): void {
    // Who is not connected says all that it wants when it is.
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(words);
  }

  /** The network or the operator came back: no need to wait for the timer. */
  private readonly now = (): void => {
    if (this.socket !== null || document.visibilityState === "hidden") return;
    clearTimeout(this.timer);
    this.connect();
  };

  private connect(): void {
    const url = new URL("/api/v3/ws", window.location.href);
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(url);
    this.socket = socket;
    socket.onopen = () => {
      this.attempt = 0;
      for (const pattern of this.listeners.keys()) socket.send(`register ${pattern}`);
      this.connected(true);
    };
    socket.onmessage = (message) => {
      const event = parseEvent(message.data);
      // `websocket` events acknowledge a registration.
      if (event !== null && event.Type !== "websocket") this.tell(event);
    };
    socket.onclose = () => this.lost();
  }

  /** Hands an event to those who heed it. */
  tell(event: Event): void {
    for (const [pattern, heeds] of this.listeners) {
      if (isOf(event, pattern)) for (const heed of heeds) heed(event);
    }
  }

  private lost(): void {
    this.socket = null;
    if (this.closed) return;
    this.connected(false);
    this.timer = setTimeout(() => this.connect(), reconnectDelay(this.attempt, Math.random()));
    this.attempt += 1;
  }
}
