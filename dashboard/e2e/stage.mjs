// What the tests of the page share: one Chromium, and for each test a stand-in for the server
// and a page that is signed in to it.
import assert from "node:assert/strict";
import { after, afterEach, before } from "node:test";
import { launch, open, signIn } from "./browser.mjs";
import { startMock } from "./mock.mjs";

/** Sets a file of tests up: `stage.start()` gives each test its page. */
export function setStage() {
  const stage = { session: null, mock: null, opened: null };
  before(async () => {
    stage.session = await launch();
  });
  after(() => stage.session?.browser.close());
  afterEach(async () => {
    await stage.opened?.page.context().close();
    await stage.mock?.close();
    // Also refusals of the Content-Security-Policy end up here.
    assert.deepEqual(stage.opened?.faults, []);
  });
  stage.openPage = async (contents = {}, options = {}) => {
    stage.mock = await startMock(contents);
    stage.opened = await open(stage.session, options);
    return stage.opened.page;
  };
  stage.start = async (contents, options) => {
    const page = await stage.openPage(contents, options);
    await signIn(page, { URL: stage.mock.url, USERNAME: "admin", PASSWORD: stage.mock.password });
    return page;
  };
  return stage;
}

/** Presses Bootstrap and gives the parts of the dialog. */
export async function openBootstrap(page) {
  await page.getByRole("button", { name: "Bootstrap" }).click();
  const dialog = page.getByRole("dialog", { name: "Bootstrap Machine" });
  return { dialog, code: dialog.getByLabel(/Code on the machine/), approve: dialog.getByRole("button", { name: "Bootstrap" }) };
}
