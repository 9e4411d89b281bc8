// Three machines of a mesh network, from the click that assigns them to what the pages show of their tunnels. Run by the
// suite `mesh`: the machines are virtual ones, and one of them stands behind a router that hides it.
import assert from "node:assert/strict";
import { before, test } from "node:test";
import { row } from "../browser.mjs";
import { setStage } from "./stage.mjs";
import { ask } from "./world.mjs";

/** From a session to a page that shows it: the machines tell of it first. */
const TOLD_WITHIN = 30_000;
const stage = setStage();
/** The network, which nobody is in yet, and the names of the machines; the last one is behind the router. */
let mesh;
let names;

before(async () => {
  ({ mesh, names } = await ask("who is there"));
});

/** What the column Mesh Network says of a machine. */
function meshOf(page, name) {
  return row(page, name).locator("[data-label='Mesh Network']");
}

test("Machines that are selected and assigned at once reach each other, and the column Mesh Network says where they are.", async () => {
  const page = await stage.visit();
  for (const name of names) {
    await page.getByRole("checkbox", { name: `Select ${name}`, exact: true }).click();
    assert.equal(await meshOf(page, name).getByText(mesh, { exact: true }).count(), 0, `${name} is in no mesh network yet`);
  }
  const bar = page.getByRole("region", { name: "Selected machines" });
  await bar.getByText(`${names.length} selected`).waitFor();
  await bar.getByRole("button", { name: "Actions" }).click();
  await page.getByRole("menuitem", { name: /^Mesh network/ }).click();
  const dialog = page.getByRole("dialog", { name: `Mesh network: ${names.length} machines` });
  await dialog.getByLabel("Mesh network", { exact: true }).selectOption({ label: mesh });
  const assign = dialog.getByRole("button", { name: "Assign", exact: true });
  await assign.hover();
  // From here on time is taken, of the click as well.
  await ask("Assign is about to be clicked");
  await assign.click();
  await dialog.getByText(`${names.length} of ${names.length} done.`).waitFor();
  await ask("they reach each other");
  await dialog.getByRole("button", { name: "Close" }).last().click();
  await bar.waitFor({ state: "detached" });
  for (const name of names) await meshOf(page, name).getByText(mesh, { exact: true }).waitFor();
});

test("The tab Peers of the machine behind the router shows a direct tunnel with each of the others, and the map of the network all of them.", async () => {
  const [name, ...others] = names.toReversed();
  const page = await stage.visit();
  await page.getByRole("link", { name, exact: true }).click();
  await page.getByRole("link", { name: "Peers", exact: true }).click();
  const peers = page.getByRole("table", { name: `Peers of ${name}` }).getByRole("row");
  for (const other of others) {
    const peer = peers.filter({ has: page.getByRole("link", { name: other, exact: true }) });
    await peer.getByText("Direct", { exact: true }).waitFor({ timeout: TOLD_WITHIN });
    await peer.getByText(/^\d+[sm] ago$/).waitFor();
  }
  assert.equal(await peers.count(), 1 + others.length, "these are all, below the row of titles");

  await page.getByRole("heading", { name: `Peers in ${mesh}` }).getByRole("link").click();
  await page.getByRole("tab", { name: "Map" }).click();
  const map = page.getByRole("img", { name: new RegExp(`^Map of ${mesh}: 3 members, 3 online\\. 3 pairs have a tunnel\\.`) });
  await map.waitFor({ timeout: TOLD_WITHIN });
  assert.deepEqual((await map.locator("g.map-spot text").allTextContents()).sort(), names.toSorted());
  await page.getByRole("table", { name: `Pairs of ${mesh}` }).getByText("Direct", { exact: true }).nth(2).waitFor();
});
