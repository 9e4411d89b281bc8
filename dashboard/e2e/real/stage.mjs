// What the scripts against the real server share: one Chromium, one log-in, and pages that are watched.
// Whatever a page asks of another origin, and whatever the Content-Security-Policy refuses, fails its test.
import assert from "node:assert/strict";
import { after, afterEach, before } from "node:test";
import { environment, launch, open, shot, signIn } from "../browser.mjs";

/** Sets a script up. `stage.visit()` opens a page that is signed in. */
export function setStage() {
  const env = environment();
  const stage = { env, origin: new URL(env.URL).origin, session: null, cookies: undefined, visits: [] };
  before(async () => {
    stage.session = await launch();
  });
  after(() => stage.session?.browser.close());
  afterEach(async (test) => {
    const visits = stage.visits.splice(0);
    for (const [index, { page }] of visits.entries()) {
      if (test.passed === false) await shot(page, `failed-${index}-${test.name.slice(0, 40).replace(/\W+/g, "-")}`);
      await page.context().close();
    }
    for (const { faults, strangers } of visits) {
      assert.deepEqual(faults, [], "the console is silent");
      assert.deepEqual(strangers, [], "no request leaves the server's origin");
    }
  });
  /** A page nobody is signed in to. */
  stage.open = async (options = {}) => {
    const { page, faults } = await open(stage.session, { acceptDownloads: true, ...options });
    const strangers = [];
    const heed = (url) => {
      const { origin, protocol, host } = new URL(url);
      const ours = protocol === "wss:" ? `https://${host}` : origin;
      if (ours !== stage.origin) strangers.push(url);
    };
    page.context().on("request", (request) => heed(request.url()));
    page.on("websocket", (socket) => heed(socket.url()));
    stage.visits.push({ page, faults, strangers });
    return page;
  };
  /** A page at an address, of somebody who is not signed in. */
  stage.knock = async (address = "/", options = {}) => {
    const page = await stage.open(options);
    await page.goto(env.URL + address);
    await page.locator("main h1").first().waitFor();
    return page;
  };
  /** A page at an address, of somebody who is signed in. */
  stage.visit = async (address = "/", options = {}) => {
    const known = stage.cookies === undefined ? {} : { storageState: stage.cookies };
    const page = await stage.open({ ...known, ...options });
    if (stage.cookies === undefined) {
      await signIn(page, env);
      stage.cookies = await page.context().storageState();
    }
    if (new URL(page.url()).pathname !== address || page.url() === "about:blank") await page.goto(env.URL + address);
    await page.locator("main h1").first().waitFor();
    return page;
  };
  /** Whoever was signed in has to do it again, as after a session's end. */
  stage.forget = () => {
    stage.cookies = undefined;
  };
  return stage;
}

/** Presses Bootstrap and gives the dialog. */
export async function openBootstrap(page, method) {
  await page.getByRole("button", { name: "Bootstrap", exact: true }).click();
  const dialog = page.getByRole("dialog", { name: "Bootstrap Machine" });
  await dialog.waitFor();
  if (method !== undefined) await dialog.getByRole("radio", { name: method }).check({ force: true });
  return dialog;
}
