// The Machines page, sentence by sentence as operators were promised it. Run by the suite `dashboard`.
import assert from "node:assert/strict";
import { test } from "node:test";
import { row } from "../browser.mjs";
import { openBootstrap, setStage } from "./stage.mjs";
import { ask, call, change, imports, installs, registers } from "./world.mjs";

const DAY = 86_400;
const stage = setStage();

/** Red, green and blue of an element's ground, each up to 255. */
async function colour(locator) {
  const text = await locator.evaluate((element) => getComputedStyle(element).backgroundColor);
  const [red, green, blue] = text.match(/\d+/g).map(Number);
  return { red, green, blue };
}

test("The Machines page is the main landing page of the dashboard.", async () => {
  const page = await stage.open();
  await page.goto(stage.env.URL);
  await page.getByLabel("User name").fill(stage.env.USERNAME);
  await page.getByLabel("Password").fill(stage.env.PASSWORD);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByRole("heading", { name: "Machines", level: 1 }).waitFor();
  assert.equal(new URL(page.url()).pathname, "/");
  assert.match(await page.title(), /^Machines/);
  stage.cookies = await page.context().storageState();
});

test("It lists every machine registered with your account and provides the Bootstrap button to add new machines.", async () => {
  const page = await stage.visit();
  await page.getByRole("heading", { name: "No machines yet" }).waitFor();
  for (const name of ["rack1-a", "rack1-b", "rack1-c"]) await registers(name);
  for (const name of ["rack1-a", "rack1-b", "rack1-c"]) await row(page, name).waitFor();
  await page.getByRole("button", { name: "Bootstrap", exact: true }).waitFor();
});

test("Table Columns: Hostname, Provision, Mesh Network, Roles.", async () => {
  const page = await stage.visit();
  await row(page, "rack1-a").waitFor();
  const names = await page.getByRole("columnheader").allInnerTexts();
  const shown = names.map((name) => name.trim()).filter((name) => ["Hostname", "Provision", "Mesh Network", "Roles"].includes(name));
  assert.deepEqual(shown, ["Hostname", "Provision", "Mesh Network", "Roles"]);
});

test("Hostname: The machine's hostname. Includes a colored dot indicating online (green) or offline (red) status.", async () => {
  await registers("dotted", { HostName: "dotted" });
  await call("POST", "/machines", { Name: "never-seen" });
  const page = await stage.visit();
  const green = await colour(row(page, "dotted").getByRole("img", { name: "Online", exact: true }));
  assert.ok(green.green > green.red + 50 && green.green > green.blue + 50, JSON.stringify(green));
  const red = await colour(row(page, "never-seen").getByRole("img", { name: /^Offline/ }));
  assert.ok(red.red > red.green + 50 && red.red > red.blue + 50, JSON.stringify(red));
});

test("May also display badges for eBPF support and pending configuration changes.", async () => {
  await imports("debian");
  const disk = { Name: "vda", SizeBytes: 480_103_981_056, Serial: "BADGE-1", ById: ["virtio-BADGE-1"], Transport: "virtio" };
  const uuid = await registers("badged", { Ebpf: true, Disks: [disk] });
  const page = await stage.visit();
  const badged = row(page, "badged");
  await badged.getByText("eBPF", { exact: true }).waitFor();
  assert.equal(await badged.getByText(/pending changes/i).count(), 0, "nothing was changed yet");
  await installs("badged", uuid, "debian", "Installed");
  await badged.getByText("Installed", { exact: true }).waitFor();
  await call("POST", `/machines/${uuid}/params/muster%2Fssh-keys`, ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJXpUaMvWpcPWsWNBJpGSTWqDWSF1RnFnZcSMrSu2rVb test"]);
  await badged.getByText(/pending changes/i).waitFor();
  assert.equal(await row(page, "rack1-a").getByText("eBPF", { exact: true }).count(), 0);
});

for (const state of ["Discovery mode", "Install pending", "Installing", "Installed", "Failed"]) {
  test(`Provision: Current provisioning state of the machine. Common values: ${state}.`, async () => {
    const name = state.toLowerCase().replace(" ", "-");
    const disk = { Name: "vda", SizeBytes: 480_103_981_056, Serial: name, ById: [`virtio-${name}`], Transport: "virtio" };
    const uuid = await registers(name, { Disks: [disk] });
    const page = await stage.visit();
    await row(page, name).getByText("Discovery mode", { exact: true }).waitFor();
    if (state !== "Discovery mode") await installs(name, uuid, "debian", state);
    await row(page, name).getByText(state, { exact: true }).waitFor();
  });
}

test("Mesh Network: The mesh network the machine belongs to, if any.", async () => {
  await call("POST", "/meshes", { Name: "hall-7", Cidrs: ["10.99.0.0/24"] });
  const uuid = await registers("meshed");
  const page = await stage.visit();
  await row(page, "meshed").waitFor();
  assert.equal(await row(page, "meshed").getByText("hall-7").count(), 0);
  await change(uuid, "MeshNetwork", "hall-7");
  await row(page, "meshed").getByText("hall-7").waitFor();
});

test("Roles: Tags showing the machine roles assigned to this machine.", async () => {
  for (const Name of ["base", "web"]) await call("POST", "/profiles", { Name, Meta: { "muster-role": "true" } });
  const uuid = await registers("roled");
  await change(uuid, "Roles", ["base", "web"]);
  const page = await stage.visit();
  for (const role of ["base", "web"]) await row(page, "roled").getByText(role, { exact: true }).waitFor();
});

test("Each row also has a three-dot menu on the right for actions such as delete.", async () => {
  const uuid = await registers("unwanted");
  const page = await stage.visit();
  const found = row(page, "unwanted");
  const dots = found.getByRole("button", { name: "Actions for unwanted" });
  const [whole, button] = [await found.boundingBox(), await dots.boundingBox()];
  assert.ok(whole.x + whole.width - (button.x + button.width) < 40, "it is on the right");
  await dots.click();
  await page.getByRole("menuitem", { name: /Delete/ }).click();
  const dialog = page.getByRole("alertdialog", { name: /unwanted/ });
  const sure = dialog.getByRole("button", { name: /^Delete/ });
  if (await dialog.getByRole("textbox").count()) {
    assert.ok(await sure.isDisabled(), "nothing is deleted before its name was typed");
    await dialog.getByRole("textbox").fill("unwanted");
  }
  await sure.click();
  await dialog.waitFor({ state: "detached" });
  await found.waitFor({ state: "detached" });
  await assert.rejects(call("GET", `/machines/${uuid}`), /404/);
});

test("Clicking a hostname navigates to the machine detail page.", async () => {
  const page = await stage.visit();
  const found = row(page, "rack1-a");
  await found.waitFor();
  const uuid = await found.getAttribute("data-machine");
  await page.getByRole("link", { name: "rack1-a", exact: true }).click();
  await page.getByRole("heading", { name: /rack1-a/, level: 1 }).waitFor();
  assert.ok(new URL(page.url()).pathname.startsWith(`/machines/${uuid}`));
});

test("The Bootstrap button in the top-right corner opens the Bootstrap Machine dialog.", async () => {
  const page = await stage.visit();
  const button = await page.getByRole("button", { name: "Bootstrap", exact: true }).boundingBox();
  const main = await page.getByRole("main").boundingBox();
  assert.ok(main.x + main.width - (button.x + button.width) < 60, "it is at the right");
  assert.ok(button.y < 160, "it is at the top");
  await openBootstrap(page);
});

// From here on the server's clock is ahead.

test("Green dot: The machine is online. The agent has sent a heartbeat within the last 60 seconds.", async () => {
  await registers("beats");
  const page = await stage.visit();
  const beats = row(page, "beats");
  await beats.getByRole("img", { name: "Online", exact: true }).waitFor();
  await ask("time goes to", 45);
  await page.reload();
  await beats.getByRole("img", { name: "Online", exact: true }).waitFor();
  await ask("time goes to", 70);
  await beats.getByRole("img", { name: /^Offline/ }).waitFor({ timeout: 40_000 });
  await ask("the machine lives", { name: "beats" });
  await beats.getByRole("img", { name: "Online", exact: true }).waitFor();
  assert.equal(await beats.locator(".age").count(), 0, "no age stands beside a green dot");
});

test('Red dot: The machine is offline. The dot is accompanied by a time label showing how long ago the machine was last seen (for example, "4d" means 4 days ago).', async () => {
  await ask("time goes to", 4 * DAY + 3_600);
  // Nobody's log-in lasts so long.
  stage.forget();
  const page = await stage.visit();
  const beats = row(page, "beats");
  await beats.getByRole("img", { name: "Offline, last seen 4 days ago" }).waitFor();
  await beats.getByText("4d", { exact: true }).waitFor();
});
