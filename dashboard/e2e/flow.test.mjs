// The tabs Workflow, Boot and Events of a machine's page, against the stand-in.
import assert from "node:assert/strict";
import { test } from "node:test";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { auditRow, bootPreview, job } from "./flow.mjs";
import { machine } from "./objects.mjs";
import { setStage } from "./stage.mjs";

const stage = setStage();
const AXE = createRequire(import.meta.url).resolve("axe-core/axe.min.js");
const TASKS = ["stage:prepare", "bootenv:muster", "wipe", "stage:hello", "greet", "stage:last", "leave"];

function worker(part = {}) {
  return machine({
    Name: "db-07",
    Tasks: TASKS,
    CurrentTask: 4,
    Workflow: "hello",
    Stage: "hello",
    BootEnv: "muster",
    WorkflowComplete: false,
    CurrentJob: "",
    JobState: "running",
    JobExitState: "",
    JobResultErrors: [],
    WaitReason: "",
    ...part,
  });
}

/** Opens a tab of a machine's page. */
async function open(known, tab, more = []) {
  const page = await stage.start({ machines: [known, ...more] });
  return { page, go: () => page.goto(`${stage.mock.url}/machines/${known.Uuid}/${tab}`) };
}

const operations = () => stage.mock.asked.filter(({ method }) => method === "PATCH").map(({ path, body }) => [path.split("/").slice(3).join("/"), body]);

test("the task list marks the current task, with stages between, and what ran says for how long", async () => {
  const known = worker();
  const running = job({ Machine: known.Uuid, CurrentIndex: 4 });
  const wiped = job({ Machine: known.Uuid, Task: "wipe", CurrentIndex: 2, State: "finished", ExitState: "complete", EndTime: new Date(Date.now() - 61_000).toISOString(), Current: false });
  known.CurrentJob = running.Uuid;
  const { page, go } = await open(known, "workflow");
  stage.mock.jobs.push(running, wiped);
  await go();
  const list = page.getByRole("list", { name: "Tasks of the machine" });
  await list.waitFor();
  assert.match(await list.locator("[aria-current=step]").innerText(), /greet/);
  assert.deepEqual(
    (await list.getByRole("listitem").allInnerTexts()).map((text) => text.split("\n")[0].replace(/,.*/, "").trim()),
    ["Stage prepare", "Boots muster", "wipe", "Stage hello", "greet", "Stage last", "leave"],
  );
  assert.match(await list.getByRole("listitem").nth(2).innerText(), /finished · 4 s/);
  await page.getByRole("heading", { name: "Runs greet (5 of 7)" }).waitFor();
});

test("the log follows the job, as text, whatever it prints", async () => {
  const known = worker();
  const running = job({ Machine: known.Uuid, CurrentIndex: 4 });
  known.CurrentJob = running.Uuid;
  const { page, go } = await open(known, "workflow");
  stage.mock.jobs.push(running);
  stage.mock.logs.set(running.Uuid, "begins\n<img src=x onerror=alert(1)>\n\u001b[31mred\u001b[0m safe\u202egnp.exe\n");
  await go();
  const log = page.getByRole("region", { name: "Log of greet" });
  await log.waitFor();
  assert.equal(await log.innerText(), "begins\n<img src=x onerror=alert(1)>\nred safe\ufffdgnp.exe\n");
  stage.mock.logs.set(running.Uuid, `${stage.mock.logs.get(running.Uuid)}and goes on\n`);
  await page.getByText("and goes on").waitFor();
  await page.getByText("Follows the job as it runs").waitFor();
  // It ends: the rest of the log comes, and nobody waits for more.
  stage.mock.logs.set(running.Uuid, `${stage.mock.logs.get(running.Uuid)}last words\n`);
  Object.assign(running, { State: "finished", ExitState: "complete", EndTime: new Date().toISOString() });
  stage.mock.publish("jobs", "update", running.Uuid, running);
  await page.getByText("last words").waitFor();
  await page.getByText("Follows the job as it runs").waitFor({ state: "detached" });
  assert.equal(await page.getByRole("link", { name: "Download the whole log" }).getAttribute("href"), `/api/v3/jobs/${running.Uuid}/log`);
});

test("a failed task says why and what to do, and runs again", async () => {
  const known = worker({ Runnable: false, JobState: "failed", JobResultErrors: ["script greet.sh ended with status 3"] });
  const failed = job({ Machine: known.Uuid, CurrentIndex: 4, State: "failed", ExitState: "failed", EndTime: new Date().toISOString(), ResultErrors: known.JobResultErrors });
  known.CurrentJob = failed.Uuid;
  const { page, go } = await open(known, "workflow");
  stage.mock.jobs.push(failed);
  await go();
  const standing = page.getByRole("region", { name: "greet failed (5 of 7)" });
  await standing.waitFor();
  assert.match(await standing.innerText(), /mend what is wrong, then press Run again/);
  assert.match(await standing.innerText(), /script greet\.sh ended with status 3/);
  await standing.getByRole("button", { name: "Run again" }).click();
  await page.getByText("db-07 tries its task again.").waitFor();
  assert.deepEqual(operations(), [["", [{ op: "replace", path: "/Runnable", value: true }]]]);
  await page.getByRole("button", { name: "Pause" }).waitFor();
});

test("it goes back to a task by keyboard alone, after asking", async () => {
  const { page, go } = await open(worker(), "workflow");
  await go();
  const back = page.getByRole("button", { name: "Go back to wipe" });
  await back.focus();
  await page.keyboard.press("Enter");
  const dialog = page.getByRole("alertdialog", { name: "Go back to wipe?" });
  await dialog.waitFor();
  assert.match(await dialog.innerText(), /3 entries of the list run again/);
  await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  await page.getByText("db-07 is back at wipe.").waitFor();
  assert.deepEqual(operations(), [["", [{ op: "replace", path: "/CurrentTask", value: 2 }]]]);
  assert.equal(await page.getByRole("button", { name: "Go back to wipe" }).count(), 0, "it stands there now");
});

test("what the server refuses is told in its words", async () => {
  const { page, go } = await open(worker(), "workflow");
  stage.mock.refuse.set("PATCH /machines/{id}", {
    status: 422,
    kind: "ValidationError",
    messages: ["CurrentTask cannot be less than 1, where the machine came to muster"],
  });
  await go();
  await page.getByRole("button", { name: "Go back to prepare" }).click();
  const dialog = page.getByRole("alertdialog");
  await dialog.getByRole("button", { name: "Go back" }).click();
  await dialog.getByText("CurrentTask cannot be less than 1, where the machine came to muster.").waitFor();
});

test("workflow, pause and the way back to the beginning are buttons of one card", async () => {
  const { page, go } = await open(worker(), "workflow");
  stage.mock.collections.workflows.set("other", { Name: "other", Available: true, Stages: [] });
  await go();
  await page.getByRole("button", { name: "Pause" }).click();
  await page.getByText("db-07 is paused: it begins no other task.").waitFor();
  await page.getByRole("combobox", { name: "Workflow" }).selectOption("other");
  await page.getByRole("button", { name: "Set workflow" }).click();
  await page.getByText("Workflow of db-07 is other.").waitFor();
  assert.deepEqual(operations().map(([, body]) => [body[0].path, body[0].value]), [["/Runnable", false], ["/Workflow", "other"]]);
});

test("jobs come in parts, and each shows its log", async () => {
  const known = worker({ CurrentJob: "" });
  const { page, go } = await open(known, "workflow");
  const ended = { State: "finished", ExitState: "complete", EndTime: new Date().toISOString(), Current: false, CurrentIndex: 99 };
  for (let number = 0; number < 60; number += 1) stage.mock.jobs.push(job({ Machine: known.Uuid, Task: `task-${number}`, ...ended }));
  stage.mock.logs.set(stage.mock.jobs[55].Uuid, "I am the fifty-sixth\n");
  await go();
  const table = page.getByRole("table", { name: "Jobs of this machine" });
  await table.waitFor();
  assert.equal(await table.getByRole("row").count(), 51);
  await page.getByRole("button", { name: "Load more" }).click();
  await table.getByRole("button", { name: "Show log of task-55", exact: true }).click();
  await page.getByText("I am the fifty-sixth").waitFor();
  assert.match(page.url(), new RegExp(`job=${stage.mock.jobs[55].Uuid}`));
});

test("the tab Boot says what it would boot and why, and shows each file without what opens a door", async () => {
  const text = "#!ipxe\n<script>alert(1)</script>\nboot\n";
  const { page, go } = await open(worker(), "boot");
  stage.mock.boot = bootPreview({
    Available: false,
    Errors: ["there is no file muster/vmlinuz; run `muster media build`"],
    Loader: "",
    NoLoader: "PXE firmware loads by TFTP and that door is shut",
    Files: [
      { Path: "52:54:00:12:34:56.ipxe", Text: text, Size: text.length },
      { Path: "seed", Size: 0, Link: "http://files.example/seed" },
      { Path: "", Size: 0, Error: "bootenv muster: there is no param x" },
    ],
    FurtherFiles: 2,
  });
  await go();
  await page.getByText("Its stage hello, of the workflow hello, is one in muster.").waitFor();
  await page.getByText("Cannot be booted").waitFor();
  await page.getByText("There is no file muster/vmlinuz; run `muster media build`.").waitFor();
  await page.getByText(/None: PXE firmware loads by TFTP and that door is shut/).waitFor();
  await page.getByText("A file cannot be rendered: bootenv muster: there is no param x.").waitFor();
  await page.getByText("2 further files are not shown.").waitFor();
  await page.getByText("52:54:00:12:34:56.ipxe").click();
  const file = page.getByRole("region", { name: "File 52:54:00:12:34:56.ipxe" });
  assert.equal(await file.innerText(), text);
  await page.getByText("While a workflow is set, its stages say what the machine boots.").waitFor();
});

test("events of the machine appear as they happen, and those of others do not", async () => {
  const known = worker();
  const { page, go } = await open(known, "events", [machine({ Name: "other" })]);
  await go();
  await page.getByText("Events arrive").waitFor();
  await page.getByText("Nothing has happened since you opened this page.", { exact: false }).waitFor();
  const running = job({ Machine: known.Uuid, Task: "<b>greet</b>" });
  stage.mock.publish("jobs", "create", running.Uuid, running);
  stage.mock.publish("jobs", "create", "x", job({ Machine: "somebody else", Task: "elsewhere" }));
  const events = page.getByRole("log", { name: "Events of this machine" });
  await events.getByText("<b>greet</b> runs").waitFor();
  assert.equal(await events.getByText("elsewhere").count(), 0);
});

test("the record of the machine comes in parts, by what and by whom", async () => {
  const known = worker();
  const { page, go } = await open(known, "events");
  const about = { Machine: known.Uuid };
  stage.mock.record = [
    auditRow(103, { ...about, Kind: "enrollment.approved", Principal: "user:mia", Reason: "as \u202edb-07" }),
    auditRow(102, { Machine: "another", Kind: "machine.deleted" }),
    ...Array.from({ length: 70 }, (_, index) => auditRow(100 - index, about)),
  ];
  await go();
  const table = page.getByRole("table", { name: "Audit rows of this machine" });
  await table.waitFor();
  assert.equal(await table.getByRole("row").count(), 51);
  assert.match(await table.getByRole("row").nth(1).innerText(), /registration approved.*mia.*as \ufffddb-07/s);
  await page.getByRole("button", { name: "Load more" }).click();
  await page.getByRole("button", { name: "Load more" }).waitFor({ state: "detached" });
  assert.equal(await table.getByRole("row").count(), 72);
  await page.getByLabel("What").selectOption("Registration");
  await page.getByLabel("By user").fill("mia");
  await page.waitForFunction(() => document.querySelectorAll("#events-record ~ table tbody tr, section[aria-labelledby=events-record] tbody tr").length === 1);
  await page.getByLabel("By user").fill("nobody");
  await page.getByText("Nothing on record matches.").waitFor();
});

test("who may not read the record is told so, and the events still come", async () => {
  const { page, go } = await open(worker(), "events");
  stage.mock.refuse.set("GET /audit", { status: 403, kind: "AUTH", messages: ["this needs the right audit:list, which the caller does not have"] });
  await go();
  await page.getByText("This needs the right audit:list, which the caller does not have.").waitFor();
  await page.getByText("Events arrive").waitFor();
});

test("axe finds nothing serious on any of the tabs", async () => {
  const known = worker({ JobState: "failed", Runnable: false, JobResultErrors: ["status 3"] });
  const failed = job({ Machine: known.Uuid, State: "failed", CurrentIndex: 4, ResultErrors: ["status 3"] });
  known.CurrentJob = failed.Uuid;
  const { page, go } = await open(known, "workflow");
  stage.mock.jobs.push(failed);
  stage.mock.logs.set(failed.Uuid, "one line\n");
  stage.mock.record = [auditRow(1, { Machine: known.Uuid })];
  const axe = await readFile(AXE, "utf8");
  const shown = { workflow: "one line", boot: "52:54:00:12:34:56.ipxe", events: "boot nonce given" };
  await go();
  for (const scheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme: scheme });
    for (const [tab, text] of Object.entries(shown)) {
      await page.goto(`${stage.mock.url}/machines/${known.Uuid}/${tab}`);
      await page.getByText(text).first().waitFor();
      if (tab === "events") {
        await page.getByText("Events arrive").waitFor();
        stage.mock.publish("jobs", "create", failed.Uuid, failed);
        await page.getByText("greet failed: status 3").waitFor();
      }
      const found = await page.evaluate(async (source) => {
        (0, eval)(source);
        const { violations } = await window.axe.run(document, { resultTypes: ["violations"] });
        return violations.filter(({ impact }) => ["serious", "critical"].includes(impact)).map(({ id, nodes }) => `${id}: ${nodes[0].html}`);
      }, axe);
      assert.deepEqual(found, [], `${tab}, ${scheme}`);
    }
  }
});

test("the tabs stand on a narrow screen without sideways scrolling, hostile texts and all", async () => {
  const long = "x".repeat(256);
  const known = worker({ JobResultErrors: [`\u202e${long}`], JobState: "failed", Runnable: false, Tasks: ["stage:a", long, `<img src=x>${long}`], CurrentTask: 1 });
  const failed = job({ Machine: known.Uuid, Task: long, State: "failed", CurrentIndex: 1, ResultErrors: [long] });
  known.CurrentJob = failed.Uuid;
  const { page, go } = await open(known, "workflow");
  stage.mock.jobs.push(failed);
  stage.mock.logs.set(failed.Uuid, `${"y".repeat(65_536)}\n`);
  stage.mock.boot = bootPreview({ Files: [{ Path: long, Text: long, Size: 256 }], Errors: [long] });
  stage.mock.record = [auditRow(1, { Machine: known.Uuid, Reason: long, Principal: `user:${long}` })];
  await page.setViewportSize({ width: 390, height: 800 });
  for (const tab of ["workflow", "boot", "events"]) {
    await go();
    await page.goto(`${stage.mock.url}/machines/${known.Uuid}/${tab}`);
    await page.waitForLoadState("networkidle");
    const { wide, shown } = await page.evaluate(() => ({ wide: document.documentElement.scrollWidth, shown: window.innerWidth }));
    assert.ok(wide <= shown, `${tab} is ${wide} wide`);
  }
});
