// Virtual addresses and routes in words: what their checks try, who holds them, how soon they move. Pure.
import { flagAt, isObj, objectsAt, textAt, valueAt, type Json, type Obj } from "../objects/json";

/** A health check, as `HealthCheck` of `protocol/src/mesh.rs`. */
export interface Check {
  Type: CheckType;
  Target: string;
  /** Seconds. */
  Interval: number;
  Timeout: number;
  HealthyThreshold: number;
  UnhealthyThreshold: number;
  Holdoff: number;
}

export type CheckType = "" | "tcp" | "http" | "exec";

/** What counts where nothing is said. */
export const USUAL: Check = { Type: "", Target: "", Interval: 5, Timeout: 3, HealthyThreshold: 2, UnhealthyThreshold: 3, Holdoff: 0 };

/** Seconds beyond the lease after which somebody else holds it. */
const HANDOVER = 2;

/** The check of an object. */
export function checkOf(value: Json | undefined): Check {
  const object = isObj(value) ? value : {};
  const number = (field: Exclude<keyof Check, "Type" | "Target">) => {
    const found = valueAt(object, [field]);
    return typeof found === "number" ? found : USUAL[field];
  };
  return {
    Type: typeOf(textAt(object, "Type")),
    Target: textAt(object, "Target"),
    Interval: number("Interval"),
    Timeout: number("Timeout"),
    HealthyThreshold: number("HealthyThreshold"),
    UnhealthyThreshold: number("UnhealthyThreshold"),
    Holdoff: number("Holdoff"),
  };
}

/** A type by the server's word for it. */
export function typeOf(word: string): CheckType {
  return CHECKS.find(({ value }) => value === word)?.value ?? "";
}

/** The types there are, and what each tries. */
export const CHECKS: readonly { value: CheckType; name: string; target: string; placeholder: string; hint: string }[] = [
  { value: "", name: "None: healthy while it is online", target: "", placeholder: "", hint: "" },
  { value: "tcp", name: "TCP connection", target: "Address and port", placeholder: ":6443", hint: "Healthy when it answers. Without an address, the machine itself is asked." },
  { value: "http", name: "HTTP request", target: "URL", placeholder: "http://127.0.0.1:8080/healthz", hint: "Healthy when it answers with 200 to 399." },
  { value: "exec", name: "Command", target: "Command", placeholder: "systemctl is-active --quiet haproxy", hint: "Run by the shell of the machine, as root. Healthy when it ends with 0." },
];

/** A check in a few words: `TCP :6443`. */
export function checkWords(check: Check): string {
  switch (check.Type) {
    case "":
      return "None";
    case "tcp":
      return `TCP ${check.Target}`;
    case "http":
      return check.Target.replace(/^(https?):\/\//u, (_, scheme: string) => `${scheme.toUpperCase()} `);
    case "exec":
      return `Command ${check.Target}`;
  }
}

/** When it moves, in a sentence. */
export function moveWords({ Interval, UnhealthyThreshold }: Pick<Check, "Interval" | "UnhealthyThreshold">): string {
  const most = Interval * UnhealthyThreshold;
  const each = Interval === 1 ? "every second" : `every ${Interval} seconds`;
  const failures = UnhealthyThreshold === 1 ? "one failure" : `${UnhealthyThreshold} failures in a row`;
  return `Tested ${each}; lost after ${failures}. When its holder dies, another one holds it within ${most + HANDOVER} seconds.`;
}

/** A machine that may hold it. */
export interface Candidate {
  Machine: string;
  Name: string;
  Online: boolean;
  Healthy: boolean;
  Message: string;
}

/** Everybody who may hold it. */
export function candidates(vip: Obj): Candidate[] {
  return objectsAt(vip, "Members").map((each) => ({
    Machine: textAt(each, "Machine"),
    Name: textAt(each, "Name") || textAt(each, "Machine"),
    Online: flagAt(each, "Online"),
    Healthy: flagAt(each, "Healthy"),
    Message: textAt(each, "Message"),
  }));
}

/** Who holds it; null for nobody. */
export function holderOf(vip: Obj): Candidate | null {
  const holder = textAt(vip, "Holder");
  if (holder === "") return null;
  return candidates(vip).find(({ Machine }) => Machine === holder) ?? { Machine: holder, Name: holder, Online: false, Healthy: false, Message: "" };
}

/** Whether it is held, or why not. */
export interface HeldState {
  tone: "held" | "nobody" | "disabled";
  words: string;
}

/** Whether it is held, in words. */
export function heldState(vip: Obj): HeldState {
  if (!flagAt(vip, "Enabled")) return { tone: "disabled", words: "Not enabled: nobody holds it" };
  const holder = holderOf(vip);
  if (holder !== null) return { tone: "held", words: `Held by ${holder.Name}` };
  return { tone: "nobody", words: `Held by nobody: ${whyNobody(candidates(vip))}` };
}

function whyNobody(all: readonly Candidate[]): string {
  if (all.length === 0) return "no member of the mesh network may hold it";
  if (all.some(({ Healthy, Online }) => Healthy && Online)) return "it is given to a healthy machine in a moment";
  const online = all.filter(({ Online }) => Online).length;
  if (online === 0) return all.length === 1 ? "the machine that may hold it is offline" : `all ${all.length} machines that may hold it are offline`;
  return all.length === 1 ? "the machine that may hold it is not healthy" : `none of the ${all.length} machines that may hold it is healthy`;
}

/** How many are healthy: `2 of 3`. */
export function healthWords(vip: Obj): string {
  const all = candidates(vip);
  return all.length === 0 ? "" : `${all.filter(({ Healthy }) => Healthy).length} of ${all.length}`;
}
