// Tests of the page in Chromium against the stand-in: `npm run build && npm run e2e`.
import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";
import { launch, open, row, signIn } from "./browser.mjs";
import { enrollment, machine, startMock } from "./mock.mjs";
import { fleet, inventory } from "./objects.mjs";

let session;
let mock;
let opened;

before(async () => {
  session = await launch();
});
after(() => session?.browser.close());
afterEach(async () => {
  await opened?.page.context().close();
  await mock?.close();
  // Also refusals of the Content-Security-Policy end up here.
  assert.deepEqual(opened?.faults, []);
});

async function start(contents = {}, options = {}) {
  mock = await startMock(contents);
  opened = await open(session, options);
  await signIn(opened.page, { URL: mock.url, USERNAME: "admin", PASSWORD: mock.password });
  return opened.page;
}

async function openBootstrap(page) {
  await page.getByRole("button", { name: "Bootstrap" }).click();
  const dialog = page.getByRole("dialog", { name: "Bootstrap Machine" });
  return { dialog, code: dialog.getByLabel(/Code on the machine/), approve: dialog.getByRole("button", { name: "Bootstrap" }) };
}

function bodies(path) {
  return mock.asked.filter((asked) => asked.path.endsWith(path)).map((asked) => asked.body);
}

test("a wrong password is refused in words", async () => {
  mock = await startMock();
  opened = await open(session);
  const { page } = opened;
  await page.goto(mock.url);
  await page.getByLabel("Password").fill("wrong");
  await page.getByRole("button", { name: "Sign in" }).click();
  assert.match(await page.getByRole("alert").innerText(), /User name or password is wrong/);
});

test("the table has four columns and a menu, and rows tell all there is", async () => {
  const page = await start({ machines: fleet() });
  await row(page, "db-07.dc1.example").waitFor();
  assert.deepEqual(
    (await page.getByRole("columnheader").allInnerTexts()).map((text) => text.trim()),
    ["Hostname", "Provision", "Mesh Network", "Roles", "Actions"],
  );
  assert.match(await row(page, "db-07.dc1.example").innerText(), /eBPF\s+Pending changes\s+Installed\s+core\s+postgres\s+backup/);
  const offline = row(page, "m-525400ab12cd");
  assert.equal(await offline.getByRole("img").getAttribute("aria-label"), "Offline, last seen 4 days ago");
  assert.equal(await offline.locator(".age").innerText(), "4d");
  assert.equal(await row(page, "web-2.dc1.example").getByRole("img").getAttribute("aria-label"), "Online");
});

test("names sort by number, and the order can be turned round", async () => {
  const page = await start({ machines: fleet() });
  const names = () => page.locator(".hostname-link").allInnerTexts();
  await row(page, "web-2.dc1.example").waitFor();
  const rising = await names();
  assert.ok(rising.indexOf("web-2.dc1.example") < rising.indexOf("web-10.dc1.example"), rising.join());
  await page.getByRole("button", { name: "Hostname" }).click();
  assert.deepEqual(await names(), rising.toReversed());
  assert.equal(await page.getByRole("columnheader", { name: "Hostname" }).getAttribute("aria-sort"), "descending");
});

test("search finds by serial number and says when nothing matches", async () => {
  const page = await start({ machines: [machine({ Name: "a", Inventory: inventory({ Serial: "ABC123" }) }), machine({ Name: "b" })] });
  const box = page.getByRole("searchbox", { name: "Search machines" });
  await box.fill("abc123");
  await row(page, "b").waitFor({ state: "detached" });
  await row(page, "a").waitFor();
  await box.fill("nonesuch");
  await page.getByText(/No machine matches/).waitFor();
});

test("a hundred machines come in pages", async () => {
  const machines = Array.from({ length: 120 }, (_, index) => machine({ Name: `node-${index + 1}` }));
  const page = await start({ machines });
  await page.getByText("Page 1 of 3").waitFor();
  assert.equal(await page.locator("[data-machine]").count(), 50);
  await page.getByRole("button", { name: "Next" }).click();
  await row(page, "node-51").waitFor();
  await page.getByRole("searchbox").fill("node-120");
  await row(page, "node-120").waitFor();
});

test("events change the list at once, also after the connection was lost", async () => {
  const known = machine({ Name: "web-1" });
  const page = await start({ machines: [known] });
  await page.getByText("Live", { exact: true }).waitFor();
  mock.save({ ...known, Online: false, LastSeenAt: new Date(Date.now() - 65_000).toISOString() });
  await row(page, "web-1").getByRole("img", { name: /^Offline, last seen 1 minute ago/ }).waitFor();
  assert.equal(await row(page, "web-1").locator(".age").innerText(), "1m");
  mock.cut();
  // Missed while the connection was away: the resync brings it.
  mock.machines.set("x", machine({ Uuid: "0c2c1c5e-1111-4222-8333-444455556666", Name: "web-2" }));
  await row(page, "web-2").waitFor();
  await page.getByText("Live", { exact: true }).waitFor();
  mock.publish("machines", "delete", known.Uuid, null);
  await row(page, "web-1").waitFor({ state: "detached" });
});

test("without machines the page says how to add one", async () => {
  const page = await start();
  await page.getByText(/Press Bootstrap to add the first one/).waitFor();
});

test("a typed code shows the machine, and Bootstrap registers what was shown", async () => {
  const page = await start({ enrollments: [enrollment("K7P-3XB")] });
  const { dialog, code, approve } = await openBootstrap(page);
  assert.ok(await code.evaluate((field) => field === document.activeElement), "the code field has the focus");
  await code.pressSequentially("k7p3x8");
  assert.equal(await code.inputValue(), "K7P-3XB");
  await dialog.getByText(/Read 8 as B/).waitFor();
  await dialog.getByRole("heading", { name: "Dell Inc. PowerEdge R650" }).waitFor();
  assert.equal(await dialog.locator(".fingerprint-value").innerText(), "QM4T-9HXR-2VKD");
  for (const seen of ["7XK21M3", "10.20.4.17", "52:54:00:12:34:57", "nvme0n1, 1.9 TB SSD, Samsung PM9A3"]) {
    await dialog.getByText(seen).first().waitFor();
  }
  // Enter in the code field must not approve.
  await code.press("Enter");
  assert.equal(bodies("/approve").length, 0);
  assert.equal(await dialog.getByRole("checkbox").count(), 0);
  await dialog.getByLabel("Name", { exact: true }).fill("web-7");
  await approve.click();
  await dialog.getByRole("heading", { name: "web-7 is registered" }).waitFor();
  assert.deepEqual(bodies("/approve"), [
    { code: "K7P3XB", fingerprint: "QM4T-9HXR-2VKD", fingerprint_confirmed: false, name: "web-7" },
  ]);
  await dialog.getByRole("button", { name: "Done" }).click();
  await dialog.waitFor({ state: "detached" });
  assert.match(await row(page, "web-7").innerText(), /Discovery mode/);
});

test("warnings ask for the comparison, and a strong match is proposed for a merge", async () => {
  const known = machine({ Name: "db-07", offlineFor: 4 * 86_400 });
  const waiting = enrollment("C9D-4HJ", {
    warnings: [{ kind: "known_machine", message: "The serial number is also on db-07, which is offline." }],
    matches: [
      { uuid: known.Uuid, name: "db-07", score: 150, online: false, reasons: ["serial number"] },
      { uuid: machine().Uuid, name: "web-1", score: 100, online: true, reasons: ["MAC address"] },
    ],
  });
  const page = await start({ machines: [known], enrollments: [waiting] });
  const { dialog, code, approve } = await openBootstrap(page);
  await code.fill("C9D-4HJ");
  await dialog.getByText(/serial number is also on db-07/).waitFor();
  assert.ok(await approve.isDisabled(), "Bootstrap waits for the comparison");
  assert.ok(await dialog.getByRole("radio", { name: /It is db-07/ }).isChecked());
  assert.ok(await dialog.getByRole("radio", { name: /It is web-1/ }).isDisabled(), "an online machine cannot be merged");
  assert.equal(await dialog.getByLabel("Name", { exact: true }).inputValue(), "db-07");
  await dialog.getByRole("checkbox", { name: /matches the check/ }).check();
  await approve.click();
  await dialog.getByRole("heading", { name: "db-07 is registered" }).waitFor();
  assert.deepEqual(bodies("/approve"), [
    { code: "C9D4HJ", fingerprint: "QM4T-9HXR-2VKD", fingerprint_confirmed: true, merge: known.Uuid },
  ]);
});

test("a waiting machine can be approved without its code, after the comparison", async () => {
  const page = await start({ enrollments: [enrollment("K7P-3XB")] });
  const { dialog, approve } = await openBootstrap(page);
  await dialog.getByRole("button", { name: /Review Dell Inc. PowerEdge R650/ }).click();
  assert.ok(await approve.isDisabled());
  await dialog.getByRole("checkbox").check();
  await approve.click();
  await dialog.getByRole("heading", { name: /is registered/ }).waitFor();
  assert.deepEqual(bodies("/approve"), [{ fingerprint: "QM4T-9HXR-2VKD", fingerprint_confirmed: true }]);
});

test("Deny asks once more and sends the reason", async () => {
  const page = await start({ enrollments: [enrollment("K7P-3XB")] });
  const { dialog, code } = await openBootstrap(page);
  await code.fill("K7P3XB");
  await dialog.getByRole("button", { name: "Deny" }).click();
  await dialog.getByLabel(/Reason/).fill("not ours");
  await dialog.getByRole("button", { name: "Deny machine" }).click();
  await dialog.getByText(/was denied\. Nothing was registered/).waitFor();
  assert.deepEqual(bodies("/deny"), [{ reason: "not ours" }]);
  assert.equal(bodies("/approve").length, 0);
});

test("every refusal of a code has its sentence", async () => {
  const page = await start({ enrollments: [enrollment("K7P-3XB")] });
  const { dialog, code, approve } = await openBootstrap(page);
  const refusals = [
    [404, "code_not_found", /No machine is waiting with this code/],
    [410, "machine_gone", /stopped asking/],
    [503, "temporarily_unavailable", /Try again in a moment/],
  ];
  for (const [status, kind, sentence] of refusals) {
    mock.refuse.set("POST /bootstrap/lookup", { status, kind });
    await code.fill("");
    await code.fill("K7P3XB");
    await dialog.getByRole("alert").getByText(sentence).waitFor();
    assert.ok(await approve.isDisabled());
  }
  mock.refuse.set("POST /bootstrap/lookup", { status: 429, kind: "too_many_attempts", headers: { "Retry-After": "332" } });
  await dialog.getByRole("button", { name: "Look it up again" }).click();
  await dialog.getByText(/Try again in 5:3\d\./).waitFor();
  mock.refuse.clear();
  await dialog.getByRole("button", { name: "Look it up again" }).click();
  await dialog.locator(".fingerprint-value").waitFor();
  for (const [kind, sentence] of [
    ["fingerprint_mismatch", /not the one you looked at/],
    ["already_decided", /has been decided already\. Approved by mia/],
  ]) {
    mock.refuse.set("POST /bootstrap/enrollments/{id}/approve", { status: 409, kind, messages: ["approved by mia at 14:02"] });
    await approve.click();
    await dialog.getByRole("alert").getByText(sentence).waitFor();
  }
});

test("characters that no code contains are left out with a word", async () => {
  const page = await start();
  const { dialog, code } = await openBootstrap(page);
  await code.pressSequentially("K7O");
  assert.equal(await code.inputValue(), "K7");
  await dialog.getByText(/Codes never contain \u201cO\u201d/).waitFor();
});

test("a code can be edited in its middle", async () => {
  const page = await start();
  const { code } = await openBootstrap(page);
  await code.pressSequentially("K7P3X");
  await code.press("ArrowLeft");
  await code.press("ArrowLeft");
  await code.press("Backspace");
  assert.equal(await code.inputValue(), "K73-X");
  await code.pressSequentially("M");
  assert.equal(await code.inputValue(), "K7M-3X");
  assert.equal(await code.evaluate((field) => field.selectionStart), 3);
});

test("hostile hardware strings are shown as text", async () => {
  const hostile = `<img src=x onerror="document.title='owned'">{{7*7}}`;
  const page = await start({
    machines: [machine({ Name: "a", Inventory: inventory({ Vendor: hostile, Serial: hostile }) })],
    enrollments: [enrollment("K7P-3XB", { vendor: hostile, serial: hostile, warnings: [{ kind: "x", message: hostile }] })],
  });
  const { dialog, code } = await openBootstrap(page);
  await code.fill("K7P3XB");
  await dialog.getByRole("heading", { name: hostile }).waitFor();
  await dialog.getByRole("button", { name: "Close" }).click();
  await page.getByRole("link", { name: "a", exact: true }).click();
  await page.getByText(hostile).first().waitFor();
  assert.equal(await page.locator("img[src]").count(), 0);
  assert.equal(await page.title(), "a \u00b7 Muster");
});

test("the PXE card makes a token and its menus, and forgets them", async () => {
  const page = await start();
  const { dialog } = await openBootstrap(page);
  await dialog.getByRole("radio", { name: /PXE/ }).check({ force: true });
  for (const name of ["vmlinuz", "initrd"]) {
    assert.equal(await dialog.getByRole("link", { name }).getAttribute("href"), `/media/${name}`);
  }
  const lifetimes = await dialog.getByLabel("Token Lifetime").locator("option").allInnerTexts();
  assert.deepEqual(lifetimes, ["10 minutes", "1 day", "7 days", "30 days", "90 days", "365 days"]);
  await dialog.getByLabel("Token Lifetime").selectOption("7 days");
  await dialog.getByRole("button", { name: "Generate token" }).click();
  await dialog.getByRole("radio", { name: "GRUB" }).check({ force: true });
  assert.match(await dialog.getByLabel("GRUB").last().innerText(), /menuentry "Muster"/);
  assert.deepEqual(bodies("/tokens"), [{ Lifetime: 604_800 }]);
  await dialog.getByRole("button", { name: "Done" }).click();
  await page.getByRole("button", { name: "Bootstrap" }).click();
  await dialog.getByRole("radio", { name: /PXE/ }).check({ force: true });
  assert.equal(await dialog.getByText("eyJ").count(), 0);
});

test("the method that is not there yet cannot be chosen", async () => {
  const page = await start();
  const { dialog } = await openBootstrap(page);
  const later = dialog.getByRole("radio", { name: /Muster CLI/ });
  assert.equal(await later.getAttribute("aria-disabled"), "true");
  assert.match(await later.innerText(), /Arrives with a later release/);
  await later.click({ force: true });
  assert.ok(await dialog.getByRole("radio", { name: /ISO Image/ }).isChecked());
});

test("a server without media says how to build them", async () => {
  const page = await start({ media: false });
  const { dialog } = await openBootstrap(page);
  await dialog.getByText("muster media build").waitFor();
  assert.ok(await dialog.getByRole("button", { name: /Download ISO Image/ }).isDisabled());
});

test("Delete names the machine, can be called off, and works by keyboard alone", async () => {
  const page = await start({ machines: [machine({ Name: "web-1" })] });
  const menu = page.getByRole("button", { name: "Actions for web-1" });
  await menu.focus();
  await page.keyboard.press("Enter");
  await page.getByRole("menuitem", { name: /Delete/ }).waitFor();
  await page.keyboard.press("Enter");
  const dialog = page.getByRole("alertdialog", { name: "Delete web-1?" });
  await dialog.waitFor();
  await page.keyboard.press("Escape");
  await dialog.waitFor({ state: "detached" });
  assert.ok(await menu.evaluate((button) => button === document.activeElement), "the focus is back on the menu");
  await page.keyboard.press("Enter");
  await page.getByRole("menuitem", { name: /Delete/ }).waitFor();
  await page.keyboard.press("Enter");
  await dialog.getByRole("button", { name: "Delete machine" }).click();
  await row(page, "web-1").waitFor({ state: "detached" });
  await page.getByText("No machines yet").waitFor();
});

test("an ended session leads to the sign-in page, and Sign out too", async () => {
  const page = await start({ machines: [machine({ Name: "web-1" })] });
  mock.sessions.clear();
  mock.cut();
  await page.getByRole("heading", { name: "Sign in to Muster" }).waitFor();
  await page.getByText("Your session has ended. Sign in again.").waitFor();
  await page.getByLabel("Password").fill(mock.password);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByRole("button", { name: "Account of admin" }).click();
  await page.getByRole("menuitem", { name: "Sign out" }).click();
  await page.getByRole("heading", { name: "Sign in to Muster" }).waitFor();
  assert.equal(mock.sessions.size, 0);
});

test("a narrow screen never scrolls sideways", async () => {
  const page = await start({ machines: fleet(), enrollments: [enrollment("K7P-3XB")] }, { viewport: { width: 390, height: 844 } });
  const wide = () => page.evaluate(() => document.documentElement.scrollWidth);
  await row(page, "web-2.dc1.example").waitFor();
  assert.equal(await wide(), 390);
  const { dialog, code } = await openBootstrap(page);
  await code.fill("K7P3XB");
  await dialog.locator(".fingerprint-value").waitFor();
  assert.equal(await wide(), 390);
  const body = dialog.locator(".modal-body");
  const spills = () => body.evaluate((element) => element.scrollWidth > element.clientWidth);
  assert.ok(!(await spills()), "the preview fits");
  await dialog.getByRole("radio", { name: /PXE/ }).check({ force: true });
  await dialog.getByRole("button", { name: "Generate token" }).click();
  await dialog.getByRole("button", { name: "Copy token" }).waitFor();
  assert.ok(!(await spills()), "the token fits");
  await dialog.getByRole("button", { name: "Close" }).click();
  await page.getByRole("link", { name: "web-2.dc1.example" }).click();
  await page.getByRole("heading", { name: "Disks" }).waitFor();
  assert.equal(await wide(), 390);
});
