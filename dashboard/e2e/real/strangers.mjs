// What strangers try: machines with hostile names, pages that frame ours, forms and scripts of other origins,
// a stolen cookie. Run by the suite `dashboard`.
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { test } from "node:test";
import { row } from "../browser.mjs";
import { examine, isWithin, LOOKS } from "./looks.mjs";
import { openBootstrap, setStage } from "./stage.mjs";
import { ask, call, registers, waits } from "./world.mjs";

/** Longest text of firmware that is kept, in bytes. */
const LONGEST = 256;
const HOSTILE = {
  "an img tag": '<img src=x onerror="document.title=1;alert(1)">',
  "escapes of a terminal": "\u001b[31mRED\u001b[0m\u001b]0;owned\u0007END",
  "text from right to left": "abc\u202egnp.exe\u2066\u200fxyz",
  "as long as a request may be": "W".repeat(28_000),
  "a script in quotes": "\"><script>alert(1)</script>{{constructor.constructor('alert(1)')()}}",
};
const stage = setStage();

/** Fails the test at the first dialog that a page opens by itself. */
function listen(page) {
  const dialogs = [];
  page.on("dialog", (dialog) => {
    dialogs.push(dialog.message());
    void dialog.dismiss();
  });
  return dialogs;
}

for (const [what, text] of Object.entries(HOSTILE)) {
  test(`A machine whose SMBIOS strings are ${what} is shown as text.`, async () => {
    const name = `hostile-${Object.keys(HOSTILE).indexOf(what)}`;
    const short = text.slice(0, 400);
    const disk = { Name: short.slice(0, 200), SizeBytes: 1e12, Model: short, Serial: short };
    const inventory = { Vendor: short, Product: short, Serial: text, BoardSerial: short, HostName: short, Disks: [disk] };
    const { code } = await waits(name, inventory);
    const page = await stage.visit("/", { viewport: { width: 390, height: 844 } });
    const dialogs = listen(page);
    const dialog = await openBootstrap(page, /ISO Image/);
    await dialog.getByLabel(/Code on the machine/).fill(code);
    await dialog.getByRole("region", { name: /asks to be registered/ }).waitFor();
    await isHarmless(page, text);
    await dialog.getByLabel("Name", { exact: true }).fill(name);
    const tick = dialog.getByRole("checkbox", { name: /matches the check/ });
    if (await tick.count()) await tick.check();
    await dialog.getByRole("button", { name: "Bootstrap", exact: true }).click();
    await dialog.getByRole("heading", { name: /is registered/ }).waitFor();
    const { uuid } = await ask("the machine collects", { name });
    for (const path of ["/", `/machines/${uuid}`, `/machines/${uuid}/hardware`]) {
      await page.goto(stage.env.URL + path);
      await page.getByText(name).first().waitFor();
      await page.locator(".loading").first().waitFor({ state: "detached" });
      await isHarmless(page, text);
    }
    const { Inventory: kept } = await call("GET", `/machines/${uuid}`);
    for (const each of [kept.Vendor, kept.Product, kept.Serial, kept.Disks[0].Model]) {
      assert.ok(Buffer.byteLength(each) <= LONGEST, `${Buffer.byteLength(each)} bytes were kept`);
      assert.doesNotMatch(each, /[\u0000-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069\u200e\u200f]/);
    }
    assert.deepEqual(dialogs, []);
  });
}

test("A machine whose SMBIOS strings have 64 KiB is sent away.", async () => {
  await assert.rejects(waits("too-long", { Serial: "W".repeat(65_536) }), /413.*too_large/);
});

/** Nothing of the text became markup, nothing turns what is around it, nothing breaks out of the screen. */
async function isHarmless(page, text) {
  assert.equal(await page.locator('img[src="x"], body script:not([src])').count(), 0);
  assert.doesNotMatch(await page.title(), /^1$/);
  const shown = await page.locator("body").innerText();
  assert.doesNotMatch(shown, /[\u0000-\u0008\u000e-\u001f\u202a-\u202e\u2066-\u2069]/);
  assert.ok(!shown.includes(text) || text.length <= LONGEST, "what is too long was cut");
  await isWithin(page, "the page");
}

/** A site of somebody else, on another port and so another origin, with one page. */
async function elsewhere(html, use) {
  const server = createServer((_, response) => {
    response.setHeader("content-type", "text/html");
    response.end(html);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    return await use(`http://127.0.0.1:${server.address().port}/`);
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

/** A page of somebody who is signed in, that may go astray: nobody watches where it asks. */
async function victim() {
  await stage.visit();
  const context = await stage.session.browser.newContext({ storageState: stage.cookies, ignoreHTTPSErrors: true });
  return { context, page: await context.newPage() };
}

test("Clickjacking: a page of another origin cannot show ours in a frame.", async () => {
  const { context, page } = await victim();
  await elsewhere(`<h1>Win a prize</h1><iframe id="f" src="${stage.env.URL}"></iframe>`, async (url) => {
    const refusals = [];
    page.on("console", (message) => refusals.push(message.text()));
    await page.goto(url);
    const frame = await (await page.waitForSelector("#f")).contentFrame();
    await frame.waitForLoadState();
    assert.equal(await frame.getByRole("heading", { name: /Machines|Sign in/ }).count(), 0);
    assert.ok(refusals.some((text) => /frame-ancestors/.test(text)), refusals.join("\n"));
  });
  await context.close();
});

test("Foreign origin: a form and a fetch of another origin change nothing, although the browser is signed in.", async () => {
  const uuid = await registers("coveted");
  const { context, page } = await victim();
  const form = `<form method="post" enctype="text/plain" action="${stage.env.URL}/api/v3/users">
    <input name='{"Name":"mallory","x":"' value='"}'><button>Win</button></form>`;
  await elsewhere(form, async (url) => {
    await page.goto(url);
    const [answer] = await Promise.all([
      page.waitForResponse((response) => response.url().endsWith("/api/v3/users")),
      page.getByRole("button", { name: "Win" }).click(),
    ]);
    assert.ok([401, 403].includes(answer.status()), `a form was answered ${answer.status()}`);
    await page.goto(url);
    const fetched = await page.evaluate(async (address) => {
      const tell = (promise) => promise.then((response) => response.type + response.status, (error) => error.name);
      return [
        await tell(fetch(address, { method: "DELETE", credentials: "include", mode: "cors" })),
        await tell(fetch(address, { method: "POST", credentials: "include", mode: "no-cors", body: "{}" })),
        await tell(fetch(address, { credentials: "include" })),
      ];
    }, `${stage.env.URL}/api/v3/machines/${uuid}`);
    assert.deepEqual(fetched, ["TypeError", "opaque0", "TypeError"], "nothing is answered that a script could read");
  });
  assert.equal((await call("GET", `/machines/${uuid}`)).Name, "coveted");
  await assert.rejects(call("GET", "/users/mallory"), /404/);
  await context.close();
});

test("Stolen cookie: it changes nothing without the session's token, and no script can read it.", async () => {
  const uuid = await registers("prized");
  const page = await stage.visit();
  assert.equal(await page.evaluate(() => document.cookie), "");
  const change = (headers) =>
    page.evaluate(
      async ({ address, headers: given }) => {
        const body = JSON.stringify([{ op: "replace", path: "/Description", value: "taken" }]);
        const head = { "content-type": "application/json", ...given };
        return (await fetch(address, { method: "PATCH", headers: head, body })).status;
      },
      { address: `/api/v3/machines/${uuid}`, headers },
    );
  assert.equal(await change({}), 403);
  assert.equal(await change({ "x-csrf-token": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA" }), 403);
  assert.equal((await call("GET", `/machines/${uuid}`)).Description, "");
  const [cookie] = await page.context().cookies();
  assert.deepEqual(
    [cookie.httpOnly, cookie.secure, cookie.sameSite, cookie.name.startsWith("__Host-")],
    [true, true, "Strict", true],
  );
});

test("Content-Security-Policy: a script that somebody gets into the page is not run.", async () => {
  const page = await stage.open();
  const watched = stage.visits.at(-1);
  await page.goto(stage.env.URL);
  await page.getByRole("button", { name: "Sign in" }).waitFor();
  await page.evaluate(() => {
    const script = document.createElement("script");
    script.textContent = "document.documentElement.dataset.owned = 'yes'";
    document.body.append(script);
    const image = document.createElement("img");
    image.setAttribute("onerror", "document.documentElement.dataset.owned = 'yes'");
    image.src = "/nothing.png";
    document.body.append(image);
  });
  await page.waitForFunction(() => document.querySelector("img")?.complete);
  assert.equal(await page.evaluate(() => document.documentElement.dataset["owned"]), undefined);
  // What the policy refused here was meant to be refused.
  const refused = watched.faults.splice(0);
  assert.ok(refused.length >= 1 && refused.every((text) => /Content Security Policy/.test(text)), refused.join("\n"));
});

test("The sign-in page: nothing grave by axe in any look.", async () => {
  for (const { name, options } of LOOKS) {
    const page = await stage.open(options);
    await page.goto(stage.env.URL);
    await page.getByRole("button", { name: "Sign in" }).waitFor();
    await examine(page, `sign-in, ${name}`);
  }
});
