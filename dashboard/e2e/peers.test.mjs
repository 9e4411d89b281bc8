// The tab Peers of a machine's page, and what its card Network says of relays, against the stand-in.
import assert from "node:assert/strict";
import { test } from "node:test";
import { examine, isWithin } from "./real/looks.mjs";
import { peer } from "./mesh.mjs";
import { machine } from "./objects.mjs";
import { setStage } from "./stage.mjs";

const stage = setStage();
const DB = machine({ Name: "db-07", MeshNetwork: "core", MeshAddresses: ["10.99.0.2", "fd00::2"] });
const WEB = machine({ Name: "web-1", MeshNetwork: "core", MeshAddresses: ["10.99.0.3", "fd00::3"], Address: "192.0.2.7" });
const GATE = machine({ Name: "gate", MeshNetwork: "core", MeshAddresses: ["10.99.0.1", "fd00::1"], Address: "198.51.100.4" });

/** As it is: one that is online was heard of a moment ago. */
function alive(known) {
  return known.Online ? { ...known, LastSeenAt: new Date().toISOString() } : known;
}

/** The tab of db-07, with what the server says of it. */
async function open(told = {}, { machines = [DB, WEB, GATE], options = {} } = {}) {
  const page = await stage.start({ machines: machines.map(alive) }, options);
  stage.mock.peers.set(DB.Uuid, told);
  await page.goto(`${stage.mock.url}/machines/${DB.Uuid}/peers`);
  await page.getByRole("heading", { name: "Peers in core" }).waitFor();
  return page;
}

const row = (page, name) => page.getByRole("table", { name: "Peers of db-07" }).getByRole("row").filter({ has: page.getByRole("link", { name, exact: true }) });

test("a peer is a row: its addresses, the way to it, the last handshake, what went through, its endpoint", async () => {
  const page = await open();
  const web = row(page, "web-1");
  await web.getByRole("img", { name: "Online" }).waitFor();
  const [, addresses, way, handshake, traffic, endpoint] = await web.getByRole("cell").allInnerTexts();
  assert.match(addresses, /10\.99\.0\.3\s*fd00::3/);
  assert.equal(way, "Direct");
  assert.match(handshake, /^4\ds ago$/);
  assert.match(traffic, /Received\s+1\.5 MiB\s.*Sent\s+4\.0 KiB$/s);
  assert.equal(endpoint, "192.0.2.7:51820");
  const own = await page.getByText("This machine:").locator("..").innerText();
  assert.match(own, /10\.99\.0\.2\s+fd00::2\s+Key\s+tL7Kq4nI/);
  await web.getByRole("link", { name: "web-1" }).click();
  await page.getByRole("heading", { name: "web-1" }).waitFor();
});

test("the handshake's age is counted by the server's clock", async () => {
  const page = await open({ Peers: [peer(WEB, { HandshakeAt: new Date(Date.now() + 3_600_000 - 120_000).toISOString() })] });
  stage.mock.ahead = 3_600_000;
  await page.reload();
  await row(page, "web-1").getByText("2m ago").waitFor();
});

test("who is not reached goes by the relay, and that is said", async () => {
  const page = await open({ Relay: "gate", Peers: [peer(WEB, { Way: "relay", Relay: "gate", Up: false, HandshakeAt: null, Endpoint: null }), peer(GATE)] });
  await row(page, "web-1").getByText("By relay gate").waitFor();
  await row(page, "gate").getByText("Direct").waitFor();
  assert.equal(await page.getByText("nobody relays").count(), 0);
});

test("where nobody relays, the page says who is not reached and what helps", async () => {
  const page = await open({ Peers: [peer(WEB, { Up: false, HandshakeAt: null, Endpoint: null }), peer(GATE)] });
  await row(page, "web-1").getByText("No tunnel yet").waitFor();
  await page.getByText("It does not reach web-1, and nobody relays. Mark a member that all can reach as relay").waitFor();
});

test("a kernel without WireGuard is an error with a remedy, not an empty table", async () => {
  const page = await open({ Error: "the kernel has no WireGuard", MeshKey: "", ReportedAt: null, Peers: [] });
  const alert = page.getByRole("alert").filter({ hasText: "db-07 has no tunnels: the kernel has no WireGuard." });
  await alert.getByText("Boot a kernel with WireGuard").waitFor();
});

test("the only member is told how others come, and a machine in no network has no such tab", async () => {
  const alone = machine({ Name: "web-2" });
  const page = await open({}, { machines: [DB, alone] });
  await page.getByText("It is the only member so far.").waitFor();
  await page.goto(`${stage.mock.url}/machines/${alone.Uuid}/hardware`);
  await page.getByRole("link", { name: "Hardware", exact: true }).waitFor();
  assert.equal(await page.getByRole("link", { name: "Peers" }).count(), 0);
});

test("the tab follows reports, and tells rates from the second one on", async () => {
  const page = await open({ ReportedAt: "2026-03-01T12:00:00Z", Peers: [peer(WEB, { Received: 0, Sent: 0 })] });
  await row(page, "web-1").getByText("Received 0 B").first().waitFor();
  assert.equal(await page.getByText("/s").count(), 0);
  stage.mock.peers.set(DB.Uuid, { ReportedAt: "2026-03-01T12:00:10Z", Peers: [peer(WEB, { Received: 10_485_760, Sent: 20_480 })] });
  stage.mock.publish("peers", "update", DB.Uuid, { Machine: DB.Uuid, MeshNetwork: "core" });
  await row(page, "web-1").getByText("1.0 MiB/s").waitFor();
  await row(page, "web-1").getByText("2.0 KiB/s").waitFor();
});

test("a machine that joins is there without a reload", async () => {
  const page = await open({}, { machines: [DB, WEB] });
  await row(page, "web-1").waitFor();
  stage.mock.save(GATE);
  await row(page, "gate").waitFor();
});

test("a refusal of the server is said, and may be tried again", async () => {
  const page = await stage.start({ machines: [DB, WEB].map(alive) });
  stage.mock.refuse.set("GET /machines/{id}/peers", { status: 403, kind: "AUTH", messages: ["this needs the right machines:get"] });
  await page.goto(`${stage.mock.url}/machines/${DB.Uuid}/peers`);
  await page.getByText("This needs the right machines:get.").waitFor();
  stage.mock.refuse.clear();
  await page.getByRole("button", { name: "Try again" }).click();
  await row(page, "web-1").waitFor();
});

test("relay and endpoint are set on the card Network, as params of the machine", async () => {
  const page = await stage.start({ machines: [DB] });
  await page.goto(`${stage.mock.url}/machines/${DB.Uuid}`);
  const card = page.getByRole("region", { name: "Network" });
  await card.getByLabel("Relay for other members").selectOption("true");
  await card.getByLabel("Endpoint in the mesh network").fill("203.0.113.7:51820");
  await page.getByText("2 unsaved changes: Relay, Endpoint in the mesh network").waitFor();
  await page.getByRole("button", { name: "Save" }).click();
  await page.getByText("db-07 is saved: 2 settings changed.").waitFor();
  const { body } = stage.mock.asked.find(({ method }) => method === "PATCH");
  assert.deepEqual(
    body.filter(({ op }) => op === "add").map(({ path, value }) => [path, value]),
    [
      ["/Params/muster~1mesh-relay", true],
      ["/Params/muster~1mesh-endpoint", "203.0.113.7:51820"],
    ],
  );
});

test("a machine in no mesh network has no relay to be", async () => {
  const page = await stage.start({ machines: [machine({ Name: "db-07", Uuid: DB.Uuid })] });
  await page.goto(`${stage.mock.url}/machines/${DB.Uuid}`);
  await page.getByRole("region", { name: "Network" }).waitFor();
  assert.equal(await page.getByLabel("Relay for other members").count(), 0);
});

for (const [look, options] of [
  ["light", { colorScheme: "light" }],
  ["dark, narrow", { colorScheme: "dark", viewport: { width: 390, height: 844 } }],
]) {
  test(`the tab is readable, reachable and within the screen: ${look}`, async () => {
    const name = "w".repeat(128);
    const far = machine({ Name: name, MeshNetwork: "core", MeshAddresses: ["10.99.255.254", "fd5a:6d75:7374:ffff:ffff:ffff:ffff:fffe"], offlineFor: 90_000 });
    const peers = [
      peer(WEB, { Way: "relay", Relay: "gate", Up: false, HandshakeAt: null, Endpoint: null }),
      peer(GATE, { Endpoint: "[2001:db8:ffff:ffff:ffff:ffff:ffff:fffe]:51820" }),
      peer(far, { Up: false }),
    ];
    const page = await open({ Relay: "gate", Peers: peers }, { machines: [DB, WEB, GATE, far], options });
    await page.getByRole("link", { name }).waitFor();
    await isWithin(page, "peers");
    await examine(page, "peers");
  });
}
