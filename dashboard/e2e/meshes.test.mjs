// The pages of mesh networks, in Chromium against the stand-in.
import assert from "node:assert/strict";
import { test } from "node:test";
import { put } from "./collections.mjs";
import { machine } from "./objects.mjs";
import { setStage } from "./stage.mjs";

const stage = setStage();

const HOME = {
  Name: "home",
  Description: "Of the hall",
  Cidrs: ["10.20.0.0/24", "fd00:20::/64"],
  Default: true,
  Members: 2,
  FreeAddresses: 252,
};
const LAB = { Name: "lab", Cidrs: ["172.16.0.0/16"], Default: false, Members: 0, FreeAddresses: 65_534 };
const MEMBERS = [
  machine({ Name: "db-07", MeshNetwork: "home", MeshAddresses: ["10.20.0.1", "fd00:20::1"], Roles: ["postgres"] }),
  machine({ Name: "web-2", MeshNetwork: "home", MeshAddresses: ["10.20.0.2", "fd00:20::2"], offlineFor: 4 * 86_400 }),
];

/** Signed in, with these mesh networks, at an address. */
async function at(path, meshes, machines = []) {
  const page = await stage.start({ machines, objects: { meshes } });
  await page.goto(stage.mock.url + path);
  await page.getByRole("heading", { level: 1 }).waitFor();
  return page;
}

const asked = (method, path) => stage.mock.asked.filter((each) => each.method === method && each.path === path);

test("mesh networks are listed with a star for the default, their networks, and how many are in them", async () => {
  const page = await at("/meshes", [HOME, LAB]);
  const home = page.getByRole("row").filter({ has: page.getByRole("link", { name: "home", exact: true }) });
  await home.getByRole("img", { name: "Default" }).waitFor();
  assert.deepEqual((await home.getByRole("cell").allInnerTexts()).slice(1, 5), ["10.20.0.0/24, fd00:20::/64", "2", "252", "Of the hall"]);
  const lab = page.getByRole("row").filter({ has: page.getByRole("link", { name: "lab", exact: true }) });
  assert.equal(await lab.getByRole("img", { name: "Default" }).count(), 0);
  await page.getByRole("navigation").getByRole("button", { name: "Mesh Networks" }).click();
  await page.getByRole("menuitem", { name: "Mesh networks" }).waitFor();
});

test("the list follows machines that join", async () => {
  const page = await at("/meshes", [HOME]);
  await page.getByText("Live").waitFor();
  put(stage.mock, "meshes", { ...HOME, Members: 3, FreeAddresses: 251 });
  await page.getByRole("cell", { name: "251" }).waitFor();
});

test("a mesh network is made of a network of each family, one of them made up", async () => {
  const page = await at("/meshes?new", []);
  await page.getByLabel("Name").fill("home");
  const v4 = page.getByLabel("IPv4 network", { exact: true });
  await v4.fill("10.20.0.0");
  await page.getByText("A network is an address and a length").waitFor();
  await v4.fill("10.20.0.0/16");
  await page.getByText(/Addresses for 65.534 machines/).waitFor();
  await page.getByRole("button", { name: "Make up an IPv6 network" }).click();
  const v6 = await page.getByLabel("IPv6 network", { exact: true }).inputValue();
  assert.match(v6, /^fd[0-9a-f]{2}(?::[0-9a-f]{1,4}){2}::\/64$/u);
  await page.getByRole("switch", { name: "Default" }).click();
  await page.getByRole("switch", { name: "Entries in /etc/hosts" }).click();
  await page.getByRole("button", { name: "Create mesh network" }).click();
  await page.getByRole("heading", { name: "home", exact: true }).waitFor();
  const [{ body }] = asked("POST", "/meshes");
  assert.deepEqual([body.Name, body.Cidrs, body.Default, body.Hosts], ["home", ["10.20.0.0/16", v6], true, true]);
});

test("what the server says of a network stands at it", async () => {
  const page = await at("/meshes?new", [HOME]);
  stage.mock.refuse.set("POST /meshes", {
    status: 422,
    kind: "ValidationError",
    messages: ["Cidrs: 10.20.0.0/25 overlaps 10.20.0.0/24 of mesh network home"],
  });
  await page.getByLabel("Name").fill("lab");
  await page.getByLabel("IPv4 network", { exact: true }).fill("10.20.0.0/25");
  await page.getByRole("button", { name: "Create mesh network" }).click();
  await page.getByText("overlaps 10.20.0.0/24 of mesh network home").waitFor();
  assert.equal(await page.getByLabel("IPv4 network", { exact: true }).getAttribute("aria-invalid"), "true");
});

test("members are shown with their addresses, and whether they are online", async () => {
  const page = await at("/meshes/home", [HOME], MEMBERS);
  await page.getByText("Networks stay as they are while machines are in them.").first().waitFor();
  assert.equal(await page.getByLabel("IPv4 network", { exact: true }).getAttribute("readonly"), "");
  await page.getByRole("tab", { name: "Members" }).click();
  const first = page.getByRole("row").filter({ hasText: "db-07" });
  await first.getByRole("img", { name: "Online" }).waitFor();
  await first.getByText("10.20.0.1", { exact: true }).waitFor();
  await first.getByText("fd00:20::1", { exact: true }).waitFor();
  const second = page.getByRole("row").filter({ hasText: "web-2" });
  await second.getByRole("img", { name: /Offline, last seen 4 days ago/ }).waitFor();
  await second.getByText("4d", { exact: true }).waitFor();
  assert.ok(asked("GET", "/machines").some(({ query }) => query.startsWith("?MeshNetwork=home&")));
});

test("a mesh network that machines are in is not deleted, and why is said", async () => {
  const page = await at("/meshes", [HOME], MEMBERS);
  const sentence = "machines are in this mesh network: it stays, and so do its networks, until they are out of it";
  stage.mock.refuse.set("DELETE /meshes/home", { status: 409, kind: "StillInUseError", messages: [sentence] });
  await page.getByRole("button", { name: "Actions for home" }).click();
  await page.getByRole("menuitem", { name: "Delete" }).click();
  const dialog = page.getByRole("alertdialog", { name: "Delete mesh network home?" });
  await dialog.getByRole("button", { name: "Delete mesh network" }).click();
  await dialog.getByText(/machines are in this mesh network/iu).waitFor();
});
