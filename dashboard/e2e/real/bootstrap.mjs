// The Bootstrap Machine dialog, sentence by sentence as operators were promised it. Run by the suite `dashboard`.
import assert from "node:assert/strict";
import { open as openFile, stat } from "node:fs/promises";
import { test } from "node:test";
import { row } from "../browser.mjs";
import { openBootstrap, setStage } from "./stage.mjs";
import { ask, call, waits } from "./world.mjs";

const LIFETIMES = ["10 minutes", "1 day", "7 days", "30 days", "90 days", "365 days"];
const stage = setStage();

/** Lets the page read what it copied. */
const CLIPBOARD = { permissions: ["clipboard-read", "clipboard-write"] };

function pasted(page) {
  return page.evaluate(() => navigator.clipboard.readText());
}

/** Clicks what downloads, and gives the file and its length. */
async function download(page, link) {
  const [started] = await Promise.all([page.waitForEvent("download"), link.click()]);
  const file = await started.path();
  return { name: started.suggestedFilename(), file, size: (await stat(file)).size };
}

/** Bytes of a file. */
async function bytes(file, from, length) {
  const handle = await openFile(file);
  try {
    const { buffer } = await handle.read(Buffer.alloc(length), 0, length, from);
    return buffer;
  } finally {
    await handle.close();
  }
}

async function offersLifetimes(dialog) {
  const select = dialog.getByLabel("Token Lifetime");
  assert.deepEqual((await select.locator("option").allInnerTexts()).map((text) => text.trim()), LIFETIMES);
  assert.equal(await select.locator("option:checked").innerText(), "10 minutes");
  return select;
}

async function isClosedByDone(page, dialog) {
  await dialog.getByRole("button", { name: "Done" }).click();
  await dialog.waitFor({ state: "detached" });
  // The focus is back where it was.
  await page.getByRole("button", { name: "Bootstrap", exact: true }).and(page.locator(":focus")).waitFor();
}

test("There are three bootstrap methods. Select one by clicking its card at the top of the dialog.", async () => {
  const page = await stage.visit();
  const dialog = await openBootstrap(page);
  const cards = dialog.getByRole("radio");
  for (const [name, shows] of [
    [/Muster CLI/, "Token Lifetime"],
    [/ISO Image/, /Code on the machine/],
    [/PXE\/Network/, "Token Lifetime"],
  ]) {
    await dialog.getByText(name).first().click();
    assert.ok(await cards.and(dialog.getByRole("radio", { name })).isChecked());
    await dialog.getByLabel(shows).waitFor();
  }
  assert.equal(await dialog.getByRole("radiogroup", { name: "Method" }).getByRole("radio").count(), 3);
});

test("CLI: Select the Token Lifetime from the dropdown. The default is 10 minutes. Other options: 1 day, 7 days, 30 days, 90 days, 365 days.", async () => {
  const page = await stage.visit();
  await offersLifetimes(await openBootstrap(page, /Muster CLI/));
});

test("CLI: Copy the one-line curl command displayed in the dialog. The command downloads and runs the Muster install script with an embedded JWE bootstrap token.", async () => {
  const page = await stage.visit("/", CLIPBOARD);
  const dialog = await openBootstrap(page, /Muster CLI/);
  await dialog.getByRole("button", { name: /Generate command/ }).click();
  const command = await dialog.getByLabel("Command", { exact: true }).innerText();
  await dialog.getByRole("button", { name: "Copy command" }).click();
  await dialog.getByRole("button", { name: "Copied" }).waitFor();
  assert.equal((await pasted(page)).trim(), command.trim());
  const [, script] = /curl [^\n]*(https:\/\/\S+) <<.*\| sudo sh\n/.exec(command) ?? [];
  assert.ok(script, `it runs what it downloads: ${command}`);
  const token = command.match(/eyJ[\w-]+\.[\w-]*\.[\w-]+\.[\w-]+\.[\w-]+/)?.[0];
  assert.ok(token, "a JWE stands in it: five parts, the first of them a header");
  const header = JSON.parse(Buffer.from(token.split(".")[0], "base64url").toString());
  assert.ok(header.enc, JSON.stringify(header));
  // What is at the address is the script, for whoever has the token.
  const answer = await page.evaluate(
    async ({ path, headers }) => (await fetch(path, { headers })).text(),
    { path: new URL(script).pathname, headers: { Authorization: `Bearer ${token}` } },
  );
  assert.match(answer, /^#!\/bin\/sh\n[^]*muster-agent/);
});

// As root on a Debian that runs already the suite `provisioning` runs it.
test("CLI: Click Done to close the dialog, and the command is gone with it.", async () => {
  const page = await stage.visit();
  const dialog = await openBootstrap(page, /Muster CLI/);
  await dialog.getByRole("button", { name: /Generate command/ }).click();
  const command = await dialog.getByLabel("Command", { exact: true }).innerText();
  await isClosedByDone(page, dialog);
  await openBootstrap(page, /Muster CLI/);
  assert.equal(await page.getByText(command.slice(0, 40)).count(), 0, "the command is gone with the dialog");
});

test("ISO: Click Download ISO Image to download the Muster bootstrap ISO.", async () => {
  const page = await stage.visit();
  const dialog = await openBootstrap(page, /ISO Image/);
  const link = dialog.getByRole("link", { name: /Download ISO Image/ });
  assert.match(await link.innerText(), /\d+(\.\d+)? MB/, "its size is told before");
  const { name, file, size } = await download(page, link);
  assert.match(name, /\.iso$/);
  assert.ok(size > 30_000_000, `${size} bytes`);
  assert.equal((await bytes(file, 0x8001, 5)).toString(), "CD001");
});

test("ISO: Enter that 6-character code in the dashboard dialog (three characters, dash, three characters).", async () => {
  const { code, fingerprint } = await waits("coded", { Vendor: "Dell Inc.", Product: "PowerEdge R650", Serial: "7XK21M3" });
  assert.match(code, /^[A-Z0-9]{3}-[A-Z0-9]{3}$/);
  const page = await stage.visit();
  const dialog = await openBootstrap(page, /ISO Image/);
  const field = dialog.getByLabel(/Code on the machine/);
  await field.pressSequentially(code.replace("-", "").toLowerCase());
  assert.equal(await field.inputValue(), code, "the dash comes by itself, and letters are large");
  const preview = dialog.getByRole("region", { name: /asks to be registered/ });
  await preview.waitFor();
  for (const seen of ["PowerEdge R650", "7XK21M3", fingerprint]) await dialog.getByText(seen).first().waitFor();
  await field.fill("");
  await field.evaluate((element, text) => {
    const data = new DataTransfer();
    data.setData("text/plain", text);
    element.focus();
    element.dispatchEvent(new ClipboardEvent("paste", { clipboardData: data, bubbles: true, cancelable: true }));
  }, ` ${code.toLowerCase()}\n`);
  if ((await field.inputValue()) === "") await page.keyboard.insertText(` ${code.toLowerCase()}`);
  await preview.waitFor();
  assert.equal(await field.inputValue(), code);
});

test("ISO: Click Bootstrap to complete registration. Once a machine successfully bootstraps, it appears in the Machines list in Discovery mode.", async () => {
  const { code } = await waits("arrives", { Serial: "ARRIVES-1" });
  const page = await stage.visit();
  const dialog = await openBootstrap(page, /ISO Image/);
  await dialog.getByLabel(/Code on the machine/).fill(code);
  await dialog.getByLabel("Name", { exact: true }).fill("arrives");
  const tick = dialog.getByRole("checkbox", { name: /matches the check/ });
  if (await tick.count()) await tick.check();
  await dialog.getByRole("button", { name: "Bootstrap", exact: true }).click();
  await dialog.getByRole("heading", { name: /arrives is registered/ }).waitFor();
  await ask("the machine collects", { name: "arrives" });
  await isClosedByDone(page, dialog);
  const found = row(page, "arrives");
  await found.getByText("Discovery mode", { exact: true }).waitFor();
  await found.getByRole("img", { name: "Online", exact: true }).waitFor();
});

test("PXE: Click the vmlinuz and initrd download buttons to get the kernel and initial ramdisk files.", async () => {
  const page = await stage.visit();
  const dialog = await openBootstrap(page, /PXE\/Network/);
  const kernel = await download(page, dialog.getByRole("link", { name: /vmlinuz/ }));
  assert.equal(kernel.name, "vmlinuz");
  assert.equal((await bytes(kernel.file, 0x202, 4)).toString(), "HdrS", "a Linux kernel");
  const initrd = await download(page, dialog.getByRole("link", { name: /initrd/ }));
  assert.equal(initrd.name, "initrd");
  assert.ok(initrd.size > 5_000_000, `${initrd.size} bytes`);
});

// From TFTP, HTTP and NFS the suite `network-boot` boots by these entries.
test("PXE: Configure your PXE boot menu to boot from these files, passing the bootstrap token as a kernel parameter: entries for PXELINUX, GRUB and iPXE are ready to paste.", async () => {
  const page = await stage.visit();
  const dialog = await openBootstrap(page, /PXE\/Network/);
  await dialog.getByText(/Place these files on your PXE server \(TFTP, HTTP, or NFS\)/).waitFor();
  await dialog.getByRole("button", { name: /Generate token/ }).click();
  await dialog.getByRole("button", { name: "Copy token" }).waitFor();
  const token = (await dialog.getByLabel("Token", { exact: true }).innerText()).trim();
  for (const loader of ["PXELINUX", "GRUB", "iPXE"]) {
    await dialog.getByRole("radio", { name: loader, exact: true }).check({ force: true });
    const entry = dialog.locator("pre").filter({ hasText: "muster/vmlinuz" }).first();
    await entry.waitFor();
    const text = await entry.innerText();
    assert.ok(text.includes(token) && text.includes("muster/initrd"), `${loader}: ${text}`);
  }
});

test("PXE: Select the Token Lifetime and copy the generated token from the dialog. Click Done to close the dialog.", async () => {
  const page = await stage.visit("/", CLIPBOARD);
  const dialog = await openBootstrap(page, /PXE\/Network/);
  const select = await offersLifetimes(dialog);
  await select.selectOption({ label: "1 day" });
  await dialog.getByRole("button", { name: /Generate token/ }).click();
  await dialog.getByRole("button", { name: "Copy token" }).click();
  const token = (await dialog.getByLabel("Token", { exact: true }).innerText()).trim();
  assert.equal((await pasted(page)).trim(), token);
  // It is one: a machine that brings it is registered.
  await ask("a machine brings a token", { name: "by-token", token, inventory: { Serial: "BY-TOKEN-1" } });
  await isClosedByDone(page, dialog);
  await page.getByRole("row").filter({ hasText: "Discovery mode" }).first().waitFor();
});

// From here on the server's clock is ahead.

const NOBODY = "No machine is waiting with this code. Compare it with the console: a code is replaced every ten minutes, and the console always shows the one that counts.";

/** Types a code into the open dialog; what the dialog answers. */
async function refused(dialog, code) {
  const field = dialog.getByLabel(/Code on the machine/);
  await field.fill("");
  await field.fill(code);
  return dialog.getByRole("alert").locator("p").first().innerText();
}

/** The dialog with a machine that waits in it, ready to be approved. */
async function previews(name) {
  const { code, fingerprint } = await waits(name, { Serial: name.toUpperCase() });
  const dialog = await openBootstrap(await stage.visit(), /ISO Image/);
  await dialog.getByLabel(/Code on the machine/).fill(code);
  await dialog.getByRole("region", { name: /asks to be registered/ }).waitFor();
  const tick = dialog.getByRole("checkbox", { name: /matches the check/ });
  if (await tick.count()) await tick.check();
  return { dialog, fingerprint, approve: dialog.getByRole("button", { name: "Bootstrap", exact: true }) };
}

test("ISO: A wrong code: no machine is waiting with it, and where the right one stands.", async () => {
  const dialog = await openBootstrap(await stage.visit(), /ISO Image/);
  assert.equal(await refused(dialog, "BBB-BBB"), NOBODY);
  assert.equal(await dialog.getByRole("button", { name: "Bootstrap", exact: true }).isDisabled(), true);
});

test("ISO: An expired code is told as a wrong one is, and the code that followed it selects the machine.", async () => {
  const { code: expired } = await waits("expires", { Serial: "EXPIRES-1" });
  await ask("time goes to", 601);
  const { code } = await ask("the machine asks again", { name: "expires" });
  assert.notEqual(code, expired);
  // The one before is good for a minute more: somebody is typing it.
  await ask("time goes to", 662);
  const dialog = await openBootstrap(await stage.visit(), /ISO Image/);
  assert.equal(await refused(dialog, expired), NOBODY);
  await dialog.getByLabel(/Code on the machine/).fill(code);
  await dialog.getByText("EXPIRES-1").first().waitFor();
});

test("ISO: A machine that somebody else decided about meanwhile: it says so, what was decided and by whom.", async () => {
  const { dialog, fingerprint, approve } = await previews("decided");
  const { id } = (await call("GET", "/bootstrap/enrollments")).find((each) => each.fingerprint === fingerprint);
  await call("POST", `/bootstrap/enrollments/${id}/deny`, { reason: "not ours" });
  await approve.click();
  const said = await dialog.getByRole("alert").locator("p").first().innerText();
  assert.match(said, /^This request has been decided already\. This request was already decided: denied by user:admin at \S+\.$/);
});

test("ISO: A machine that has stopped asking: it says so, and where to look.", async () => {
  const { dialog, approve } = await previews("silent");
  await ask("time goes to", 662 + 95);
  await approve.click();
  const said = await dialog.getByRole("alert").locator("p").first().innerText();
  assert.equal(said, "This machine has stopped asking. It was switched off, lost its network or shows another code by now. Look at its console, then enter the code it shows.");
});

test("ISO: Too many wrong codes: it says so and for how long, and machines of the waiting list are approved all the same.", async () => {
  await waits("listed", { Vendor: "Listed", Product: "Server", Serial: "LISTED-1" });
  const page = await stage.visit();
  const dialog = await openBootstrap(page, /ISO Image/);
  const wrong = [..."BCDFGHJKMNP"].map((letter) => `${letter}CC-CCC`);
  let tried = 0;
  for (let status = 0; status !== 429; tried += 1) {
    assert.ok(tried < wrong.length, `${tried} wrong codes are not too many`);
    const answer = page.waitForResponse((response) => response.url().endsWith("/bootstrap/lookup"));
    await refused(dialog, wrong[tried]);
    status = (await answer).status();
  }
  const alert = dialog.getByRole("alert");
  await alert.getByText("Too many wrong codes from your account. Machines in the waiting list can still be approved.", { exact: true }).waitFor();
  await alert.getByText(/^Try again in \d/).waitFor();
  await dialog.getByRole("button", { name: /^Review Listed Server/ }).click();
  await dialog.getByRole("checkbox", { name: /matches the check/ }).check();
  await dialog.getByRole("button", { name: "Bootstrap", exact: true }).click();
  await dialog.getByRole("heading", { name: /is registered/ }).waitFor();
});
