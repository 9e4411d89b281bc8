// The Bootstrap dialog in Chromium against the stand-in: `npm run build && npm run e2e`.
import assert from "node:assert/strict";
import { test } from "node:test";
import { row } from "./browser.mjs";
import { enrollment, fleet, inventory, machine } from "./objects.mjs";
import { openBootstrap, setStage } from "./stage.mjs";

const stage = setStage();

/** What was sent to a route. */
function bodies(path) {
  return stage.mock.asked.filter((asked) => asked.path.endsWith(path)).map((asked) => asked.body);
}

test("a typed code shows the machine, and Bootstrap registers what was shown", async () => {
  const page = await stage.start({ enrollments: [enrollment("K7P-3XB")] });
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
  const page = await stage.start({ machines: [known], enrollments: [waiting] });
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
  const page = await stage.start({ enrollments: [enrollment("K7P-3XB")] });
  const { dialog, approve } = await openBootstrap(page);
  await dialog.getByRole("button", { name: /Review Dell Inc. PowerEdge R650/ }).click();
  assert.ok(await approve.isDisabled());
  await dialog.getByRole("checkbox").check();
  await approve.click();
  await dialog.getByRole("heading", { name: /is registered/ }).waitFor();
  assert.deepEqual(bodies("/approve"), [{ fingerprint: "QM4T-9HXR-2VKD", fingerprint_confirmed: true }]);
});

test("Deny asks once more and sends the reason", async () => {
  const page = await stage.start({ enrollments: [enrollment("K7P-3XB")] });
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
  const page = await stage.start({ enrollments: [enrollment("K7P-3XB")] });
  const { dialog, code, approve } = await openBootstrap(page);
  const refusals = [
    [404, "code_not_found", /No machine is waiting with this code/],
    [410, "machine_gone", /stopped asking/],
    [503, "temporarily_unavailable", /Try again in a moment/],
  ];
  for (const [status, kind, sentence] of refusals) {
    stage.mock.refuse.set("POST /bootstrap/lookup", { status, kind });
    await code.fill("");
    await code.fill("K7P3XB");
    await dialog.getByRole("alert").getByText(sentence).waitFor();
    assert.ok(await approve.isDisabled());
  }
  const again = dialog.getByRole("button", { name: "Look it up again" });
  stage.mock.refuse.set("POST /bootstrap/lookup", { status: 429, kind: "too_many_attempts", headers: { "Retry-After": "332" } });
  await again.click();
  await dialog.getByText(/Try again in 5:3\d\./).waitFor();
  assert.ok(await again.isDisabled(), "no other try before the wait is over");
  stage.mock.refuse.set("POST /bootstrap/lookup", { status: 429, kind: "too_many_attempts", headers: { "Retry-After": "1" } });
  await code.fill("");
  await code.fill("K7P3XB");
  await dialog.getByText("You can try again now.").waitFor();
  stage.mock.refuse.clear();
  await again.click();
  await dialog.locator(".fingerprint-value").waitFor();
  for (const [kind, sentence] of [
    ["fingerprint_mismatch", /not the one you looked at/],
    ["already_decided", /has been decided already\. Approved by mia/],
  ]) {
    stage.mock.refuse.set("POST /bootstrap/enrollments/{id}/approve", { status: 409, kind, messages: ["approved by mia at 14:02"] });
    await approve.click();
    await dialog.getByRole("alert").getByText(sentence).waitFor();
  }
});

test("after many wrong codes the password is asked for, and the look-up goes on", async () => {
  const page = await stage.start({ enrollments: [enrollment("K7P-3XB")] });
  const { dialog, code } = await openBootstrap(page);
  stage.mock.refuse.set("POST /bootstrap/lookup", { status: 401, kind: "step_up", messages: ["too many wrong codes"] });
  await code.fill("K7P3XB");
  const proof = page.getByRole("dialog", { name: "Enter your password" });
  await proof.getByLabel("Password").fill(stage.mock.password);
  stage.mock.refuse.clear();
  await page.keyboard.press("Enter");
  await dialog.locator(".fingerprint-value").waitFor();
  assert.equal(await code.inputValue(), "K7P-3XB");
});

test("wrong and expired codes have one sentence for both", async () => {
  const page = await stage.start();
  const { dialog, code } = await openBootstrap(page);
  const said = [];
  for (const messages of [["no code"], ["an expired one"]]) {
    stage.mock.refuse.set("POST /bootstrap/lookup", { status: 404, kind: "code_not_found", messages });
    await code.fill("");
    await code.fill("K7P3XB");
    said.push(await dialog.getByRole("alert").innerText());
  }
  assert.equal(said[0], said[1]);
});

test("characters that no code contains are left out with a word", async () => {
  const page = await stage.start();
  const { dialog, code } = await openBootstrap(page);
  await code.pressSequentially("K7O");
  assert.equal(await code.inputValue(), "K7");
  await dialog.getByText(/Codes never contain \u201cO\u201d/).waitFor();
});

test("a code can be edited in its middle", async () => {
  const page = await stage.start();
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
  const [link] = inventory().Links;
  const hostileInventory = inventory({
    Vendor: hostile,
    Serial: hostile,
    Links: [{ ...link, Lldp: { ...link.Lldp, SystemName: hostile, PortDescription: hostile } }],
  });
  const page = await stage.start({
    machines: [machine({ Name: "a", Inventory: hostileInventory })],
    enrollments: [enrollment("K7P-3XB", { inventory: hostileInventory, vendor: hostile, serial: hostile, warnings: [{ kind: "x", message: hostile }] })],
  });
  const { dialog, code } = await openBootstrap(page);
  await code.fill("K7P3XB");
  await dialog.getByRole("heading", { name: hostile }).waitFor();
  await dialog.getByRole("button", { name: "Close" }).click();
  await page.getByRole("link", { name: "a", exact: true }).click();
  await page.getByRole("link", { name: "Hardware" }).click();
  await page.getByText(hostile).first().waitFor();
  assert.equal(await page.locator("img[src]").count(), 0);
  assert.equal(await page.title(), "Hardware \u00b7 a \u00b7 Muster");
});

test("the PXE card makes a token and its menus, and forgets them", async () => {
  const page = await stage.start();
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
  await dialog.getByRole("radio", { name: "Fetch files" }).check({ force: true });
  assert.match(await dialog.getByLabel("Fetch files").last().innerText(), /curl -fO http:.*\/vmlinuz\n.*\n.*  vmlinuz/s);
  assert.deepEqual(bodies("/tokens"), [{ Lifetime: 604_800 }]);
  await dialog.getByRole("button", { name: "Done" }).click();
  await page.getByRole("button", { name: "Bootstrap" }).click();
  await dialog.getByRole("radio", { name: /PXE/ }).check({ force: true });
  assert.equal(await dialog.getByText("eyJ").count(), 0);
});

test("a token is limited to the machines that it is for, and what the server would refuse is said first", async () => {
  const roles = ["base", "web"].map((Name) => ({ Name, Meta: { "muster-role": "true" } }));
  const page = await stage.start({ objects: { profiles: [...roles, { Name: "global" }], meshes: [{ Name: "edge", Cidrs: ["10.9.0.0/24"] }] } });
  const { dialog } = await openBootstrap(page);
  await dialog.getByRole("radio", { name: /Muster CLI/ }).check({ force: true });
  const generate = dialog.getByRole("button", { name: "Generate command" });
  await dialog.getByText("Limit where it works").click();
  await dialog.getByLabel("Networks").fill("10.20.0.0");
  await dialog.getByText(/10\.20\.0\.0.*is no network: write an address and a length/).waitFor();
  assert.ok(await generate.isDisabled());
  await dialog.getByLabel("Networks").fill("10.20.0.0/16, fd00:20::/64");
  await dialog.getByLabel("Serial numbers").fill("7XK21M3, 7XK21M4");
  await dialog.getByLabel("Most machines").fill("2");
  await dialog.getByRole("button", { name: "Add role" }).click();
  assert.deepEqual(await page.getByRole("listbox").getByRole("option").allInnerTexts(), ["base", "web"]);
  await page.getByRole("option", { name: "web" }).click();
  await dialog.getByLabel("Mesh network").selectOption("edge");
  await dialog.getByText("Limit where it works: 5 limits").click();
  await dialog.getByLabel("Networks").waitFor({ state: "detached" });
  await generate.click();
  await dialog.getByLabel("Command", { exact: true }).waitFor();
  const limits = { Cidr: ["10.20.0.0/16", "fd00:20::/64"], Serial: ["7XK21M3", "7XK21M4"], MaxUses: 2 };
  assert.deepEqual(bodies("/tokens").at(-1), { Lifetime: 600, ...limits, Roles: ["web"], MeshNetwork: "edge" });
  // Whoever approves says where a machine begins; and what was made on other terms is put away.
  await dialog.getByText("Limit where it works: 5 limits").click();
  await dialog.getByRole("switch", { name: "A person approves each machine" }).click();
  assert.equal(await dialog.getByText("eyJ").count(), 0);
  assert.ok(await dialog.getByLabel("Mesh network").isDisabled());
  await generate.click();
  await dialog.getByLabel("Command", { exact: true }).waitFor();
  assert.deepEqual(bodies("/tokens").at(-1), { Lifetime: 600, ...limits, RequireApproval: true });
  const spills = await dialog.locator(".modal-body").evaluate((element) => element.scrollWidth > element.clientWidth);
  assert.ok(!spills, "it stays within the dialog");
});

test("menu entries name the files where they lie on the boot server", async () => {
  const page = await stage.start();
  const { dialog } = await openBootstrap(page);
  await dialog.getByRole("radio", { name: /PXE/ }).check({ force: true });
  await dialog.getByText("Menu entries look for").click();
  await dialog.getByLabel("Initial ramdisk", { exact: true }).fill(" images/initrd.img ");
  await dialog.getByRole("button", { name: "Generate token" }).click();
  await dialog.getByRole("radio", { name: "PXELINUX" }).check({ force: true });
  assert.match(await dialog.getByLabel("PXELINUX").last().innerText(), /INITRD images\/initrd\.img/);
  assert.deepEqual(bodies("/tokens"), [{ Lifetime: 600, Initrd: "images/initrd.img" }]);
  // What was made for another place is put away.
  await dialog.getByLabel("Kernel", { exact: true }).fill("/k");
  assert.equal(await dialog.getByText("eyJ").count(), 0);
});

test("the CLI card makes one command, and forgets it", async () => {
  const page = await stage.start();
  const { dialog } = await openBootstrap(page);
  await dialog.getByRole("radio", { name: /Muster CLI/ }).check({ force: true });
  await dialog.getByLabel("Token Lifetime").selectOption("1 day");
  await dialog.getByRole("button", { name: "Generate command" }).click();
  const command = await dialog.getByLabel("Command", { exact: true }).innerText();
  assert.match(command, /^curl .*\/install\.sh <<'T' \| sudo sh\nheader = "Authorization: Bearer eyJ/);
  assert.deepEqual(bodies("/tokens"), [{ Lifetime: 86_400 }]);
  // Another lifetime is another token.
  await dialog.getByLabel("Token Lifetime").selectOption("7 days");
  assert.equal(await dialog.getByText("eyJ").count(), 0);
  await dialog.getByRole("button", { name: "Done" }).click();
});

test("a server without media says how to build them", async () => {
  const page = await stage.start({ media: false });
  const { dialog } = await openBootstrap(page);
  await dialog.getByText("muster media build").waitFor();
  assert.ok(await dialog.getByRole("button", { name: /Download ISO Image/ }).isDisabled());
});

test("a narrow screen never scrolls sideways", async () => {
  const page = await stage.start({ machines: fleet(), enrollments: [enrollment("K7P-3XB")] }, { viewport: { width: 390, height: 844 } });
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
