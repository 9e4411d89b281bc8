// The pages of virtual addresses and routes, in Chromium against the stand-in.
import assert from "node:assert/strict";
import { test } from "node:test";
import { put } from "./collections.mjs";
import { machine } from "./objects.mjs";
import { examine, isWithin } from "./real/looks.mjs";
import { setStage } from "./stage.mjs";

const stage = setStage();
const HOME = { Name: "home", Cidrs: ["10.20.0.0/16"], Default: false, Hosts: false, Members: 2, FreeAddresses: 65_532 };
const [WEB1, WEB2] = ["web-1", "web-2"].map((Name) => machine({ Name, MeshNetwork: "home", MeshAddresses: ["10.20.0.1"] }));
const ELSEWHERE = machine({ Name: "elsewhere", MeshNetwork: "other" });
const stands = ({ Uuid: Machine, Name }, part = {}) => ({ Machine, Name, Online: true, Healthy: true, Message: "", ...part });

function vip(part = {}) {
  return {
    Name: "api",
    Documentation: "",
    MeshNetwork: "home",
    Prefix: "10.20.255.1/32",
    Enabled: true,
    Machines: [WEB1.Uuid, WEB2.Uuid],
    Role: "",
    Check: { Type: "tcp", Target: ":6443", Interval: 5, Timeout: 3, HealthyThreshold: 2, UnhealthyThreshold: 3, Holdoff: 0 },
    Holder: WEB1.Uuid,
    Epoch: 7,
    State: "held",
    Members: [stands(WEB1), stands(WEB2, { Healthy: false, Message: "connection refused" })],
    ...part,
  };
}
const ORPHAN = vip({ Name: "store", Prefix: "192.168.7.0/24", Holder: "", Epoch: 3, State: "nobody", Members: [stands(WEB2, { Healthy: false })] });

async function at(path, vips, options = {}) {
  const page = await stage.start({ machines: [WEB1, WEB2, ELSEWHERE], objects: { meshes: [HOME], vips } }, options);
  await page.goto(stage.mock.url + path);
  await page.getByRole("heading", { level: 1 }).waitFor();
  return page;
}

const row = (page, name) => page.getByRole("row").filter({ has: page.getByRole("link", { name, exact: true }) });
const asked = (method, path) => stage.mock.asked.filter((each) => each.method === method && each.path === path);

test("the list tells what is held, by whom, and what nobody holds", async () => {
  const page = await at("/vips", [vip(), ORPHAN]);
  await row(page, "api").getByRole("img", { name: "Held by web-1" }).waitFor();
  assert.deepEqual((await row(page, "api").getByRole("cell").allInnerTexts()).slice(1, 6), ["10.20.255.1/32", "TCP :6443", "web-1", "1 of 2", "home"]);
  await row(page, "store").getByRole("img", { name: "Held by nobody: the machine that may hold it is not healthy" }).waitFor();
  await page.getByRole("navigation").getByRole("button", { name: "Mesh Networks" }).click();
  await page.getByRole("menuitem", { name: "Virtual addresses & routes" }).waitFor();
});

test("the list follows a holder that changes", async () => {
  const page = await at("/vips", [vip()]);
  await page.getByText("Live").waitFor();
  put(stage.mock, "vips", vip({ Holder: WEB2.Uuid, Epoch: 8, Members: [stands(WEB1, { Online: false, Healthy: false }), stands(WEB2)] }));
  await row(page, "api").getByRole("img", { name: "Held by web-2" }).waitFor();
});

test("one is made of an address, machines of its network, and a check whose fields follow its type", async () => {
  const page = await at("/vips?new", []);
  await page.getByLabel("Name").fill("api");
  assert.ok(await page.getByRole("button", { name: "Add machine" }).isDisabled());
  await page.getByLabel("Mesh network").selectOption("home");
  await page.getByRole("textbox", { name: /^Address or route/ }).fill("10.20.255.1/32");
  await page.getByRole("button", { name: "Add machine" }).click();
  const offered = page.getByRole("listbox", { name: "Add machine" });
  await offered.getByRole("option", { name: "web-1" }).waitFor();
  assert.equal(await offered.getByRole("option", { name: "elsewhere" }).count(), 0);
  await page.getByRole("combobox", { name: "Add machine" }).fill("web-2");
  await offered.getByRole("option", { name: "web-1" }).waitFor({ state: "detached" });
  await page.keyboard.press("Enter");
  await page.keyboard.press("Escape");
  await page.getByRole("group", { name: "Machines" }).getByRole("link", { name: "web-2" }).waitFor();
  assert.equal(await page.getByLabel("URL").count(), 0);
  const check = page.getByLabel("Health check", { exact: true });
  await check.selectOption({ label: "TCP connection" });
  await page.getByLabel("Address and port").fill(":6443");
  await check.selectOption({ label: "HTTP request" });
  assert.equal(await page.getByLabel("URL").inputValue(), "");
  await page.getByLabel("URL").fill("http://127.0.0.1:8080/healthz");
  await page.getByLabel("Interval, seconds").fill("2");
  await page.getByText("another one holds it within 8 seconds").waitFor();
  await page.getByRole("button", { name: "Create virtual address or route" }).click();
  await page.getByRole("heading", { name: "api", exact: true }).waitFor();
  const [{ body }] = asked("POST", "/vips");
  assert.deepEqual(
    [body.MeshNetwork, body.Prefix, body.Enabled, body.Machines, body.Check.Type, body.Check.Target, body.Check.Interval, body.Check.UnhealthyThreshold],
    ["home", "10.20.255.1/32", true, [WEB2.Uuid], "http", "http://127.0.0.1:8080/healthz", 2, 3],
  );
});

test("machines that are named by name are shown and offered once", async () => {
  const page = await at("/vips/api", [vip({ Machines: ["web-2"] })]);
  await page.getByRole("group", { name: "Machines" }).getByRole("link", { name: "web-2" }).waitFor();
  await page.getByRole("button", { name: "Add machine" }).click();
  const offered = page.getByRole("listbox", { name: "Add machine" });
  await offered.getByRole("option", { name: "web-1" }).waitFor();
  assert.equal(await offered.getByRole("option", { name: "web-2" }).count(), 0);
});

test("what the server says of a check stands at the field it is about", async () => {
  const page = await at("/vips/api", [vip()]);
  stage.mock.refuse.set("PATCH /vips/api", { status: 422, kind: "ValidationError", messages: ["Check.Target: :99999 is no port"] });
  await page.getByLabel("Address and port").fill(":99999");
  await page.getByRole("button", { name: "Save" }).click();
  await page.getByText("Check.Target: :99999 is no port").first().waitFor();
  assert.equal(await page.getByLabel("Address and port").getAttribute("aria-invalid"), "true");
  assert.equal(await page.getByLabel("Health check", { exact: true }).getAttribute("aria-invalid"), null);
});

test("a change sends what was changed, and nothing of what the server keeps", async () => {
  const page = await at("/vips/api", [vip()]);
  await page.getByRole("switch", { name: "Enabled" }).click();
  // A holder that changes meanwhile is no conflict.
  put(stage.mock, "vips", vip({ Holder: WEB2.Uuid, Epoch: 8 }));
  await page.getByText("Held by web-2").waitFor();
  await page.getByRole("button", { name: "Save" }).click();
  await page.getByText("api is saved.").waitFor();
  const [{ body }] = asked("PATCH", "/vips/api");
  assert.deepEqual(body, [
    { op: "test", path: "/Enabled", value: true },
    { op: "add", path: "/Enabled", value: false },
  ]);
});

test("who holds it, who could, and why somebody could not, is on its page", async () => {
  const page = await at("/vips/api", [vip()]);
  await page.getByText("Held by web-1").waitFor();
  await page.getByText("It was given to a machine 7 times so far.").waitFor();
  await page.getByRole("tab", { name: "Machines" }).click();
  await row(page, "web-1").getByText("Holds it").waitFor();
  assert.match(await row(page, "web-2").innerText(), /Not healthy.*connection refused/s);
  put(stage.mock, "vips", vip({ Members: [stands(WEB1), stands(WEB2)] }));
  await row(page, "web-2").getByText("Healthy", { exact: true }).waitFor();
});

test("a mesh network names the addresses that are held in it", async () => {
  const page = await at("/meshes/home", [vip()]);
  await page.getByRole("tab", { name: "Used by" }).click();
  await page.getByRole("link", { name: "api", exact: true }).click();
  await page.getByRole("heading", { name: "api", exact: true }).waitFor();
});

for (const [look, options] of [
  ["light", { colorScheme: "light" }],
  ["dark, narrow", { colorScheme: "dark", viewport: { width: 390, height: 844 } }],
]) {
  test(`the pages are readable, reachable and within the screen: ${look}`, async () => {
    const page = await at("/vips", [vip({ Name: "x".repeat(64), Description: "y".repeat(256) }), ORPHAN], options);
    await row(page, "store").waitFor();
    await isWithin(page, "vips");
    await examine(page, "vips");
    await row(page, "store").getByRole("link", { name: "store" }).click();
    await page.getByLabel("Interval, seconds").waitFor();
    await isWithin(page, "vip");
    await examine(page, "vip");
    await page.getByRole("tab", { name: "Machines" }).click();
    await page.getByText("Not healthy", { exact: true }).waitFor();
    await examine(page, "vip-machines");
  });
}
