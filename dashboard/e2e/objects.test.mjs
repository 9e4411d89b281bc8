// The pages of roles, images, secrets and the model's other objects, in Chromium against the stand-in.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { put } from "./collections.mjs";
import { machine } from "./objects.mjs";
import { setStage } from "./stage.mjs";

const stage = setStage();

const WEB = {
  Name: "web",
  Description: "Serves pages",
  Meta: { "muster-role": "true" },
  Params: { "muster/cloud-init": "packages: [nginx]\n", "muster/image": "debian-12", "muster/merge-priority": 50 },
  Profiles: [],
};
const BASE = { ...WEB, Name: "base", Description: "", Params: { "muster/merge-priority": 10 } };
const PARAMS = [
  { Name: "muster/image", Description: "Image of its machines", Schema: { type: "string" } },
  { Name: "site/debug", Description: "Says more", Schema: { type: "boolean", default: false } },
  { Name: "site/limits", Description: "", Schema: { type: "object" } },
];

/** Signed in, with these objects, at an address. */
async function at(path, objects, machines = []) {
  const page = await stage.start({ machines, objects });
  await page.goto(stage.mock.url + path);
  await page.getByRole("heading", { level: 1 }).waitFor();
  return page;
}

const asked = (method, path) => stage.mock.asked.filter((each) => each.method === method && each.path === path);
const rows = (page) => page.locator("tbody tr .main-cell").allInnerTexts();
const save = (page) => page.getByRole("button", { name: "Save", exact: true }).click();

test("an empty list teaches, and its button leads to a new one", async () => {
  const page = await at("/roles", { profiles: [{ Name: "global" }] });
  await page.getByRole("heading", { name: "No roles yet" }).waitFor();
  await page.getByRole("link", { name: "New role" }).first().click();
  await page.getByRole("heading", { name: "New role" }).waitFor();
});

test("roles are the profiles that are called so, with their priority and image, searched and sorted", async () => {
  const page = await at("/roles", { profiles: [{ Name: "global" }, WEB, BASE] });
  await page.getByRole("link", { name: "web", exact: true }).waitFor();
  assert.deepEqual(await rows(page), ["base", "web"]);
  await page.getByRole("button", { name: "Merge Priority" }).click();
  assert.deepEqual(await rows(page), ["base", "web"]);
  await page.getByRole("button", { name: "Merge Priority" }).click();
  assert.deepEqual(await rows(page), ["web", "base"]);
  await page.getByRole("searchbox").fill("debian");
  await page.getByText("1 of 2 roles").waitFor();
  assert.deepEqual(await rows(page), ["web"]);
  await page.getByRole("searchbox").fill("nothing like it");
  await page.getByRole("heading", { name: "Nothing matches" }).waitFor();
});

test("the list follows what others make and delete", async () => {
  const page = await at("/roles", { profiles: [WEB] });
  await page.getByText("Live").waitFor();
  put(stage.mock, "profiles", BASE);
  await page.getByRole("link", { name: "base", exact: true }).waitFor();
  stage.mock.collections.profiles.delete("web");
  stage.mock.publish("profiles", "delete", "web", WEB);
  await page.getByRole("link", { name: "web", exact: true }).waitFor({ state: "detached" });
});

test("a role is made, with words put into its template by a click", async () => {
  const page = await at("/roles?new", { images: [{ Name: "debian-12" }], secrets: [{ Name: "DB_PASSWORD", Value: "x" }] });
  await page.getByLabel("Name").fill("db");
  await page.getByLabel("Merge Priority").fill("70");
  await page.getByLabel("Image").selectOption("debian-12");
  await page.getByRole("switch", { name: "Needs a mesh network" }).click();
  await page.getByLabel("Template", { exact: true }).fill("runcmd:\n- echo ");
  await page.getByRole("button", { name: ".secrets" }).click();
  await page.getByRole("menuitem", { name: "{{.secrets.DB_PASSWORD | quote}}" }).click();
  await page.locator("textarea:focus").waitFor();
  await page.keyboard.type(" # from here");
  await page.getByRole("button", { name: "Create role" }).click();
  await page.getByRole("heading", { name: "db", exact: true }).waitFor();
  assert.equal(new URL(page.url()).pathname, "/roles/db");
  const [{ body }] = asked("POST", "/profiles");
  assert.deepEqual(body, {
    Name: "db",
    Description: "",
    Meta: { "muster-role": "true" },
    Params: {
      "muster/merge-priority": 70,
      "muster/image": "debian-12",
      "muster/requires-mesh": true,
      "muster/cloud-init": "runcmd:\n- echo {{.secrets.DB_PASSWORD | quote}} # from here",
    },
    Profiles: [],
  });
});

test("the server's complaints stand at their fields, and at their lines", async () => {
  const page = await at("/templates?new", {});
  stage.mock.refuse.set("POST /templates", {
    status: 422,
    kind: "ValidationError",
    messages: ["template name has 1 character, at least 2 are needed", 'template "t", line 2: function "c" not defined'],
  });
  await page.getByLabel("Name").fill("t");
  await page.getByLabel("Text").fill("one\n{{c}}\nthree");
  await page.getByRole("button", { name: "Create template" }).click();
  await page.getByText("Name has 1 character, at least 2 are needed.").waitFor();
  assert.equal(await page.getByLabel("Name").getAttribute("aria-invalid"), "true");
  assert.ok(await page.getByLabel("Name").evaluate((field) => field === document.activeElement), "the cursor is there");
  await page.getByText('Function "c" not defined.').waitFor();
  await page.getByRole("button", { name: "Line 2" }).click();
  const chosen = await page.getByLabel("Text").evaluate((area) => area.value.slice(area.selectionStart, area.selectionEnd));
  assert.equal(chosen, "{{c}}");
  stage.mock.refuse.clear();
  await page.getByLabel("Name").fill("two");
  await page.getByRole("button", { name: "Create template" }).click();
  await page.getByRole("heading", { name: "two", exact: true }).waitFor();
});

test("a name that is taken is told at the name", async () => {
  const page = await at("/variables?new", { variables: [{ Name: "NTP", Value: "a" }] });
  await page.getByLabel("Name").fill("NTP");
  await page.getByRole("button", { name: "Create variable" }).click();
  await page.getByText("This name is taken. Choose another one.").waitFor();
});

test("a change is a patch of what was changed, and tests that nobody changed it before", async () => {
  const page = await at("/roles/web", { profiles: [WEB] });
  await page.getByLabel("Description").fill("Serves");
  await page.getByText("Unsaved changes").waitFor();
  await page.keyboard.press("Control+s");
  await page.getByText("web is saved.").waitFor();
  assert.deepEqual(asked("PATCH", "/profiles/web")[0].body, [
    { op: "test", path: "/Description", value: "Serves pages" },
    { op: "add", path: "/Description", value: "Serves" },
  ]);
  await page.getByText("Unsaved changes").waitFor({ state: "detached" });
});

test("what somebody else changes meanwhile is shown; what both change is for the operator to decide", async () => {
  const page = await at("/roles/web", { profiles: [WEB] });
  await page.getByLabel("Description").fill("mine");
  await page.getByText("Unsaved changes").waitFor();
  put(stage.mock, "profiles", { ...WEB, Params: { ...WEB.Params, "muster/merge-priority": 90 } });
  await page.waitForFunction(() => document.querySelector("input[type=number]")?.value === "90");
  assert.equal(await page.getByLabel("Description").inputValue(), "mine");
  put(stage.mock, "profiles", { ...WEB, Description: "theirs" });
  await page.getByText("mia changed the same as you meanwhile. Which one is right?").waitFor();
  assert.ok(await page.getByRole("button", { name: "Save", exact: true }).isDisabled());
  await page.getByRole("button", { name: "Keep yours" }).click();
  await save(page);
  await page.getByText("web is saved.").waitFor();
  assert.equal(stage.mock.collections.profiles.get("web").Description, "mine");
});

test("a change that is late is refused, told, and overwrites nothing", async () => {
  const page = await at("/roles/web", { profiles: [WEB] });
  await page.getByText("Live", { exact: true }).waitFor({ state: "detached" });
  // It looks once more when its line to the server opens.
  for (let tries = 0; asked("GET", "/profiles/web").length < 2 && tries < 40; tries += 1) await page.waitForTimeout(50);
  await page.getByLabel("Description").fill("mine");
  // Nobody tells the page: the change and its event come between two looks.
  stage.mock.collections.profiles.set("web", { ...stage.mock.collections.profiles.get("web"), Description: "theirs" });
  await save(page);
  await page.getByText(/so nothing was saved/).waitFor();
  assert.equal(stage.mock.collections.profiles.get("web").Description, "theirs");
  await page.getByRole("button", { name: "Use theirs" }).click();
  assert.equal(await page.getByLabel("Description").inputValue(), "theirs");
});

test("unsaved changes are not left without a question, neither by a link nor by going back", async () => {
  const page = await at("/roles", { profiles: [WEB] });
  await page.getByRole("link", { name: "web", exact: true }).click();
  await page.getByLabel("Description").fill("mine");
  await page.getByRole("link", { name: "Images" }).click();
  await page.getByRole("alertdialog", { name: "Leave without saving?" }).waitFor();
  await page.getByRole("button", { name: "Cancel" }).click();
  assert.equal(await page.getByLabel("Description").inputValue(), "mine");
  await page.goBack();
  await page.getByRole("alertdialog", { name: "Leave without saving?" }).waitFor();
  assert.equal(new URL(page.url()).pathname, "/roles/web");
  await page.getByRole("button", { name: "Leave without saving" }).click();
  await page.getByRole("heading", { name: "Roles", exact: true }).waitFor();
  assert.deepEqual(asked("PATCH", "/profiles/web"), [], "left, and not saved");
});

test("what is built in cannot be changed, says so, and can be cloned", async () => {
  const stages = [{ Name: "discover", ReadOnly: true, Bundle: "BasicStore", Tasks: ["one"], BootEnv: "", CreatedAt: null }];
  const page = await at("/stages/discover", { stages });
  await page.getByText("It is part of Muster and cannot be changed.").first().waitFor();
  assert.equal(await page.getByLabel("Description").getAttribute("readonly"), "");
  await page.getByRole("button", { name: "Actions for discover" }).click();
  assert.equal(await page.getByRole("menuitem", { name: /Delete/ }).getAttribute("aria-disabled"), "true");
  await page.keyboard.press("Escape");
  await page.getByRole("link", { name: "Clone it" }).click();
  await page.getByRole("heading", { name: "Clone of discover" }).waitFor();
  await page.getByLabel("Name").fill("discover-2");
  await page.getByRole("button", { name: "Create stage" }).click();
  await page.getByRole("heading", { name: "discover-2", exact: true }).waitFor();
  const [{ body }] = asked("POST", "/stages");
  assert.equal(body.Name, "discover-2");
  assert.deepEqual(body.Tasks, ["one"]);
  for (const field of ["ReadOnly", "Bundle", "CreatedAt", "Errors"]) assert.ok(!(field in body), field);
});

test("a clone of a role remembers what it was made of", async () => {
  const page = await at("/roles?copy=web", { profiles: [WEB] });
  await page.getByRole("button", { name: "Create role" }).click();
  await page.getByRole("heading", { name: "web_copy" }).waitFor();
  const [{ body }] = asked("POST", "/profiles");
  assert.deepEqual(body.Meta, { "muster-role": "true", "muster-forked-from": "web" });
});

test("what cannot be used says why", async () => {
  const errors = ["task gone does not exist", "bootenv discovery is not available"];
  const page = await at("/stages/greet", { stages: [{ Name: "greet", Available: false, Errors: errors, Tasks: ["gone"] }] });
  await page.getByText("This stage cannot be used as it is:").waitFor();
  for (const error of errors) await page.getByText(error).waitFor();
  await page.getByText("Does not exist", { exact: true }).waitFor();
});

test("deletion asks first, and tells who still needs it", async () => {
  const page = await at("/images", { images: [{ Name: "deb", Source: "upload", Format: "auto" }] });
  stage.mock.refuse.set("DELETE /images/deb", {
    status: 409,
    kind: "StillInUseError",
    messages: ["image deb is the preference defaultImage"],
  });
  await page.getByRole("button", { name: "Actions for deb" }).click();
  await page.getByRole("menuitem", { name: /Delete/ }).click();
  await page.getByRole("alertdialog", { name: "Delete image deb?" }).waitFor();
  await page.getByRole("button", { name: "Delete image" }).click();
  await page.getByText("Image deb is the preference defaultImage.").waitFor();
  stage.mock.refuse.clear();
  await page.getByRole("button", { name: "Delete image" }).click();
  await page.getByRole("heading", { name: "No images yet" }).waitFor();
});

test("a secret's value is written, replaced and never shown", async () => {
  const page = await at("/secrets/DB", { secrets: [{ Name: "DB", Value: "hunter2" }] });
  await page.getByText("There is one. It is never shown.").waitFor();
  await page.getByRole("button", { name: "Replace" }).click();
  await page.getByLabel("Value").fill("correct\nhorse");
  await page.getByRole("tab", { name: "JSON" }).click();
  const text = await page.getByLabel("The secret as JSON").inputValue();
  assert.ok(!text.includes("horse") && !text.includes("hunter2") && !text.includes("Value"), text);
  await save(page);
  await page.getByText("DB is saved.").waitFor();
  assert.deepEqual(asked("PATCH", "/secrets/DB")[0].body, [{ op: "add", path: "/Value", value: "correct\nhorse" }]);
  await page.getByRole("tab", { name: "Configuration" }).click();
  await page.getByText("There is one. It is never shown.").waitFor();
  assert.ok(!(await page.content()).includes("horse"));
});

test("stages of a workflow are put in order by the keyboard alone", async () => {
  const stages = ["one", "two", "three"].map((Name) => ({ Name }));
  const page = await at("/workflows/all", { stages, workflows: [{ Name: "all", Stages: ["one", "two"] }] });
  await page.getByRole("button", { name: "Move two up" }).focus();
  await page.keyboard.press("Enter");
  await page.getByText("two is number 1 of 2 now.").waitFor();
  await page.keyboard.press("Alt+ArrowDown");
  await page.getByText("two is number 2 of 2 now.").waitFor();
  await page.getByRole("button", { name: "Add stage" }).focus();
  await page.keyboard.press("Enter");
  await page.keyboard.type("thr");
  await page.keyboard.press("Enter");
  await page.keyboard.type("task:reboot");
  await page.keyboard.press("Enter");
  await page.keyboard.press("Escape");
  await save(page);
  await page.getByText("all is saved.").waitFor();
  assert.deepEqual(stage.mock.collections.workflows.get("all").Stages, ["one", "two", "three", "task:reboot"]);
});

test("params are entered as their schemas say, and half a JSON is not saved", async () => {
  const page = await at("/profiles/site", { params: PARAMS, profiles: [{ Name: "site", Params: {}, Profiles: [] }] });
  for (const name of ["site/debug", "site/limits"]) {
    await page.getByRole("button", { name: "Add param" }).click();
    await page.getByRole("combobox", { name: "Add param" }).fill(name);
    await page.getByRole("option", { name: new RegExp(name) }).click();
  }
  await page.getByRole("switch", { name: "Value of site/debug" }).click();
  const json = page.getByLabel("Value of site/limits");
  await json.fill('{\n  "a": \n');
  await page.getByText("The text ends too early: a quote or a bracket is open.", { exact: true }).waitFor();
  assert.ok(await page.getByRole("button", { name: "Save", exact: true }).isDisabled());
  await json.fill('{"a": 1}');
  await save(page);
  await page.getByText("site is saved.").waitFor();
  assert.deepEqual(stage.mock.collections.profiles.get("site").Params, { "site/debug": true, "site/limits": { a: 1 } });
});

test("a name with a slash has an address, and who uses it is told", async () => {
  const page = await at("/params/muster%2Fimage", { params: PARAMS, profiles: [WEB, BASE] });
  await page.getByRole("heading", { name: "muster/image" }).waitFor();
  await page.getByRole("tab", { name: "Used by" }).click();
  await page.getByRole("link", { name: "web", exact: true }).click();
  await page.getByRole("heading", { name: "web", exact: true }).waitFor();
  assert.equal(new URL(page.url()).pathname, "/profiles/web");
});

test("an image is uploaded, made the default, and its import told as it goes", async () => {
  const page = await at("/images/deb", { images: [{ Name: "deb", Source: "upload", Format: "auto", Import: { State: "none" } }] });
  await page.getByText("Not imported yet").waitFor();
  await page.getByLabel("Image file").setInputFiles({ name: "deb.raw", mimeType: "application/octet-stream", buffer: Buffer.alloc(2048, 7) });
  await page.getByText("deb.raw is uploaded.").waitFor();
  await page.getByText("Being made into what machines install").waitFor();
  const image = stage.mock.collections.images.get("deb");
  assert.equal(image.Import.Uploaded, 2048);
  put(stage.mock, "images", { ...image, Import: { State: "downloading", Percent: 40, Bytes: 4_000_000, Total: 10_000_000 } });
  await page.getByText("4.0 MB of 10 MB").waitFor();
  put(stage.mock, "images", { ...image, Import: { State: "done", Size: 1_000_000, UnpackedSize: 2_000_000_000, SourceDigest: "sha256:ab" } });
  await page.getByText("Ready to install").waitFor();
  await page.getByRole("button", { name: "Make it the default image" }).click();
  await page.getByRole("button", { name: "Make it the default", exact: true }).click();
  await page.getByText(/It is the default image/).waitFor();
  assert.equal(stage.mock.prefs.defaultImage, "deb");
});

test("a role is tested on a machine: what it would get, of which role, and what is wrong", async () => {
  const machines = [machine({ Name: "web-1", Roles: ["base"] })];
  const page = await at("/roles/web", { profiles: [WEB, BASE] }, machines);
  const wrong = 'template "role web", line 2: .secrets.DB: secret DB does not exist';
  stage.mock.preview = (roles) => ({
    UserData: `#cloud-config\nroles: ${roles.join("+")}\n`,
    MetaData: "instance-id: preview\n",
    NetworkConfig: "",
    Errors: roles.length > 1 ? [] : [wrong],
    Sources: { packages: roles },
  });
  await page.getByRole("tab", { name: "Test" }).click();
  await page.getByRole("button", { name: "Choose a machine" }).click();
  await page.getByRole("combobox", { name: "Choose a machine" }).fill("web");
  await page.getByRole("option", { name: "web-1" }).click();
  await page.getByText("It can be rendered for web-1.").waitFor();
  assert.match(await page.getByLabel("user-data").inputValue(), /roles: base\+web/);
  await page.getByRole("switch", { name: "With the other roles of the machine" }).click();
  await page.getByText(wrong).waitFor();
  // Also where it is, in the template.
  await page.getByRole("button", { name: "Line 2" }).waitFor();
});

test("what somebody else deletes is said to be gone", async () => {
  const page = await at("/templates/motd", { templates: [{ ID: "motd", Contents: "hi" }] });
  await page.getByLabel("Text").waitFor();
  stage.mock.collections.templates.delete("motd");
  stage.mock.publish("templates", "delete", "motd", {});
  await page.getByText("Somebody has deleted this template. What you see is what it was.").waitFor();
  await page.goto(`${stage.mock.url}/templates/nonesuch`);
  await page.getByText("There is no template called nonesuch.").waitFor();
});

const AXE = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const EVERYTHING = {
  profiles: [WEB, BASE],
  params: PARAMS,
  images: [{ Name: "deb", Source: "upload", Format: "auto", Import: { State: "none" } }],
  secrets: [{ Name: "DB", Value: "x" }],
  variables: [{ Name: "NTP", Value: "10.0.0.1" }],
  registry_credentials: [{ Name: "ci", Registry: "r.example", Username: "ci", Password: "x" }],
  templates: [{ ID: "motd", Contents: "hi" }],
  tasks: [{ Name: "hello", Templates: [{ Name: "run", Path: "", ID: "", Contents: "#!/bin/sh\n", Link: "", Meta: {} }] }],
  stages: [{ Name: "greet", Tasks: ["hello"], Available: false, Errors: ["task x does not exist"], Params: { "site/debug": true } }],
  workflows: [{ Name: "all", Stages: ["greet"] }],
  bootenvs: [{ Name: "local", ReadOnly: true, Bundle: "BasicStore", OS: { Name: "local" }, Templates: [] }],
};
const PAGES = [
  "/roles", "/roles/web", "/roles?new", "/images/deb", "/registry-credentials/ci", "/secrets/DB", "/variables", "/variables/NTP",
  "/workflows/all", "/stages/greet", "/tasks/hello", "/bootenvs/local", "/templates/motd", "/params/site%2Fdebug", "/profiles",
];

test("every page can be used by everybody, and fits a telephone", async () => {
  const page = await at("/roles", EVERYTHING);
  await page.setViewportSize({ width: 390, height: 844 });
  for (const path of PAGES) {
    await page.goto(stage.mock.url + path);
    await page.locator(".data-table, .editor").first().waitFor();
    const wider = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    assert.equal(wider, 0, `${path} is ${wider} px too wide`);
    await page.evaluate(AXE);
    const { violations } = await page.evaluate(() => window.axe.run("main", { resultTypes: ["violations"] }));
    const serious = violations.filter(({ impact }) => impact === "serious" || impact === "critical");
    assert.deepEqual(serious.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(" ")}`), [], path);
  }
});
