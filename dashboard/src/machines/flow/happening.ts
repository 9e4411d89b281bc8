// Events of a machine in words: what became of it, of its jobs and of its provision runs. Pure.
import { machineOf } from "../../events";
import { oneLine } from "../../foreign";
import type { Event } from "../../wire";

/** An event as a line. */
export interface Happening {
  key: number;
  time: string;
  /** What it is about: the machine, a job, a provision run. */
  about: "Machine" | "Job" | "Provisioning";
  text: string;
  principal: string;
}

/** Most lines that are kept. */
export const MOST = 200;

// What changes with every heartbeat or follows from something else that is told.
const QUIET: ReadonlySet<string> = new Set([
  "LastSeenAt",
  "LastModifiedAt",
  "LastModifiedBy",
  "Inventory",
  "Partial",
  "CurrentJob",
  "WaitReason",
  "JobExitState",
  "JobResultErrors",
  "Fingerprint",
]);

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function text(value: unknown): string {
  if (value === undefined || value === null || value === "") return "none";
  if (typeof value === "string") return oneLine(value, 80);
  if (typeof value === "boolean") return value ? "yes" : "no";
  return oneLine(JSON.stringify(value), 80);
}

/** `BootEnv`, `PendingChanges` as people write them: `boot env`, `pending changes`. */
function words(field: string): string {
  const spaced = field.replace(/([a-z])([A-Z])/g, "$1 $2");
  return /^[A-Z]{2}/.test(field) ? spaced : spaced.toLowerCase();
}

/** What differs between two states of a machine, in words; empty when nothing that matters does. */
export function changes(before: unknown, after: unknown): string {
  if (!isRecord(before) || !isRecord(after)) return "";
  const told = Object.keys(after).filter((field) => !QUIET.has(field) && JSON.stringify(before[field]) !== JSON.stringify(after[field]));
  return told.map((field) => change(field, before[field], after[field])).join("; ");
}

function change(field: string, before: unknown, after: unknown): string {
  if (field === "Online") return after === true ? "is online" : "is offline";
  // Values of params may be long, and are nobody's but the machine's.
  if (isRecord(after) || (Array.isArray(after) && field === "Tasks")) return `${words(field)} changed`;
  return `${words(field)}: ${text(before)} \u2192 ${text(after)}`;
}

function machineText(event: Event): string {
  if (event.Action === "create") return "registered";
  if (event.Action === "delete") return "deleted";
  return changes(event.Original, event.Object);
}

function jobText(event: Event): string {
  const job = event.Object;
  if (!isRecord(job)) return "";
  if (event.Action === "delete") return `${text(job["Task"])}: job deleted`;
  const before = isRecord(event.Original) ? event.Original["State"] : undefined;
  // A log that grows is not told: only steps are.
  if (before === job["State"]) return "";
  const errors = job["ResultErrors"];
  const why = job["State"] === "failed" && Array.isArray(errors) && errors.length > 0 ? `: ${text(errors[0])}` : "";
  return `${text(job["Task"])} ${STATES[text(job["State"])] ?? text(job["State"])}${why}`;
}

/** States of jobs as something that happens. */
const STATES: { readonly [state: string]: string } = {
  created: "is handed out",
  running: "runs",
  incomplete: "is not done yet",
  failed: "failed",
  finished: "finished",
};

function runText(event: Event): string {
  const run = event.Object;
  if (!isRecord(run)) return "";
  const error = run["Error"] === "" ? "" : `: ${text(run["Error"])}`;
  return `${text(run["Mode"])} is ${text(run["Status"])}${error}`;
}

/** The event as a line, when it is about this machine and says something. */
export function happening(event: Event, machine: string, key: number): Happening | null {
  const line = (about: Happening["about"], said: string) =>
    said === "" ? null : { key, time: event.Time, about, text: said, principal: event.Principal };
  if (event.Type === "machines" && event.Key === machine) return line("Machine", machineText(event));
  if (machineOf(event.Object) !== machine) return null;
  if (event.Type === "jobs") return line("Job", jobText(event));
  return event.Type === "provisions" ? line("Provisioning", runText(event)) : null;
}

/** The lines with one more at the top. Twice the same line in a row is one: runs tell of every percent. */
export function added(known: readonly Happening[], one: Happening): readonly Happening[] {
  const [last] = known;
  const same = last !== undefined && last.about === one.about && last.text === one.text;
  return [one, ...(same ? known.slice(1) : known)].slice(0, MOST);
}
