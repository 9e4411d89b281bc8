// The world behind the pages: the Rust side of the suite makes machines wait, call and leave, moves the
// server's clock, restarts it. A question and its answer are a line of JSON each.
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:net";
import { createInterface } from "node:readline";

const socket = connect(process.env["MUSTER_WORLD"] ?? "");
await once(socket, "connect");
const answers = createInterface({ input: socket })[Symbol.asyncIterator]();
let turn = Promise.resolve();
// A script that has nothing more to ask ends by itself.
socket.unref();

/** Asks for something to happen, and waits until it has. */
export function ask(what, given = null) {
  turn = turn.then(
    () => put(what, given),
    () => put(what, given),
  );
  return turn;
}

async function put(what, given) {
  socket.ref();
  socket.write(`${JSON.stringify({ what, with: given })}\n`);
  const { value: line } = await answers.next();
  socket.unref();
  const { value, error } = JSON.parse(line);
  if (error !== undefined) throw new Error(error);
  return value;
}

/** Calls the server's API as an operator elsewhere does, or as a machine. `path` begins below `/api/v3`. */
export function call(method, path, body = null, machine = null) {
  return ask("call", { method, path, body, machine });
}

/** A machine that waits; its code and its fingerprint. */
export function waits(name, inventory = {}) {
  return ask("a machine waits", { name, inventory });
}

/** A machine that was approved by an operator elsewhere, and lives; its UUID. */
export async function registers(name, inventory = {}) {
  const { Token: token } = await call("POST", "/bootstrap/tokens", { Lifetime: 600, MaxUses: 1 });
  const { uuid } = await ask("a machine brings a token", { name, token, inventory });
  await change(uuid, "Name", name);
  return uuid;
}

/** Changes one field of a machine. */
export function change(uuid, field, value) {
  return call("PATCH", `/machines/${uuid}`, [{ op: "replace", path: `/${field}`, value }]);
}

/** The machine's agent tells of another boot: of our image, or of the system on its disk. */
export function boots(name, boot, installed = false) {
  return ask("the machine boots", { name, boot, installed });
}

/** An image of an operating system that machines can be told to install. */
export function imports(name) {
  return ask("an image is imported", { name });
}

/** Does the next task of a machine as its runner does: up to `state`, with what the log says. */
export async function works(uuid, state, log = "") {
  const job = await nextJob(uuid);
  await move(job, "created", "running");
  if (log !== "") await call("PUT", `/jobs/${job.Uuid}/log`, log);
  if (state === "finished") await move(job, "running", state, "complete");
  else if (state !== "running") await move(job, "running", state);
  return job;
}

async function nextJob(uuid) {
  // Between stages the server does what is its own, and has no job.
  for (let asked = 0; asked < 20; asked += 1) {
    const job = await call("POST", "/jobs", { Machine: uuid });
    if (job !== null) return job;
  }
  throw new Error(`there is no job for ${uuid}`);
}

function move(job, from, to, exit = "") {
  const operations = [
    { op: "test", path: "/State", value: from },
    { op: "replace", path: "/State", value: to },
  ];
  if (exit !== "") operations.push({ op: "replace", path: "/ExitState", value: exit });
  return call("PATCH", `/jobs/${job.Uuid}`, operations);
}

/** Takes a machine through an installation, up to a state of the Provision column. */
export async function installs(name, uuid, image, state) {
  const run = await call("POST", `/machines/${uuid}/provision`, { Mode: "rebuild", Image: image, Confirm: name });
  if (state === "Install pending") return run;
  await boots(name, `${name}-image`);
  await call("PATCH", `/machines/${uuid}`, { Runnable: true });
  if (state === "Installing") {
    await works(uuid, "finished");
    await works(uuid, "running", "vda 480 GB INTEL SSDSC2KB48: erased by the plan\n");
    return run;
  }
  if (state === "Failed") {
    await works(uuid, "failed", "error: the machine cannot reach the server's tools\n");
    return run;
  }
  for (let task = 0; task < 6; task += 1) await works(uuid, "finished");
  // The walk goes into the stage that the installed system does, and no further.
  await assert.rejects(nextJob(uuid), /has to boot local first/);
  await boots(name, `${name}-disk`, true);
  const report = await works(uuid, "running");
  const told = { Os: "debian-12", CloudInit: "done", Errors: [] };
  await call("POST", `/provisions/${run.Uuid}/first-boot`, told, uuid);
  await move(report, "running", "finished", "complete");
  return run;
}
