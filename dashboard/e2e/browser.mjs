// Chromium for the browser tests: how it is started, what the tests' environment says, and
// the steps that several of them share.
import { X509Certificate, createHash } from "node:crypto";
import { mkdir, readFile } from "node:fs/promises";
import path from "node:path";
import { chromium } from "playwright-core";

/** Longest wait for anything on the page, in milliseconds. */
export const PATIENCE = 20_000;

/** A failure whose message says all there is to say. */
export class Failure extends Error {}

/** The environment of a test against a real server. */
export function environment(...needed) {
  const values = {};
  for (const name of ["URL", "USERNAME", "PASSWORD", ...needed]) {
    const value = process.env[`MUSTER_${name}`];
    if (value === undefined || value === "") throw new Failure(`set MUSTER_${name}`);
    values[name] = value;
  }
  return values;
}

/** Chromium's flag that trusts the CA of the PEM file `MUSTER_CA`, and nothing else beyond the usual. */
async function trust() {
  const file = process.env["MUSTER_CA"];
  if (file === undefined || file === "") return null;
  const key = new X509Certificate(await readFile(file)).publicKey.export({ type: "spki", format: "der" });
  return `--ignore-certificate-errors-spki-list=${createHash("sha256").update(key).digest("base64")}`;
}

/** Starts Chromium. Close it, or the process does not end. */
export async function launch() {
  const pin = await trust();
  const browser = await chromium.launch({
    executablePath: process.env["MUSTER_CHROMIUM"] ?? "/usr/bin/chromium",
    args: [
      "--no-sandbox",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
      ...(pin === null ? [] : [pin]),
    ],
  });
  return { browser, pinned: pin !== null };
}

/** Opens a page that collects what the console reports as errors: among it, what the
 * Content-Security-Policy refused. */
export async function open({ browser, pinned }, options = {}) {
  const context = await browser.newContext({
    viewport: { width: 1280, height: 800 },
    // Without MUSTER_CA the server is one that the test itself started on the loopback.
    ignoreHTTPSErrors: !pinned,
    ...options,
  });
  context.setDefaultTimeout(PATIENCE);
  const page = await context.newPage();
  const faults = [];
  page.on("pageerror", (error) => faults.push(String(error)));
  page.on("console", (message) => {
    if (message.type() !== "error") return;
    // A refusal is shown on the page; the console's note about its status is no fault.
    if (/Failed to load resource: the server responded with a status of/.test(message.text())) return;
    // So is a lost websocket: the page reconnects.
    if (/WebSocket connection to .* failed/.test(message.text())) return;
    faults.push(message.text());
  });
  return { page, faults };
}

/** Signs in on the page. */
export async function signIn(page, { URL: url, USERNAME, PASSWORD }) {
  await page.goto(url);
  await page.getByLabel("User name").fill(USERNAME);
  await page.getByLabel("Password").fill(PASSWORD);
  await page.getByRole("button", { name: "Sign in" }).click();
  const heading = page.getByRole("heading", { name: "Machines", exact: true });
  await or(heading.waitFor(), async () => `signing in as ${USERNAME} did not lead to the Machines page: ${await alerts(page)}`);
}

/** What the page complains about now. */
export async function alerts(page) {
  const texts = await page.getByRole("alert").allInnerTexts();
  return texts.length === 0 ? "the page shows no error" : texts.join(" | ");
}

/** The row of a machine by its name. */
export function row(page, name) {
  return page.getByRole("row").filter({ has: page.getByRole("link", { name, exact: true }) });
}

/** Waits for a step, or fails with a sentence. */
export async function or(step, sentence) {
  try {
    return await step;
  } catch (cause) {
    throw new Failure(await sentence(), { cause });
  }
}

/** Saves a picture when `MUSTER_SHOTS` names a folder. */
export async function shot(page, name) {
  const folder = process.env["MUSTER_SHOTS"];
  if (folder === undefined || folder === "") return;
  await mkdir(folder, { recursive: true });
  await page.screenshot({ path: path.join(folder, `${name}.png`) });
}

/** Runs a test against a real server: prints one line, exits 1 with a sentence on failure. */
export async function run(name, steps, ...needed) {
  let session;
  try {
    const env = environment(...needed);
    session = await launch();
    const { page, faults } = await open(session);
    try {
      const done = await steps(page, env);
      if (faults.length > 0) throw new Failure(`the page reported: ${faults.join(" | ")}`);
      console.log(`${name}: ${done}`);
    } catch (error) {
      await shot(page, `${name}-failed`);
      throw error;
    }
  } catch (error) {
    console.error(`${name} failed: ${error instanceof Failure ? error.message : (error.stack ?? error)}`);
    process.exitCode = 1;
  } finally {
    await session?.browser.close();
  }
}
