// The sign-in and Machines pages in Chromium against the stand-in: `npm run build && npm run e2e`.
import assert from "node:assert/strict";
import { test } from "node:test";
import { row } from "./browser.mjs";
import { fleet, inventory, machine } from "./objects.mjs";
import { setStage } from "./stage.mjs";

const stage = setStage();

test("a wrong password is refused in words", async () => {
  const page = await stage.openPage();
  await page.goto(stage.mock.url);
  await page.getByLabel("Password").fill("wrong");
  await page.getByRole("button", { name: "Sign in" }).click();
  assert.match(await page.getByRole("alert").innerText(), /User name or password is wrong/);
});

test("the table has four columns and a menu, and rows tell all there is", async () => {
  const page = await stage.start({ machines: fleet() });
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
  const page = await stage.start({ machines: fleet() });
  const names = () => page.locator(".hostname-link").allInnerTexts();
  await row(page, "web-2.dc1.example").waitFor();
  const rising = await names();
  assert.ok(rising.indexOf("web-2.dc1.example") < rising.indexOf("web-10.dc1.example"), rising.join());
  await page.getByRole("button", { name: "Hostname" }).click();
  await page.locator(".hostname-link").first().getByText(rising.at(-1), { exact: true }).waitFor();
  assert.deepEqual(await names(), rising.toReversed());
  assert.equal(await page.getByRole("columnheader", { name: "Hostname" }).getAttribute("aria-sort"), "descending");
});

test("search finds by serial number and says when nothing matches", async () => {
  const page = await stage.start({ machines: [machine({ Name: "a", Inventory: inventory({ Serial: "ABC123" }) }), machine({ Name: "b" })] });
  const box = page.getByRole("searchbox", { name: "Search machines" });
  await box.fill("abc123");
  await row(page, "b").waitFor({ state: "detached" });
  await row(page, "a").waitFor();
  await box.fill("nonesuch");
  await page.getByText(/No machine matches/).waitFor();
});

test("a thousand machines scroll, and only those near the window are on the page", async () => {
  const machines = Array.from({ length: 1_000 }, (_, index) => machine({ Name: `node-${index + 1}` }));
  const page = await stage.start({ machines });
  await page.getByText("1,000 machines").waitFor();
  await row(page, "node-1").waitFor();
  assert.ok((await page.locator("[data-machine]").count()) < 60, "rows far away are not there");
  assert.equal(await page.getByRole("table").getAttribute("aria-rowcount"), "1001");
  await page.keyboard.press("End");
  await row(page, "node-1000").waitFor();
  await page.evaluate(() => window.scrollTo(0, document.body.scrollHeight / 2));
  await page.locator('[data-index="500"]').waitFor();
  assert.equal(await page.locator('[data-index="500"]').getAttribute("aria-rowindex"), "502");
  await page.getByRole("searchbox").fill("node-120");
  await row(page, "node-120").waitFor();
  await page.getByText("1 of 1,000 machines").waitFor();
});

test("a jump ends where it was to go, while the rows there are on their way", async () => {
  const machines = Array.from({ length: 3_000 }, (_, index) => machine({ Name: `node-${index + 1}` }));
  const page = await stage.start({ machines });
  await row(page, "node-1").waitFor();
  for (let to = 5_200; to <= 140_400; to += 5_200) {
    await page.evaluate((top) => window.scrollTo(0, top), to);
    await page.locator(`[data-index="${to / 52 + 3}"][data-machine]`).waitFor();
    assert.equal(await page.evaluate(() => window.scrollY), to);
  }
});

test("filters and order are in the address, and a view may be named, reloaded and forgotten", async () => {
  const page = await stage.start({
    machines: [
      machine({ Name: "a", ProvisionState: "Failed" }),
      machine({ Name: "b", ProvisionState: "Installed", MeshNetwork: "core", Roles: ["web"] }),
      machine({ Name: "c", ProvisionState: "Failed", Online: false, LastSeenAt: null }),
    ],
    objects: { meshes: [{ Name: "core" }], profiles: [{ Name: "web", Meta: { "muster-role": "true" } }] },
  });
  await row(page, "b").waitFor();
  await page.getByRole("button", { name: "State", exact: true }).click();
  await page.getByRole("menuitemcheckbox", { name: "Failed" }).click();
  await page.keyboard.press("Escape");
  await row(page, "b").waitFor({ state: "detached" });
  await page.getByRole("button", { name: "Status" }).click();
  await page.getByRole("menuitemcheckbox", { name: "Offline" }).click();
  await page.keyboard.press("Escape");
  await row(page, "a").waitFor({ state: "detached" });
  await page.getByRole("button", { name: "Provision" }).click();
  await page.waitForURL(/state=Failed&status=offline&sort=provision/);
  await page.getByRole("button", { name: "View: not kept" }).click();
  await page.getByRole("menuitem", { name: /Save this view/ }).click();
  await page.getByRole("alertdialog").getByLabel(/Name/).fill("Broken and away");
  await page.getByRole("button", { name: "Save", exact: true }).click();
  await page.getByText("The view Broken and away is saved in this browser.").waitFor();
  await page.reload();
  await row(page, "c").waitFor();
  assert.equal(await page.locator("[data-machine]").count(), 1);
  await page.getByRole("button", { name: "View: Broken and away" }).click();
  await page.getByRole("menuitemradio", { name: "All machines" }).click();
  await row(page, "b").waitFor();
  await page.getByRole("button", { name: "Role", exact: true }).click();
  await page.getByRole("menuitemcheckbox", { name: "web" }).click();
  await page.keyboard.press("Escape");
  await row(page, "a").waitFor({ state: "detached" });
  await page.getByRole("button", { name: "Mesh", exact: true }).click();
  await page.getByRole("menuitemcheckbox", { name: "No mesh network" }).click();
  await page.keyboard.press("Escape");
  await page.getByText("No machine matches").waitFor();
  await page.goBack();
  await row(page, "b").waitFor();
  await page.getByRole("button", { name: "View: not kept" }).waitFor();
  await page.getByRole("button", { name: "Clear" }).click();
  await page.getByRole("button", { name: "View: All machines" }).click();
  await page.getByRole("menuitemradio", { name: "Broken and away" }).click();
  await page.waitForURL(/status=offline/);
  await page.getByRole("button", { name: "View: Broken and away" }).click();
  await page.getByRole("menuitem", { name: "Forget Broken and away" }).click();
  await page.getByRole("button", { name: "View: not kept" }).waitFor();
});

test("a dot turns red sixty seconds after the last heartbeat, by the server's clock and without an event", async () => {
  const page = await stage.openPage({ machines: [] });
  await page.clock.install();
  // The server's clock is five minutes ahead of the browser's.
  stage.mock.ahead = 300_000;
  const seen = Math.floor((Date.now() + stage.mock.ahead) / 1000) * 1000;
  const known = machine({ Name: "web-1", Online: true, LastSeenAt: new Date(seen).toISOString() });
  stage.mock.machines.set(known.Uuid, known);
  await page.goto(stage.mock.url);
  await page.getByLabel("User name").fill("admin");
  await page.getByLabel("Password").fill(stage.mock.password);
  await page.getByRole("button", { name: "Sign in" }).click();
  const dot = row(page, "web-1").getByRole("img");
  await dot.waitFor();
  // From here on nothing is heard of the server: what time does, the page's clock does alone.
  await page.route("**/api/v3/**", (route) => route.fulfill({ status: 503, body: "" }));
  stage.mock.cut();
  await page.getByText("Reconnecting").waitFor();
  const at = async () => (await page.evaluate(() => Date.now())) + stage.mock.ahead - seen;
  await page.clock.fastForward(57_000 - (await at()));
  assert.equal(await dot.getAttribute("aria-label"), "Online");
  // The `Date` header tells whole seconds, so a second is what may be in doubt.
  await page.clock.fastForward(61_000 - (await at()));
  await row(page, "web-1").getByRole("img", { name: "Offline, last seen 1 minute ago" }).waitFor();
  assert.equal(await row(page, "web-1").locator(".age").innerText(), "1m");
  await page.clock.fastForward(3 * 3_600_000);
  await row(page, "web-1").getByText("3h", { exact: true }).waitFor();
});

test("a row changes at once and stays where it is", async () => {
  const known = machine({ Name: "node-1" });
  const page = await stage.start({ machines: [known, machine({ Name: "node-2" })] });
  await page.getByText("Live", { exact: true }).waitFor();
  stage.mock.save({ ...known, Name: "zebra", ProvisionState: "Failed" });
  await row(page, "zebra").getByText("Failed").waitFor();
  assert.deepEqual(await page.locator(".hostname-link").allInnerTexts(), ["zebra", "node-2"]);
  // A new one comes where it belongs.
  const born = machine({ Name: "node-10" });
  stage.mock.machines.set(born.Uuid, born);
  stage.mock.publish("machines", "create", born.Uuid, born);
  await row(page, "node-10").waitFor();
});

test("the row menu locks, renames and brings back to Discovery mode", async () => {
  const page = await stage.start({ machines: [machine({ Name: "web-1" })] });
  const menu = (name) => page.getByRole("button", { name: `Actions for ${name}` });
  const choose = async (name, item) => {
    await menu(name).click();
    await page.getByRole("menuitem", { name: item }).click();
  };
  await choose("web-1", /^Rename/);
  await page.getByRole("alertdialog").getByLabel(/^Name/).fill("web-9");
  await page.getByRole("button", { name: "Rename", exact: true }).click();
  await row(page, "web-9").waitFor();
  await page.getByText("web-1 is called web-9 now.").waitFor();
  await choose("web-9", /^Discover/);
  await page.getByRole("button", { name: "Discover", exact: true }).click();
  await page.getByText(/web-9 goes back to Discovery mode/).waitFor();
  assert.deepEqual(stage.mock.asked.findLast(({ path }) => path.endsWith("/provision"))?.body, { Mode: "discover" });
  await choose("web-9", /^Lock/);
  await row(page, "web-9").getByRole("img", { name: "Locked" }).waitFor();
  await menu("web-9").click();
  assert.equal(await page.getByRole("menuitem", { name: /^Delete/ }).getAttribute("data-disabled"), "");
  await page.getByRole("menuitem", { name: /^Unlock/ }).click();
  await row(page, "web-9").getByRole("img", { name: "Locked" }).waitFor({ state: "detached" });
});

test("many machines are locked at once, with a result for each, and those that failed again", async () => {
  const machines = Array.from({ length: 6 }, (_, index) => machine({ Name: `node-${index + 1}` }));
  const page = await stage.start({ machines });
  await page.getByRole("checkbox", { name: "Select node-2" }).check();
  await page.getByRole("checkbox", { name: "Select node-4" }).check();
  const bar = page.getByRole("region", { name: "Selected machines" });
  await bar.getByText("2 selected").waitFor();
  await bar.getByRole("button", { name: "Actions" }).click();
  await page.getByRole("menuitem", { name: /^Lock/ }).click();
  const dialog = page.getByRole("dialog", { name: "Lock: 2 machines" });
  stage.mock.refuse.set("PATCH /machines/{id}", { status: 409, kind: "Conflict", messages: ["somebody else was faster"] });
  await dialog.getByRole("button", { name: "Lock", exact: true }).click();
  await dialog.getByText("0 of 2 done, 2 failed.").waitFor();
  assert.equal(await dialog.getByText(/Somebody else was faster/).count(), 2);
  stage.mock.refuse.clear();
  await dialog.getByRole("button", { name: /Try the 2 that failed again/ }).click();
  await dialog.getByText("2 of 2 done.").waitFor();
  await dialog.getByRole("button", { name: "Close" }).last().click();
  await row(page, "node-4").getByRole("img", { name: "Locked" }).waitFor();
  assert.equal(await page.getByRole("img", { name: "Locked" }).count(), 2);
  await bar.waitFor({ state: "detached" });
});

test("all machines of a view are deleted after their number was typed", async () => {
  const machines = Array.from({ length: 130 }, (_, index) => machine({ Name: index < 120 ? `old-${index}` : `new-${index}` }));
  const page = await stage.start({ machines });
  await page.getByRole("searchbox").fill("old-");
  await page.getByText("120 of 130 machines").waitFor();
  await page.getByRole("checkbox", { name: "Select old-0", exact: true }).check();
  await page.getByRole("button", { name: "Select all 120" }).click();
  await page.getByText("120 selected").waitFor();
  await page.getByRole("button", { name: "Actions", exact: true }).click();
  await page.getByRole("menuitem", { name: /^Delete/ }).click();
  const dialog = page.getByRole("dialog", { name: "Delete: 120 machines" });
  const button = dialog.getByRole("button", { name: "Delete machines" });
  assert.ok(await button.isDisabled());
  await dialog.getByLabel(/120 machines, to confirm/).fill("120 machines");
  await button.click();
  await dialog.getByText("120 of 120 done.").waitFor();
  await dialog.getByRole("button", { name: "Close" }).last().click();
  await page.getByText("No machine matches").waitFor();
  assert.equal(stage.mock.machines.size, 10);
});

test("an installation of many shows what each disk loses before it begins", async () => {
  const page = await stage.start({ machines: [machine({ Name: "node-1" }), machine({ Name: "node-2" })] });
  const disk = { Name: "sda", Model: "Micron 5300", Contents: { Table: "gpt" } };
  stage.mock.setup = ({ Name }) => ({
    DiskPlan: Name === "node-1" ? { Disks: [{ Disk: disk, Fate: "Erase", Reason: "" }], Error: "" } : { Disks: [], Error: "no disk fits" },
  });
  await page.getByRole("checkbox", { name: "Select all machines that are loaded" }).check();
  await page.getByRole("button", { name: "Actions", exact: true }).click();
  await page.getByRole("menuitem", { name: /^Provision/ }).click();
  const dialog = page.getByRole("dialog", { name: "Provision: 2 machines" });
  await dialog.getByText("erases sda Micron 5300").waitFor();
  await dialog.getByText("no disk fits").waitFor();
  await dialog.getByText("1 machine cannot be done and will be left out.").waitFor();
  await dialog.getByLabel(/1 machine, to confirm/).fill("1 machine");
  await dialog.getByRole("button", { name: "Provision", exact: true }).click();
  await dialog.getByText("1 of 1 done.").waitFor();
  const asked = stage.mock.asked.filter(({ path }) => path.endsWith("/provision")).map(({ body }) => body.Confirm);
  assert.deepEqual(asked, ["node-1"]);
});

test("events change the list at once, also after the connection was lost", async () => {
  const known = machine({ Name: "web-1" });
  const page = await stage.start({ machines: [known] });
  await page.getByText("Live", { exact: true }).waitFor();
  stage.mock.save({ ...known, Online: false, LastSeenAt: new Date(Date.now() - 65_000).toISOString() });
  await row(page, "web-1").getByRole("img", { name: /^Offline, last seen 1 minute ago/ }).waitFor();
  assert.equal(await row(page, "web-1").locator(".age").innerText(), "1m");
  stage.mock.cut();
  // Missed while the connection was away: the resync brings it.
  stage.mock.machines.set("x", machine({ Uuid: "0c2c1c5e-1111-4222-8333-444455556666", Name: "web-2" }));
  await row(page, "web-2").waitFor();
  await page.getByText("Live", { exact: true }).waitFor();
  stage.mock.publish("machines", "delete", known.Uuid, null);
  await row(page, "web-1").waitFor({ state: "detached" });
});

test("without machines the page says how to add one", async () => {
  const page = await stage.start();
  await page.getByText(/Press Bootstrap to add the first one/).waitFor();
});

test("Delete names the machine, can be called off, and works by keyboard alone", async () => {
  const page = await stage.start({ machines: [machine({ Name: "web-1" })] });
  const menu = page.getByRole("button", { name: "Actions for web-1" });
  await menu.focus();
  await page.keyboard.press("Enter");
  // Keys go to the menu once an item of it has the focus.
  await page.locator('[role="menuitem"]:focus').waitFor();
  await page.keyboard.press("End");
  await page.locator('[role="menuitem"]:focus').getByText("Delete").waitFor();
  await page.keyboard.press("Enter");
  const dialog = page.getByRole("alertdialog", { name: "Delete web-1?" });
  await dialog.waitFor();
  await page.keyboard.press("Escape");
  await dialog.waitFor({ state: "detached" });
  await page.locator('[aria-label="Actions for web-1"]:focus').waitFor();
  await page.keyboard.press("Enter");
  // Keys go to the menu once an item of it has the focus.
  await page.locator('[role="menuitem"]:focus').waitFor();
  await page.keyboard.press("End");
  await page.locator('[role="menuitem"]:focus').getByText("Delete").waitFor();
  await page.keyboard.press("Enter");
  const button = dialog.getByRole("button", { name: "Delete machine" });
  assert.ok(await button.isDisabled(), "the name has to be typed first");
  await dialog.getByLabel(/to confirm$/).fill("web-1");
  await page.keyboard.press("Enter");
  await row(page, "web-1").waitFor({ state: "detached" });
  await page.getByText("No machines yet").waitFor();
});

test("an ended session leads to the sign-in page, and Sign out too", async () => {
  const page = await stage.start({ machines: [machine({ Name: "web-1" })] });
  stage.mock.sessions.clear();
  stage.mock.cut();
  await page.getByRole("heading", { name: "Sign in to Muster" }).waitFor();
  await page.getByText("Your session has ended. Sign in again.").waitFor();
  await page.getByLabel("Password").fill(stage.mock.password);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByRole("button", { name: "Account of admin" }).click();
  await page.getByRole("menuitem", { name: "Sign out" }).click();
  await page.getByRole("heading", { name: "Sign in to Muster" }).waitFor();
  assert.equal(stage.mock.sessions.size, 0);
});

