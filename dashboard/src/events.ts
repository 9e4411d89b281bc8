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

/** Whether an event's object is a machine the list can show. */
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

/** The list after an event, or null when the event does not tell enough: fetch it. */
export function applyEvent(machines: readonly Machine[], event: Event): Machine[] | null {
  if (event.Action === "delete") return machines.filter((machine) => machine.Uuid !== event.Key);
  const changed = event.Object;
  if (!isMachine(changed)) return null;
  const known = machines.some((machine) => machine.Uuid === changed.Uuid);
  return known
    ? machines.map((machine) => (machine.Uuid === changed.Uuid ? changed : machine))
    : [...machines, changed];
}

/** What a stream tells. */
export interface Listener {
  /** An event of a registered pattern. */
  event(event: Event): void;
  /** Connected (events before were perhaps missed) or not. */
  live(live: boolean): void;
}

/** A connection that lasts until it is closed. */
export class EventStream {
  private socket: WebSocket | null = null;
  private attempt = 0;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private closed = false;

  constructor(
    private readonly patterns: readonly string[],
    private readonly listener: Listener,
  ) {
    window.addEventListener("online", this.now);
    document.addEventListener("visibilitychange", this.now);
    this.connect();
  }

  close(): void {
    this.closed = true;
    clearTimeout(this.timer);
    window.removeEventListener("online", this.now);
    document.removeEventListener("visibilitychange", this.now);
    this.socket?.close();
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
      for (const pattern of this.patterns) socket.send(`register ${pattern}`);
      this.listener.live(true);
    };
    socket.onmessage = (message) => {
      const event = parseEvent(message.data);
      // `websocket` events acknowledge a registration.
      if (event !== null && event.Type !== "websocket") this.listener.event(event);
    };
    socket.onclose = () => this.lost();
  }

  private lost(): void {
    this.socket = null;
    if (this.closed) return;
    this.listener.live(false);
    this.timer = setTimeout(() => this.connect(), reconnectDelay(this.attempt, Math.random()));
    this.attempt += 1;
  }
}
