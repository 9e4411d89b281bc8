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

test("a hundred machines come in pages", async () => {
  const machines = Array.from({ length: 120 }, (_, index) => machine({ Name: `node-${index + 1}` }));
  const page = await stage.start({ machines });
  await page.getByText("Page 1 of 3").waitFor();
  assert.equal(await page.locator("[data-machine]").count(), 50);
  await page.getByRole("button", { name: "Next" }).click();
  await row(page, "node-51").waitFor();
  await page.getByRole("searchbox").fill("node-120");
  await row(page, "node-120").waitFor();
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

test("the detail page tells memory, switch, controller and, on request, every PCI function", async () => {
  const page = await stage.start({ machines: [machine({ Name: "db-07" })] });
  await page.getByRole("link", { name: "db-07" }).click();
  const region = (name) => page.getByRole("region", { name });
  assert.match(await region("Network links").innerText(), /eno1.*25 Gb\/s.*sw-3 port Eth1\/7\s+db-07 left, VLAN 120, 10\.20\.0\.3, Arista EOS/s);
  assert.match(await region("Memory modules").innerText(), /DIMM_A2\s+64 GiB\s+DDR5\s+4800 MT\/s\s+Samsung/);
  const facts = await page.locator(".card", { hasText: "Hardware" }).first().innerText();
  assert.match(facts, /128 GiB in 2 modules/);
  assert.match(facts, /TPM\s+2\.0\s+BMC\s+10\.20\.3\.17, 52:54:00:ab:cd:01/);
  await region("PCI devices").waitFor({ state: "hidden" });
  await page.getByText("3 functions").click();
  assert.match(await region("PCI devices").innerText(), /0000:5e:00\.0\s+Storage\s+144d:a824\s+144d:0001\s+nvme/);
});

test("an inventory that was cut to fit says nothing about what it left out", async () => {
  const cut = inventory({ Pci: [], MemoryModules: [], Abridged: true });
  const page = await stage.start({ machines: [machine({ Name: "db-07", Inventory: cut })] });
  await page.getByRole("link", { name: "db-07" }).click();
  await page.getByText("The machine has not sent its PCI devices yet.").waitFor();
  await page.getByText("The machine has not sent its memory modules yet.").waitFor();
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

