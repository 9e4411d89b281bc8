// What the stand-in answers about what a machine does, boots and did: logs by offset, boot files, the
// audit log in parts. A test puts the answers there.
import { randomUUID } from "node:crypto";

/** How long an answer is held that waits for more of a log, in milliseconds. */
const HELD = 400;

/** What a stand-in keeps of it. */
export function flowState() {
  return {
    /** `/machines/{id}/boot`. */
    boot: bootPreview(),
    /** Rows of the audit log, newest first. */
    record: [],
  };
}

/** A job that runs. */
export function job(part = {}) {
  return {
    Uuid: randomUUID(),
    Machine: "",
    Task: "greet",
    Stage: "hello",
    Workflow: "hello",
    BootEnv: "muster",
    Context: "",
    State: "running",
    ExitState: "",
    StartTime: new Date(Date.now() - 65_000).toISOString(),
    EndTime: "0001-01-01T00:00:00Z",
    Current: true,
    CurrentIndex: 3,
    ResultErrors: [],
    ...part,
  };
}

/** What a machine in our image would boot. */
export function bootPreview(part = {}) {
  const text = "#!ipxe\nkernel http://10.20.0.5:8091/muster/vmlinuz quiet\ninitrd http://10.20.0.5:8091/muster/initrd\nboot\n";
  return {
    BootEnv: "muster",
    Description: "Boots our image.",
    Reason: "Its stage hello, of the workflow hello, is one in muster.",
    Available: true,
    Errors: [],
    Kernel: "muster/vmlinuz",
    Initrds: ["muster/initrd"],
    Loader: "snponly.efi",
    NoLoader: "",
    From: "http://10.20.0.5:8091",
    HttpImage: { Given: true, Reason: "" },
    Files: [{ Path: "52:54:00:12:34:56.ipxe", Text: text, Size: text.length }],
    FurtherFiles: 0,
    ...part,
  };
}

/** A row of the audit log. */
export function auditRow(Number, part = {}) {
  return {
    Number,
    Time: new Date(Date.now() - 3_600_000 + Number * 1_000).toISOString(),
    Kind: "nonce.issued",
    Principal: "system",
    Source: "10.20.4.17",
    Request: "r-1",
    Reason: "",
    ...part,
  };
}

/** The answer to such a call as `{status, headers, bytes}`; undefined for all others. */
export async function aboutFlow(mock, method, route, query) {
  const log = /^\/jobs\/([^/]+)\/log$/.exec(route);
  if (log !== null) return logPart(mock, method, log[1], query);
  if (/^\/machines\/[^/]+\/boot$/.test(route)) return json(mock.boot);
  if (route === "/audit" && query.has("machine")) return json(rows(mock.record, query));
  if (route === "/jobs" && method === "GET") return json(jobs(mock.jobs, query));
  return undefined;
}

function json(body) {
  return { status: 200, headers: { "Content-Type": "application/json" }, bytes: Buffer.from(JSON.stringify(body)) };
}

async function logPart(mock, method, key, query) {
  const log = () => Buffer.from(mock.logs.get(key) ?? "");
  const offset = method === "HEAD" ? log().length : Number(query.get("offset") ?? 0);
  if (method === "GET" && log().length <= offset) await new Promise((done) => setTimeout(done, HELD));
  const bytes = log();
  const headers = { "Content-Type": "application/octet-stream", "X-Muster-Log-Length": bytes.length };
  return { status: 200, headers, bytes: bytes.subarray(offset) };
}

function jobs(all, query) {
  const offset = Number(query.get("offset") ?? 0);
  return all.filter((each) => each.Machine === query.get("Machine")).slice(offset, offset + Number(query.get("limit") ?? 50));
}

function rows(all, query) {
  const kinds = query.get("kind")?.split(",");
  const after = Number(query.get("after") ?? Infinity);
  const wanted = all.filter(
    (row) =>
      row.Number < after &&
      (kinds === undefined || kinds.includes(row.Kind)) &&
      (!query.has("machine") || row.Machine === query.get("machine")) &&
      (!query.has("user") || row.Principal === `user:${query.get("user")}`),
  );
  return wanted.slice(0, Number(query.get("limit") ?? 100));
}
