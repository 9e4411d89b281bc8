// The page of one machine in Chromium against the stand-in: its tabs, what they show and what they change.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { run, setup } from "./machine.mjs";
import { disk, inventory, machine as anyMachine } from "./objects.mjs";
import { setStage } from "./stage.mjs";

const stage = setStage();

const FULL = {
  Table: "gpt",
  Filesystem: "",
  Label: "",
  Partitions: [{ Number: 1, Size: 400_000_000_000, Name: "", Filesystem: "ext4", Label: "root", Used: 90_000_000_000, LastMounted: "/" }],
  Error: "",
};
const ERASED = disk("sda", 480_103_981_056, "Micron 5300", "2140B9D0", { Contents: FULL });
const KEPT = disk("nvme0n1", 1_920_383_410_176, "Samsung PM9A3", "S63UNE0R100001");
const PLAN = {
  Disks: [
    { Disk: ERASED, Fate: "Erase", Reason: "it is the only disk that fits the rule" },
    { Disk: KEPT, Fate: "Keep", Reason: "the rule names another disk" },
  ],
  Error: "",
};
const OBJECTS = {
  profiles: [
    { Name: "web", Meta: { "muster-role": "true" }, Params: { "muster/merge-priority": 200, "muster/image": "debian-12" } },
    { Name: "base", Meta: { "muster-role": "true" }, Params: {} },
    { Name: "rack-3", Params: { "site/rack": 3 }, Profiles: [] },
    { Name: "global", Params: {}, Profiles: [] },
  ],
  images: [{ Name: "debian-12", Source: "upload" }, { Name: "rocky-9", Source: "upload" }],
  params: [
    { Name: "site/rack", Description: "Number of its rack", Schema: { type: "integer", minimum: 1 } },
    { Name: "muster/network", Description: "Network of the installed system", Schema: { type: "string" } },
  ],
};

function db07(part = {}) {
  return anyMachine({ Name: "db-07", Profiles: ["rack-3"], Inventory: inventory({ Disks: [KEPT, ERASED] }), ...part });
}

/** Signed in, at a tab of a machine. */
async function at(tab, known, { answers = {}, objects = OBJECTS, options } = {}) {
  const page = await stage.openPage({ machines: [known], objects }, options);
  Object.assign(stage.mock, answers);
  await page.goto(`${stage.mock.url}/machines/${known.Uuid}${tab === "" ? "" : `/${tab}`}`);
  await page.getByLabel("Password").fill(stage.mock.password);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByRole("heading", { level: 1, name: known.Name }).waitFor();
  return page;
}

/** Roles with priorities, and the image that follows, as the server would tell them. */
function told(machine) {
  const web = machine.Roles.includes("web");
  return setup({
    Roles: machine.Roles.map((Name) => ({ Name, Priority: Name === "web" ? 200 : 100, Exists: true })),
    Image: web ? "debian-12" : "",
    ImageFrom: { Kind: "role", Name: "web", Value: "debian-12", Cut: 0 },
    Errors: {
      ...(web ? {} : { "muster/image": "no image is chosen for machine db-07: set param muster/image of a role" }),
      ...(String(machine.Params["muster/network"] ?? "").includes("9999")
        ? { "muster/network": "param muster/network of the machine: vlan=9999 must be a number from 1 to 4094" }
        : {}),
    },
    Params: [
      { Name: "muster/kernel-args", Sources: [{ Kind: "role", Name: "web", Value: "quiet", Cut: 0 }] },
      {
        Name: "site/rack",
        Sources: [
          ...("site/rack" in machine.Params ? [{ Kind: "machine", Name: "", Value: machine.Params["site/rack"], Cut: 0 }] : []),
          { Kind: "profile", Name: "rack-3", Value: 3, Cut: 0 },
        ],
      },
      { Name: "muster/inject-agent", Sources: [{ Kind: "default", Name: "", Value: true, Cut: 0 }] },
    ],
    DiskPlan: PLAN,
  });
}

const asked = (method, suffix) => stage.mock.asked.filter((each) => each.method === method && each.path.endsWith(suffix));
const tab = (page, name) => page.getByRole("navigation", { name: "Parts of the machine" }).getByRole("link", { name, exact: true });
const notice = (page, text) => page.getByRole("status").getByText(text).waitFor();

test("each tab has an address that survives signing in, and the first is Configuration", async () => {
  const page = await at("hardware", db07());
  assert.equal(await tab(page, "Hardware").getAttribute("aria-current"), "page");
  await page.getByRole("region", { name: "Disks" }).waitFor();
  await tab(page, "Configuration").click();
  await page.getByRole("heading", { name: "Roles", exact: true }).waitFor();
  assert.match(page.url(), /\/machines\/[0-9a-f-]{36}$/);
  await page.goBack();
  await page.getByRole("region", { name: "Disks" }).waitFor();
  await page.goto(page.url().replace("hardware", "nonesuch"));
  await page.getByRole("heading", { name: "There is no such page" }).waitFor();
});

test("roles are chosen by keyboard, and what they would install is told before it is saved", async () => {
  const known = db07();
  const page = await at("", known, { answers: { setup: told } });
  await page.getByText(/No image would be installed:/).waitFor();
  await page.getByRole("button", { name: "Add role" }).press("Enter");
  const search = page.getByRole("combobox", { name: "Add role" });
  await search.fill("we");
  await search.press("Enter");
  await search.press("Escape");
  await page.getByText(/debian-12 would be installed: role web says so/).waitFor();
  assert.equal(asked("PATCH", known.Uuid).length, 0);
  const bar = page.getByRole("region", { name: "Unsaved changes" });
  await bar.getByText("1 unsaved change: Roles").click();
  assert.match(await bar.innerText(), /none\s*→\s*web/);
  await bar.getByRole("button", { name: "Save" }).click();
  await notice(page, "db-07 is saved: 1 setting changed.");
  assert.deepEqual(asked("PATCH", known.Uuid)[0].body, [
    { op: "test", path: "/Roles", value: [] },
    { op: "add", path: "/Roles", value: ["web"] },
  ]);
  await bar.waitFor({ state: "detached" });
  await page.getByRole("button", { name: "Remove web" }).click();
  await page.getByText(/No image would be installed:/).waitFor();
  await bar.getByRole("button", { name: "Discard" }).click();
  await page.getByRole("button", { name: "Remove web" }).waitFor();
});

test("a network that cannot be is complained about at its field, in the server's words", async () => {
  const page = await at("", db07(), { answers: { setup: told } });
  const field = page.getByLabel("Network of the installed system");
  await field.fill("if=52:54:00:12:34:56,vlan=9999");
  await page.getByText("vlan=9999 must be a number from 1 to 4094").waitFor();
  assert.equal(await field.getAttribute("aria-invalid"), "true");
  await field.fill("if=52:54:00:12:34:56,vlan=99");
  await page.getByText(/vlan=9999 must be/).waitFor({ state: "detached" });
});

test("what is inherited is said with who says it, and a refusal of the server stands at its field", async () => {
  const known = db07();
  const page = await at("", known, { answers: { setup: told } });
  await page.getByText("Without a value here: quiet, from role web.").waitFor();
  const agent = page.getByLabel("Install the agent");
  assert.match(await agent.locator("option").first().innerText(), /As inherited: yes \(default\)/);
  await agent.selectOption("No");
  stage.mock.refuse.set("POST /machines/{id}/setup", {
    status: 422,
    kind: "ValidationError",
    messages: ["Params: muster/inject-agent: is not wanted here", "another machine is called db-08; choose a different name"],
  });
  await page.getByLabel("Name", { exact: false }).first().fill("db-08");
  await page.getByText("Is not wanted here.").waitFor();
  await page.getByText("Another machine is called db-08; choose a different name.").waitFor();
});

test("the system disk is chosen by a name that lasts, beside what happens to each disk", async () => {
  const known = db07();
  const page = await at("", known, { answers: { setup: told } });
  const plan = page.getByRole("region", { name: "What becomes of the disks" });
  await plan.getByText("Everything on it is lost: GPT, 1 partition").waitFor();
  assert.match(await plan.innerText(), /part 1, 400 GB\s+ext4, “root”, 90 GB used, last mounted at \//);
  await page.getByLabel("System disk").selectOption({ label: "Samsung PM9A3, 1.9 TB (S63UNE0R100001)" });
  await page.getByRole("button", { name: "Set for this machine" }).click();
  await page.getByRole("switch", { name: "Encrypt (LUKS)" }).click();
  await page.getByLabel("Swap, in MiB").fill("2048");
  await page.getByRole("button", { name: "Save" }).click();
  await notice(page, "db-07 is saved: 2 settings changed.");
  const { Params } = stage.mock.machines.get(known.Uuid);
  assert.deepEqual(Params, { "muster/disk": { Serial: "S63UNE0R100001" }, "muster/disk-layout": { Luks: true, SwapMib: 2048 } });
});

test("what somebody else changes meanwhile is followed, and where both changed the same a person decides", async () => {
  const known = db07();
  const page = await at("", known, { answers: { setup: told } });
  await page.getByLabel("Description").fill("mine");
  stage.mock.save({ ...known, Roles: ["base"], Description: "theirs", LastModifiedBy: "eve" });
  await page.getByRole("button", { name: "Remove base" }).waitFor();
  await page.getByText("eve changed the same as you meanwhile. Which one is right?").waitFor();
  assert.ok(await page.getByRole("button", { name: "Save" }).isDisabled());
  await page.getByRole("button", { name: "Keep yours" }).click();
  await page.getByRole("button", { name: "Save" }).click();
  await notice(page, "db-07 is saved");
  assert.equal(stage.mock.machines.get(known.Uuid).Description, "mine");
});

test("a locked machine says so, and nothing of it can be changed before it is unlocked", async () => {
  const known = db07({ Locked: true, Roles: ["web"] });
  const page = await at("", known, { answers: { setup: told } });
  await page.getByText("db-07 is locked. Unlock it to change its settings.").waitFor();
  assert.ok(await page.getByRole("button", { name: "Add role" }).isDisabled());
  assert.equal(await page.getByRole("button", { name: "Remove web" }).count(), 0);
  await page.getByRole("switch", { name: "Locked" }).click();
  await page.getByRole("button", { name: "Remove web" }).waitFor();
  await page.getByRole("button", { name: "Discard" }).click();
  await tab(page, "Provisions").click();
  assert.ok(await page.getByRole("button", { name: "Provision…" }).isDisabled());
  await page.getByText("db-07 is locked. Unlock it to provision it.").waitFor();
  await tab(page, "Params").click();
  assert.ok(await page.getByRole("button", { name: "Set a param" }).isDisabled());
  await tab(page, "Profiles").click();
  assert.equal(await page.getByRole("button", { name: "Remove rack-3" }).count(), 0);
});

test("hardware tells memory, switch, controller, what is on disks and, on request, every PCI function", async () => {
  const page = await at("hardware", db07());
  const region = (name) => page.getByRole("region", { name });
  assert.match(await region("Network links").innerText(), /eno1.*25 Gb\/s.*sw-3 port Eth1\/7\s+db-07 left, VLAN 120, 10\.20\.0\.3, Arista EOS/s);
  assert.match(await region("Memory modules").innerText(), /DIMM_A2\s+64 GiB\s+DDR5\s+4800 MT\/s\s+Samsung/);
  const facts = await page.locator(".card", { hasText: "Hardware" }).first().innerText();
  assert.match(facts, /128 GiB in 2 modules/);
  assert.match(facts, /TPM\s+2\.0\s+BMC\s+10\.20\.3\.17, 52:54:00:ab:cd:01/);
  await region("Disks").getByText("GPT, 1 partition").click();
  assert.match(await region("Disks").innerText(), /ext4, “root”, 90 GB used/);
  await region("PCI devices").waitFor({ state: "hidden" });
  await page.getByText("3 functions").click();
  assert.match(await region("PCI devices").innerText(), /0000:5e:00\.0\s+Storage\s+144d:a824\s+144d:0001\s+nvme/);
});

test("an inventory that was cut to fit says nothing about what it left out", async () => {
  const page = await at("hardware", db07({ Inventory: inventory({ Pci: [], MemoryModules: [], Abridged: true }) }));
  await page.getByText("The machine has not sent its PCI devices yet.").waitFor();
  await page.getByText("The machine has not sent its memory modules yet.").waitFor();
  await page.getByText(/The inventory was cut to fit/).waitFor();
});

test("cloud-init shows documents, sources, and errors with role and line, also for other roles", async () => {
  const preview = (roles) => ({
    UserData: roles.includes("base") ? "" : "#cloud-config\npackages:\n- nginx\n",
    MetaData: "instance-id: x\n",
    NetworkConfig: "",
    Errors: roles.includes("base") ? ['template "role base", line 3: .secrets.db: secret db does not exist'] : [],
    Sources: { packages: ["role base", "role web"] },
  });
  const page = await at("cloud-init", db07({ Roles: ["web"] }), { answers: { preview } });
  await page.getByRole("textbox", { name: "user-data" }).waitFor();
  assert.match(await page.getByRole("textbox", { name: "user-data" }).inputValue(), /- nginx/);
  await page.getByRole("tab", { name: "meta-data" }).click();
  assert.match(await page.getByRole("textbox", { name: "meta-data" }).inputValue(), /instance-id/);
  await page.getByRole("tab", { name: "network-config" }).click();
  await page.getByText("The image decides about the network.").waitFor();
  await page.getByRole("tab", { name: /Sources/ }).click();
  assert.match(await page.getByRole("region", { name: "Sources of the user-data" }).innerText(), /packages\s+role base → role web/);
  await page.getByRole("button", { name: "Add role" }).click();
  await page.getByRole("option", { name: "base" }).click();
  const alert = page.getByRole("alert").filter({ hasText: "An installation would not begin" });
  await alert.waitFor();
  assert.match(await alert.innerText(), /Role base, line 3: \.secrets\.db: secret db does not exist/);
  assert.match(asked("GET", "/cloud-init").at(-1).query, /role=web&role=base/);
  assert.equal(asked("PATCH", "").length, 0);
  await page.getByRole("button", { name: "Back to its own roles" }).click();
  await alert.waitFor({ state: "detached" });
});

test("an installation begins only when the plan was seen and the machine's name was typed", async () => {
  const known = db07({ Roles: ["web"] });
  const page = await at("provisions", known, { answers: { setup: told } });
  await page.getByRole("heading", { name: "Nothing was installed yet" }).waitFor();
  await page.getByRole("button", { name: "Provision…" }).click();
  const dialog = page.getByRole("dialog", { name: "Provision db-07" });
  await dialog.getByRole("region", { name: "Disk plan" }).getByText("Everything on it is lost: GPT, 1 partition").waitFor();
  assert.match(await dialog.getByLabel("Image").locator("option").first().innerText(), /debian-12 \(role web\)/);
  const begin = dialog.getByRole("button", { name: "Erase and install" });
  assert.ok(await begin.isDisabled());
  await dialog.getByLabel(/Type the machine's name/).fill("db-08");
  assert.ok(await begin.isDisabled());
  await dialog.getByLabel(/Type the machine's name/).fill("db-07");
  await dialog.getByLabel("Image").selectOption("rocky-9");
  await begin.click();
  await notice(page, "The installation of db-07 is asked for.");
  assert.deepEqual(asked("POST", "/provision")[0].body, {
    Mode: "rebuild",
    Image: "rocky-9",
    Workflow: "",
    Reboot: "firmware",
    Confirm: "db-07",
  });
  await page.getByRole("article", { name: "Install rocky-9, Pending" }).waitFor();
});

test("nothing to erase needs no name, and discover shows no disks", async () => {
  const known = db07({ Roles: ["web"] });
  const empty = { Disks: [{ Disk: KEPT, Fate: "Erase", Reason: "" }], Error: "" };
  const page = await at("provisions", known, { answers: { setup: (each) => ({ ...told(each), DiskPlan: empty }) } });
  await page.getByRole("button", { name: "Provision…" }).click();
  const dialog = page.getByRole("dialog", { name: "Provision db-07" });
  await dialog.getByRole("button", { name: "Install", exact: true }).waitFor();
  assert.equal(await dialog.getByLabel(/Type the machine's name/).count(), 0);
  await dialog.getByText("Discover", { exact: true }).click();
  await dialog.getByRole("region", { name: "Disk plan" }).waitFor({ state: "detached" });
  await dialog.getByRole("button", { name: "Bring to Discovery mode" }).click();
  await notice(page, "db-07 is on its way to Discovery mode.");
  assert.deepEqual(asked("POST", "/provision")[0].body, { Mode: "discover" });
});

test("a refused installation is explained in the dialog", async () => {
  const page = await at("provisions", db07({ Roles: ["web"] }), { answers: { setup: told } });
  stage.mock.refuse.set("POST /machines/{id}/provision", {
    status: 409,
    kind: "Conflict",
    messages: ["machine db-07 is in provision run 1: cancel it first"],
  });
  await page.getByRole("button", { name: "Provision…" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel(/Type the machine's name/).fill("db-07");
  await page.keyboard.press("Enter");
  await dialog.getByText("Machine db-07 is in provision run 1: cancel it first.").waitFor();
});

test("a run is followed live with its steps and the log of its job, and can be canceled", async () => {
  const known = db07({ ProvisionState: "Installing" });
  const active = run({
    Machine: known.Uuid,
    Status: "downloading",
    IsActive: true,
    IsTerminal: false,
    Percent: 40,
    EndedAt: null,
    Progress: { Step: "write", Percent: 20, Message: "layer 2 of 5", Bytes: 2, Total: 10 },
    Steps: [
      { Step: "prepare", StartedAt: new Date(Date.now() - 90_000).toISOString(), EndedAt: new Date(Date.now() - 60_000).toISOString() },
      { Step: "write", StartedAt: new Date(Date.now() - 60_000).toISOString(), EndedAt: null },
    ],
  });
  const job = {
    Uuid: "5f4dcc3b-5aa7-4d61-9d83-27deb882cf99",
    Machine: known.Uuid,
    Task: "muster-write",
    State: "running",
    Workflow: "muster-install",
    StartTime: new Date(Date.now() - 60_000).toISOString(),
    EndTime: "0001-01-01T00:00:00Z",
    ResultErrors: [],
  };
  const page = await at("provisions", known, {
    answers: { runs: [active], jobs: [job], logs: new Map([[job.Uuid, "writing <b>layer 2</b>\n"]]) },
  });
  const article = page.getByRole("article", { name: "Install debian-12, Downloading" });
  await article.getByText("40% · Write the image: layer 2 of 5").waitFor();
  const steps = article.getByRole("list", { name: "Steps" });
  assert.match(await steps.innerText(), /Prepare.*30 s.*Write the image/s);
  await article.getByText("writing <b>layer 2</b>").waitFor();
  stage.mock.runs = [{ ...active, Percent: 55, Progress: { ...active.Progress, Message: "layer 3 of 5" } }];
  await article.getByText("55% · Write the image: layer 3 of 5").waitFor();
  await article.getByRole("button", { name: "Cancel the run…" }).click();
  await page.getByRole("alertdialog", { name: "Cancel this run?" }).getByRole("button", { name: "Cancel the run" }).click();
  await notice(page, "The run is canceled.");
  await page.getByRole("article", { name: "Install debian-12, Canceled" }).waitFor();
});

test("a run that failed says why and what to do", async () => {
  const known = db07();
  const failed = run({ Machine: known.Uuid, Status: "error", Error: "step write: no space left on sda", NextAction: "choose a larger disk" });
  const page = await at("provisions", known, { answers: { runs: [failed] } });
  const alert = page.getByRole("article", { name: "Install debian-12, Failed" }).getByRole("alert");
  assert.match(await alert.innerText(), /Step write: no space left on sda\.\s+What to do: Choose a larger disk\./);
});

test("params show who says what, and an own value is set as its schema says and taken away again", async () => {
  const known = db07();
  const page = await at("params", known, { answers: { setup: told } });
  const row = page.getByRole("article", { name: "site/rack" });
  assert.match(await row.innerText(), /Number of its rack\s+3\s+profile rack-3\s+Override/);
  assert.equal(await page.getByRole("article", { name: "muster/inject-agent" }).count(), 0);
  await page.getByLabel("Show").selectOption("defaults too");
  await page.getByRole("article", { name: "muster/inject-agent" }).waitFor();
  await row.getByRole("button", { name: "Override site/rack for this machine" }).click();
  const dialog = page.getByRole("dialog", { name: "site/rack" });
  await dialog.getByRole("spinbutton").fill("9");
  stage.mock.refuse.set("POST /machines/{id}/params/site%2Frack", {
    status: 422,
    kind: "ValidationError",
    messages: ["Params: site/rack: 9 is more than the maximum of 5"],
  });
  await dialog.getByRole("button", { name: "Save" }).click();
  await dialog.getByText("9 is more than the maximum of 5.").waitFor();
  stage.mock.refuse.clear();
  await dialog.getByRole("spinbutton").fill("5");
  await dialog.getByRole("button", { name: "Save" }).click();
  await notice(page, "site/rack of db-07 is set.");
  await row.getByText("Overrules 1 other").click();
  assert.match(await row.innerText(), /5\s+Overrules 1 other\s+profile rack-3\s+3\s+this machine/);
  await row.getByRole("button", { name: "Edit site/rack" }).click();
  await page.getByRole("dialog", { name: "site/rack" }).getByRole("button", { name: "Remove own value" }).click();
  await notice(page, "site/rack of db-07 is taken away.");
  assert.deepEqual(stage.mock.machines.get(known.Uuid).Params, {});
});

test("profiles are added, moved and removed, and each says what it gives", async () => {
  const known = db07({ Profiles: ["rack-3", "web"] });
  const page = await at("profiles", known);
  await page.getByRole("heading", { name: "rack-3" }).waitFor();
  await page.getByRole("button", { name: "Move web up" }).click();
  await page.getByRole("button", { name: "Save the order" }).click();
  await notice(page, "The profiles of db-07 are saved.");
  assert.deepEqual(stage.mock.machines.get(known.Uuid).Profiles, ["web", "rack-3"]);
  await page.getByRole("button", { name: "Remove rack-3" }).click();
  stage.mock.save({ ...stage.mock.machines.get(known.Uuid), Profiles: ["web"], Description: "by somebody else" });
  await page.getByText("by somebody else").waitFor();
});

test("hostile texts of firmware and tasks are text", async () => {
  const evil = "<img src=x onerror=alert(1)>";
  const known = db07({
    Inventory: inventory({ Serial: evil, Disks: [disk("sda", 1_000_000_000, evil, "S1", { Contents: { ...FULL, Table: "", Partitions: [], Filesystem: evil, Label: evil } })] }),
  });
  const page = await at("hardware", known);
  await page.getByText(evil).first().waitFor();
  assert.equal(await page.locator("img[src=x]").count(), 0);
});

test("no tab has a serious finding of axe, and none is wider than a phone", async () => {
  const axe = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
  const known = db07({ Roles: ["web"] });
  const preview = () => ({ UserData: "#cloud-config\n", MetaData: "a: b\n", NetworkConfig: "", Errors: ["role web: x"], Sources: { a: ["role web"] } });
  const runs = [run({ Machine: known.Uuid, Status: "error", Error: "x", NextAction: "y" })];
  const page = await at("", known, { answers: { setup: told, preview, runs }, options: { viewport: { width: 390, height: 844 }, bypassCSP: true } });
  for (const name of ["Configuration", "Hardware", "Cloud-init", "Provisions", "Params", "Profiles"]) {
    await tab(page, name).click();
    await page.getByRole("region", { name, exact: true }).waitFor();
    await page.getByRole("status").filter({ hasText: "Loading" }).waitFor({ state: "detached" });
    const wide = await page.evaluate(() => document.documentElement.scrollWidth);
    assert.ok(wide <= 390, `${name} is ${wide} pixels wide`);
    await page.evaluate(axe);
    const found = await page.evaluate(() => globalThis.axe.run("#content", { resultTypes: ["violations"] }));
    const grave = found.violations.filter(({ impact }) => impact === "serious" || impact === "critical");
    assert.deepEqual(grave.map(({ id, nodes }) => `${name}: ${id} ${nodes[0]?.html}`), []);
  }
});
