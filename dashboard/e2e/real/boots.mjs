// From media that the browser downloads to machines in the list, with virtual machines that boot them; and what
// is done with a machine from there. Run by the suite `dashboard`.
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { after, before, test } from "node:test";
import { row } from "../browser.mjs";
import { openBootstrap, setStage } from "./stage.mjs";
import { ask, call, imports } from "./world.mjs";

/** From the click to a shell: the tools are fetched and unpacked by an emulated processor first. */
const OPENED_WITHIN = 180_000;
/** From a moved clock to the next heartbeat: the one before is held as long as nothing happens. */
const HEARD_WITHIN = 60_000;
const stage = setStage();
let folder;
/** The machine that came by the network, and the one that came by the ISO image. */
let networked;
let machine;

before(async () => {
  folder = await mkdtemp(path.join(os.tmpdir(), "muster-downloads-"));
});
after(() => rm(folder, { recursive: true, force: true }));

/** Clicks what downloads; the file. */
async function download(page, link) {
  const [started] = await Promise.all([page.waitForEvent("download"), link.click()]);
  const file = path.join(folder, started.suggestedFilename());
  await started.saveAs(file);
  return file;
}

test("PXE: a machine that boots vmlinuz and initrd with the token as a kernel parameter appears in the Machines list in Discovery mode.", async () => {
  const page = await stage.visit();
  const dialog = await openBootstrap(page, /PXE\/Network/);
  const kernel = await download(page, dialog.getByRole("link", { name: /vmlinuz/ }));
  const initrd = await download(page, dialog.getByRole("link", { name: /initrd/ }));
  await dialog.getByRole("button", { name: /Generate token/ }).click();
  const token = (await dialog.getByLabel("Token", { exact: true }).innerText()).trim();
  await dialog.getByRole("radio", { name: "Kernel arguments" }).check({ force: true });
  const shown = (await dialog.getByLabel("Kernel arguments", { exact: true }).last().innerText()).trim();
  assert.ok(shown.includes(token), "the token is among the kernel's parameters");
  await dialog.getByRole("button", { name: "Done" }).click();
  await ask("a machine boots the kernel", { kernel, initrd, arguments: shown });
  networked = await ask("the name on the console", "pxe");
  const found = row(page, networked.name);
  await found.getByText("Discovery mode", { exact: true }).waitFor();
  await found.getByRole("img", { name: "Online", exact: true }).waitFor();
});

test("Terminal: off by default, allowed and opened by whoever enters the password again, a shell of the machine's own, recorded and played.", async () => {
  const page = await stage.visit(`/machines/${networked.uuid}/terminal`);
  const allow = page.getByRole("switch", { name: `Allow terminals on ${networked.name}` });
  const open = page.getByRole("button", { name: "Open a terminal" });
  await page.getByText(/^Off, as for every machine/).waitFor();
  assert.equal(await open.count(), 0, "there is none to open before they are allowed");
  // A password counts for five minutes: it was entered longer ago, both times.
  await ask("time goes to", 330);
  await allow.click();
  await enterPassword(page);
  await page.getByText(`Allowed by ${stage.env.USERNAME}`).waitFor();
  await ask("time goes to", 660);
  await page.reload();
  await open.and(page.locator(":enabled")).waitFor({ timeout: HEARD_WITHIN });
  await open.click();
  await page.getByText("Your password was entered too long ago for a terminal.").waitFor();
  await page.getByRole("button", { name: "Enter your password" }).click();
  await enterPassword(page);

  await page.getByText("Open, and recorded.").waitFor({ timeout: OPENED_WITHIN });
  await ask("the console says", { machine: "pxe", words: `terminal: ${stage.env.USERNAME} opened one from 127.0.0.1` });
  const screen = page.locator(".terminal .xterm-rows");
  await page.locator(".terminal .xterm-screen").click();
  await page.keyboard.type("echo from-$((6*7)); tty; cat /sys/class/dmi/id/product_serial\r");
  await screen.filter({ hasText: "from-42" }).filter({ hasText: "/dev/pts/0" }).waitFor();
  await screen.filter({ hasText: "BOOTED-BY-PXE" }).waitFor();
  await page.keyboard.type("exit\r");
  await page.getByText("Ended: The shell ended.").waitFor();
  await page.getByRole("button", { name: "Close", exact: true }).click();
  await open.waitFor();

  const kept = page.getByRole("table", { name: "Terminals of this machine" }).getByRole("row").filter({ hasText: stage.env.USERNAME });
  await kept.getByText("The shell ended.").waitFor();
  await kept.getByRole("button", { name: /^Actions for the terminal of/ }).click();
  await page.getByRole("menuitem", { name: "Play" }).click();
  const player = page.getByRole("dialog", { name: "Recording" });
  await player.getByRole("button", { name: "To the end" }).click();
  await player.locator(".xterm-rows").filter({ hasText: "from-42" }).filter({ hasText: "BOOTED-BY-PXE" }).waitFor();
});

/** Shows once more who one is. */
async function enterPassword(page) {
  const dialog = page.getByRole("dialog", { name: "Enter your password" });
  await dialog.getByLabel("Password").fill(stage.env.PASSWORD);
  await dialog.getByRole("button", { name: "Continue" }).click();
  await dialog.waitFor({ state: "detached" });
}

// From a USB drive the suite `first-light` boots it.
test("ISO: Mount it as a virtual CD-ROM, then boot the target machine from it. The machine displays a 6-character bootstrap code on its console after booting. Enter that 6-character code in the dashboard dialog. Click Bootstrap to complete registration.", async () => {
  const page = await stage.visit();
  const dialog = await openBootstrap(page, /ISO Image/);
  const iso = await download(page, dialog.getByRole("link", { name: /Download ISO Image/ }));
  await ask("a machine boots the ISO", { iso });
  const { code, check } = await ask("what the console shows");
  assert.match(code, /^[A-Z0-9]{3}-[A-Z0-9]{3}$/);
  await dialog.getByLabel(/Code on the machine/).pressSequentially(code.replace("-", ""));
  await dialog.getByRole("region", { name: /asks to be registered/ }).waitFor();
  assert.equal(await dialog.locator(".fingerprint-value").innerText(), check, "dialog and console show the same check");
  for (const seen of ["BOOTED-BY-ISO", "52:54:00:da:5b:01"]) await dialog.getByText(seen).first().waitFor();
  await dialog.getByRole("button", { name: "Bootstrap", exact: true }).click();
  await dialog.getByRole("heading", { name: /is registered/ }).waitFor();
  machine = await ask("the name on the console", "iso");
  await dialog.getByRole("button", { name: "Done" }).click();
  const found = row(page, machine.name);
  await found.getByText("Discovery mode", { exact: true }).waitFor();
  await found.getByRole("img", { name: "Online", exact: true }).waitFor();
});

test("After Bootstrap: Click the machine hostname to open its detail page.", async () => {
  const page = await stage.visit();
  await page.getByRole("link", { name: machine.name, exact: true }).click();
  await page.getByRole("heading", { name: new RegExp(machine.name), level: 1 }).waitFor();
  assert.ok(new URL(page.url()).pathname.startsWith(`/machines/${machine.uuid}`));
  await page.goto(`${stage.env.URL}/machines/${machine.uuid}/hardware`);
  await page.getByText("BOOTED-BY-ISO").first().waitFor();
});

test("After Bootstrap: Assign machine roles and a mesh network.", async () => {
  for (const Name of ["base", "web"]) await call("POST", "/profiles", { Name, Meta: { "muster-role": "true" } });
  await call("POST", "/meshes", { Name: "hall-7", Cidrs: ["10.99.0.0/24"] });
  const page = await stage.visit(`/machines/${machine.uuid}`);
  await page.getByRole("button", { name: "Add role" }).click();
  await page.getByRole("combobox", { name: "Add role" }).fill("we");
  await page.getByRole("option", { name: /web/ }).click();
  await page.getByLabel(/^Mesh network/i).selectOption({ label: "hall-7" });
  await page.getByRole("region", { name: "Unsaved changes" }).getByRole("button", { name: "Save" }).click();
  await page.getByRole("region", { name: "Unsaved changes" }).waitFor({ state: "detached" });
  await page.goto(stage.env.URL);
  await row(page, machine.name).getByText("web", { exact: true }).waitFor();
  await row(page, machine.name).getByText("hall-7").waitFor();
});

// To the end of an installation, and what was configured, the suite `provisioning` goes.
test("After Bootstrap: Trigger provisioning: the disk is shown, and the machine takes the order up.", async () => {
  await imports("debian-12");
  const page = await stage.visit(`/machines/${machine.uuid}/provisions`);
  await page.getByRole("button", { name: /^Provision/ }).click();
  const dialog = page.getByRole("dialog", { name: `Provision ${machine.name}` });
  await dialog.getByRole("region", { name: "Disk plan" }).getByText("SYSTEM-1").waitFor();
  await dialog.getByLabel("Image").selectOption({ label: "debian-12" });
  // Nothing is on the disk, so nothing has to be typed.
  await dialog.getByRole("button", { name: "Install", exact: true }).click();
  await dialog.waitFor({ state: "detached" });
  const run = page.getByRole("list", { name: "Runs" }).getByRole("listitem").first();
  await run.getByText(/debian-12/).waitFor();
  await page.goto(stage.env.URL);
  // From here on it is the machine's own doing.
  await row(page, machine.name).getByText(/^(Install pending|Installing)$/).waitFor();
});
