// The map of a mesh network and the tunnels of its members, in Chromium against the stand-in.
import assert from "node:assert/strict";
import { test } from "node:test";
import { edge, member } from "./mesh.mjs";
import { machine } from "./objects.mjs";
import { examine, isWithin } from "./real/looks.mjs";
import { setStage } from "./stage.mjs";

const stage = setStage();
const HOME = { Name: "home", Cidrs: ["10.20.0.0/24"], Default: false, Hosts: false, Members: 5, FreeAddresses: 249 };
const [GATE, WEB1, WEB2, DB, OLD] = ["gate", "web-1", "web-2", "db-07.dc1.example", "old-1"].map((Name, place) =>
  member({ Machine: `00000000-0000-4000-8000-00000000000${place}`, Name, Addresses: [`10.20.0.${place + 1}`], Relay: Name === "gate", Online: Name !== "old-1" }),
);
/** Five members: one relays, two of them do not reach each other, one is offline. */
const TORN = {
  Relay: GATE.Machine,
  Members: [GATE, WEB1, WEB2, DB, OLD],
  Edges: [edge(0, 1), edge(0, 2), edge(0, 3), edge(1, 2, { Way: "relay", Up: false, HandshakeAt: null }), edge(1, 3), edge(2, 3), edge(0, 4, { Up: false })],
};

/** The tab Map of the network. */
async function open(map, { machines = [], options = {} } = {}) {
  const page = await stage.start({ machines, objects: { meshes: [HOME] } }, options);
  if (map !== undefined) stage.mock.maps.set("home", map);
  await page.goto(`${stage.mock.url}/meshes/home`);
  await page.getByRole("tab", { name: "Map" }).click();
  return page;
}

const pairs = (page) => page.getByRole("table", { name: "Pairs of home" });
const rowsOf = async (page) => (await pairs(page).getByRole("row").count()) - 1;

test("the map is a picture with a label that sums it up, and every pair is in the table", async () => {
  const page = await open(TORN);
  const words = "5 members, 4 online. 5 pairs have a tunnel, 1 goes by the relay. gate relays.";
  const map = page.getByRole("img", { name: `Map of home: ${words}` });
  await map.waitFor();
  await page.getByRole("status").filter({ hasText: words }).waitFor();
  assert.deepEqual(await map.locator("text").allTextContents(), ["gate", "web-1", "web-2", "db-07", "old-1"]);
  assert.equal(await rowsOf(page), 7);
  const relayed = pairs(page).getByRole("row").filter({ hasText: "By relay gate" });
  assert.match(await relayed.innerText(), /web-1.*web-2/s);
});

test("a relayed pair is drawn through the relay, dashed, and an offline member is dimmed", async () => {
  const page = await open(TORN);
  const map = page.getByRole("img", { name: /^Map of home/ });
  const line = map.locator("path.map-relayed");
  assert.notEqual(await line.evaluate((path) => getComputedStyle(path).strokeDasharray), "none");
  const gate = map.locator("g.map-relay .map-dot");
  const [x, y] = await Promise.all(["cx", "cy"].map((name) => gate.getAttribute(name)));
  const nearest = await line.evaluate(
    (path, [x, y]) => {
      const whole = path.getTotalLength();
      const points = Array.from({ length: 201 }, (_, step) => path.getPointAtLength((whole * step) / 200));
      return Math.min(...points.map((point) => Math.hypot(point.x - x, point.y - y)));
    },
    [Number(x), Number(y)],
  );
  assert.ok(nearest < 5, `it passes the relay at ${nearest}`);
  assert.equal(await map.locator("g.map-offline text").textContent(), "old-1");
});

test("looking at a member leaves its pairs alone, by the field and by the mouse", async () => {
  const page = await open(TORN);
  await page.getByLabel("Look at").selectOption({ label: "web-1" });
  await page.locator("figcaption").getByText("web-1, online", { exact: true }).waitFor();
  assert.equal(await rowsOf(page), 3);
  await page.getByLabel("Pairs in the table").selectOption({ label: "By the relay" });
  assert.equal(await rowsOf(page), 1);
  await page.getByLabel("Pairs in the table").selectOption({ label: "Not reached" });
  await page.getByText("There is no such pair.").waitFor();
  await page.getByLabel("Pairs in the table").selectOption("");
  await page.getByRole("img", { name: /^Map of home/ }).locator("g.map-spot", { hasText: "db-07" }).locator(".map-dot").click();
  assert.equal(await page.getByLabel("Look at").inputValue(), DB.Machine);
});

test("members that do not reach each other where nobody relays are red, and what helps is said", async () => {
  const page = await open({ ...TORN, Relay: null, Edges: [edge(1, 2, { Up: false, HandshakeAt: null }), edge(1, 3)] });
  await page.getByText("Some members do not reach each other, and nobody relays.").waitFor();
  await pairs(page).getByText("No tunnel yet").waitFor();
  assert.equal(await page.locator("g.map-troubled").count(), 2);
});

test("a hundred members are drawn by role, with relays and those with trouble by themselves", async () => {
  const members = Array.from({ length: 100 }, (_, place) =>
    member({ Machine: `00000000-0000-4000-8000-0000000001${String(place).padStart(2, "0")}`, Name: `node-${place}`, Roles: [place % 2 === 0 ? "web" : "db"], Relay: place === 0, Error: place === 9 ? "the kernel has no WireGuard" : "" }),
  );
  const page = await open({ Relay: members[0].Machine, Members: members, Edges: members.flatMap((_, to) => members.slice(0, to).map((_from, from) => edge(from, to))) });
  const map = page.getByRole("img", { name: /^Map of home: 100 members, 100 online\. 4.950 pairs have a tunnel\. node-0 relays\.$/ });
  await map.waitFor();
  assert.deepEqual(await map.locator("text").allTextContents(), ["node-0", "node-9", "db (49)", "web (49)"]);
  await page.getByText("drawn by their first role").waitFor();
  await page.getByText("Page 1 of 99").waitFor();
});

test("the map follows tunnels that come up, and hears of its own network alone", async () => {
  const page = await open({ ...TORN, Edges: [edge(1, 2, { Up: false, HandshakeAt: null })] });
  await page.getByText("1 goes by the relay").waitFor({ state: "detached" });
  stage.mock.maps.set("home", { ...TORN, Edges: [edge(1, 2)] });
  const before = stage.mock.asked.filter(({ path }) => path === "/meshes/home/peers").length;
  stage.mock.publish("peers", "update", WEB1.Machine, { Machine: WEB1.Machine, MeshNetwork: "other" });
  stage.mock.publish("peers", "update", WEB1.Machine, { Machine: WEB1.Machine, MeshNetwork: "home" });
  await page.getByText("1 pair has a tunnel.").first().waitFor();
  assert.equal(stage.mock.asked.filter(({ path }) => path === "/meshes/home/peers").length, before + 1);
});

test("an empty network says how members come", async () => {
  const page = await open({ Members: [], Edges: [] });
  await page.getByRole("heading", { name: "Nothing to draw yet" }).waitFor();
});

test("the list of members tells relays and how many tunnels are up, or why none", async () => {
  const machines = ["gate", "web-1", "web-2"].map((Name) => machine({ Name, MeshNetwork: "home", MeshAddresses: ["10.20.0.9"] }));
  const told = machines.map(({ Uuid, Name }) => member({ Machine: Uuid, Name, Relay: Name === "gate", ...(Name === "web-2" ? { Error: "the kernel has no WireGuard", Key: "" } : {}) }));
  const page = await open({ Relay: machines[0].Uuid, Members: told, Edges: [edge(0, 1), edge(0, 2, { Up: false })] }, { machines });
  await page.getByRole("tab", { name: "Members" }).click();
  const row = (name) => page.getByRole("table", { name: "Machines of home" }).getByRole("row").filter({ has: page.getByRole("link", { name, exact: true }) });
  await row("gate").getByText("Relay, in use").waitFor();
  await row("gate").getByText("1 of 2", { exact: true }).waitFor();
  await row("web-1").getByText("1 of 1", { exact: true }).waitFor();
  await row("web-2").getByText("the kernel has no WireGuard").waitFor();
});

for (const [look, options] of [
  ["light", { colorScheme: "light" }],
  ["dark, narrow", { colorScheme: "dark", viewport: { width: 390, height: 844 } }],
]) {
  test(`the map is readable, reachable and within the screen: ${look}`, async () => {
    const long = member({ Machine: "00000000-0000-4000-8000-000000000009", Name: "w".repeat(128) });
    const page = await open({ ...TORN, Members: [...TORN.Members, long], Edges: [...TORN.Edges, edge(0, 5)] }, { options });
    await pairs(page).waitFor();
    await isWithin(page, "map");
    await examine(page, "map");
  });
}
