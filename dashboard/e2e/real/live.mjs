// Pages that stay alive: two people see each other's work, a server that restarts is found again, and whoever
// is asked to sign in comes out where they wanted to go. Run by the suite `dashboard`.
import assert from "node:assert/strict";
import { test } from "node:test";
import { row } from "../browser.mjs";
import { openBootstrap, setStage } from "./stage.mjs";
import { ask, call, change, registers, waits } from "./world.mjs";

/** From a server that is back to a page that says so: the page waits ever longer between its attempts. */
const BACK_WITHIN = 40_000;
const stage = setStage();

/** Notes a page's loads, so that none of them was a reload. */
async function withoutReload(page) {
  let loads = 0;
  page.on("load", () => {
    loads += 1;
  });
  return () => assert.equal(loads, 0, "the page was loaded again");
}

test("Two browsers see each other's changes without a reload.", async () => {
  const [ada, ben] = [await stage.visit(), await stage.visit()];
  const checks = [await withoutReload(ada), await withoutReload(ben)];
  const { code } = await waits("shared", { Serial: "SHARED-1" });
  const dialog = await openBootstrap(ada, /ISO Image/);
  await dialog.getByLabel(/Code on the machine/).fill(code);
  await dialog.getByLabel("Name", { exact: true }).fill("shared");
  const tick = dialog.getByRole("checkbox", { name: /matches the check/ });
  if (await tick.count()) await tick.check();
  await dialog.getByRole("button", { name: "Bootstrap", exact: true }).click();
  await row(ben, "shared").getByText("Discovery mode", { exact: true }).waitFor();
  await ask("the machine collects", { name: "shared" });
  await row(ben, "shared").getByRole("img", { name: "Online", exact: true }).waitFor();
  await dialog.getByRole("button", { name: "Done" }).click();

  const { Uuid: uuid } = await call("GET", "/machines/Name:shared");
  await change(uuid, "Name", "renamed-by-ben");
  await row(ada, "renamed-by-ben").waitFor();
  await call("DELETE", `/machines/${uuid}`);
  for (const page of [ada, ben]) await row(page, "renamed-by-ben").waitFor({ state: "detached" });
  for (const check of checks) check();
});

test("The detail page follows the machine without a reload.", async () => {
  const uuid = await registers("followed");
  const page = await stage.visit(`/machines/${uuid}`);
  const check = await withoutReload(page);
  await page.getByRole("heading", { name: /followed/, level: 1 }).waitFor();
  await change(uuid, "Name", "followed-on");
  await page.getByRole("heading", { name: /followed-on/, level: 1 }).waitFor();
  check();
});

test("The server restarts under the page: it says so, comes back by itself and shows what was missed.", async () => {
  const uuid = await registers("survivor");
  const page = await stage.visit();
  const check = await withoutReload(page);
  await page.getByText("Live", { exact: true }).waitFor();
  await ask("the server stops");
  await page.getByText(/Reconnecting/).first().waitFor();
  await row(page, "survivor").waitFor();
  await ask("the server starts");
  await change(uuid, "Name", "changed-meanwhile");
  await page.getByText("Live", { exact: true }).waitFor({ timeout: BACK_WITHIN });
  await row(page, "changed-meanwhile").waitFor();
  check();
});

test("A deep link survives the log-in.", async () => {
  const uuid = await registers("linked", { Serial: "DEEP-LINK-1" });
  const page = await stage.open();
  await page.goto(`${stage.env.URL}/machines/${uuid}/hardware?from=mail`);
  await page.getByLabel("User name").fill(stage.env.USERNAME);
  await page.getByLabel("Password").fill(stage.env.PASSWORD);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByText("DEEP-LINK-1").first().waitFor();
  assert.equal(new URL(page.url()).pathname, `/machines/${uuid}/hardware`);
  assert.equal(new URL(page.url()).search, "?from=mail");
});

test("A session that was ended elsewhere leads to the sign-in page, and from there to where one was going.", async () => {
  const uuid = await registers("returned", { Serial: "RETURN-1" });
  const logins = `/users/${stage.env.USERNAME}/logins`;
  const before = (await call("GET", logins)).map(({ Id: id }) => id);
  const page = await stage.open();
  await page.goto(`${stage.env.URL}/machines/${uuid}/hardware`);
  const signIn = async () => {
    await page.getByLabel("Password").fill(stage.env.PASSWORD);
    await page.getByRole("button", { name: "Sign in" }).click();
  };
  await signIn();
  await page.getByText("RETURN-1").first().waitFor();
  const { Id: own } = (await call("GET", logins)).find(({ Id: id }) => !before.includes(id));
  await call("DELETE", `${logins}/${own}`);
  await page.getByRole("link", { name: "Params", exact: true }).first().click();
  await page.getByRole("button", { name: "Sign in" }).waitFor();
  assert.equal(await page.getByText("returned").count(), 0, "nothing is left to read");
  await signIn();
  await page.getByRole("heading", { name: /returned/, level: 1 }).waitFor();
  assert.equal(new URL(page.url()).pathname, `/machines/${uuid}/params`);
});
