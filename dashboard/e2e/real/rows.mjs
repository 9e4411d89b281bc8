// Measures the Machines page against a server with many machines, by Chromium's own trace: one line of JSON with
// milliseconds to the first rows, milliseconds of work on the main thread (processor time, so that a busy computer
// does not count) for a step of scrolling, a filter, a search and a live update, and kilobytes of initial JavaScript.
//
// Environment: MUSTER_URL, MUSTER_USERNAME, MUSTER_PASSWORD; optional MUSTER_CA, ROUNDS.
import { gzipSync } from "node:zlib";
import { environment, Failure, launch, open, signIn } from "../browser.mjs";

const ROUNDS = Number(process.env["ROUNDS"] ?? 5);
const CATEGORIES = ["toplevel", "disabled-by-default-devtools.timeline"];

const env = environment();
const session = await launch();
try {
  const { page } = await open(session, { viewport: { width: 1440, height: 900 } });
  const scripts = new Map();
  page.on("response", async (response) => {
    if (response.request().resourceType() === "script") scripts.set(response.url(), response.body());
  });
  await signIn(page, env);
  await page.locator("[data-machine]").first().waitFor();
  // Before anything was pressed, so these are what the page itself needs.
  const bytes = (await Promise.all(scripts.values())).reduce((sum, body) => sum + gzipSync(body).length, 0);
  const first = await each(() => firstRows(page));
  const measure = await tracer(page);
  const scroll = await each((round) => measure(() => scrolled(page, round)));
  await page.evaluate(() => window.scrollTo(0, 0));
  const filter = await each((round) => measure(() => filtered(page, round)));
  const names = await page.locator(".hostname-link").allInnerTexts();
  const search = await each((round) => measure(() => searched(page, names[round % names.length])));
  const live = await each(() => measure(() => changed(page)));
  const said = /([\d,]+) machines?$/m.exec(await page.locator(".freshness").innerText())?.[1] ?? "";
  const machines = Number(said.replace(/\D/g, ""));
  const result = { machines, firstRows: first, scroll, filter, search, live, initialJsKilobytes: Math.round(bytes / 100) / 10 };
  console.log(JSON.stringify(result));
} catch (error) {
  console.error(error instanceof Failure ? error.message : (error.stack ?? error));
  process.exitCode = 1;
} finally {
  await session.browser.close();
}

async function each(step) {
  const samples = [];
  for (let round = 0; round < ROUNDS; round += 1) samples.push(Math.round((await step(round)) * 10) / 10);
  return samples;
}

/** Milliseconds from the beginning of a navigation to the first row. */
async function firstRows(page) {
  await page.goto("about:blank");
  await page.goto(env.URL, { waitUntil: "commit" });
  return page.evaluate(
    () =>
      new Promise((done) => {
        const look = () => {
          if (document.querySelector("[data-machine]") !== null) done(performance.now());
          else requestAnimationFrame(look);
        };
        look();
      }),
  );
}

/** A function that says how much a step works on the main thread. */
async function tracer(page) {
  const devtools = await page.context().newCDPSession(page);
  return async (step) => {
    const events = [];
    const heed = ({ value }) => events.push(...value);
    devtools.on("Tracing.dataCollected", heed);
    await devtools.send("Tracing.start", { transferMode: "ReportEvents", traceConfig: { includedCategories: CATEGORIES } });
    await step();
    // What follows of it, in the next frames.
    await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
    const over = new Promise((done) => devtools.once("Tracing.tracingComplete", done));
    await devtools.send("Tracing.end");
    await over;
    devtools.off("Tracing.dataCollected", heed);
    return work(events);
  };
}

/** The longest main thread's tasks, summed: a page has one renderer that is busy. */
function work(events) {
  const mains = new Set();
  for (const { name, pid, tid, args } of events) {
    if (name === "thread_name" && args?.name === "CrRendererMain") mains.add(`${pid}:${tid}`);
  }
  const sums = new Map();
  for (const { name, pid, tid, tdur } of events) {
    const thread = `${pid}:${tid}`;
    if (name !== "RunTask" || tdur === undefined || !mains.has(thread)) continue;
    sums.set(thread, (sums.get(thread) ?? 0) + tdur / 1000);
  }
  if (sums.size === 0) throw new Failure("the trace has no tasks of a main thread");
  return Math.max(...sums.values());
}

/** A hundred rows on, to where they are there: a part of the list that has to be fetched first. */
async function scrolled(page, round) {
  const to = (round + 1) * 5_200;
  await page.evaluate((top) => window.scrollTo(0, top), to);
  await page.locator(`[data-index="${Math.round(to / 52) + 3}"][data-machine]`).waitFor();
}

async function filtered(page, round) {
  const rows = page.locator('[aria-busy="false"] [data-machine]');
  await page.getByRole("button", { name: "Status" }).click();
  await page.getByRole("menuitemcheckbox", { name: "Offline" }).click();
  await page.keyboard.press("Escape");
  await page.waitForURL(round % 2 === 0 ? /status=offline/ : (url) => !url.search.includes("status"));
  await rows.first().waitFor();
}

async function searched(page, name) {
  await page.getByRole("searchbox", { name: "Search machines" }).fill(name);
  await page.waitForURL((url) => url.searchParams.get("q") === name);
  await page.locator('[aria-busy="false"] [data-machine]', { hasText: name }).first().waitFor();
}

/** Locks or unlocks a machine behind the page's back, and waits until its row says so. */
async function changed(page) {
  const row = page.locator("[data-machine]").first();
  const uuid = await row.getAttribute("data-machine");
  const lock = row.getByRole("img", { name: "Locked" });
  const locked = (await lock.count()) > 0;
  const status = await page.evaluate(
    async ([path, wanted]) => {
      const { CsrfToken: csrf } = await (await fetch("/api/v3/session")).json();
      const headers = { "X-CSRF-Token": csrf, "Content-Type": "application/json" };
      return (await fetch(path, { method: "PATCH", headers, body: JSON.stringify({ Locked: wanted }) })).status;
    },
    [`/api/v3/machines/${uuid}`, !locked],
  );
  if (status !== 200) throw new Failure(`the change was answered with status ${status}`);
  await lock.waitFor({ state: locked ? "detached" : "visible" });
}
