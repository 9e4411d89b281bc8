// Administration and the manners of the whole page in Chromium against the stand-in:
// `npm run build && npm run e2e`.
import assert from "node:assert/strict";
import { test } from "node:test";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { audited, issued, login } from "./house.mjs";
import { openBootstrap, setStage } from "./stage.mjs";

const stage = setStage();
const AXE = createRequire(import.meta.url).resolve("axe-core/axe.min.js");
const EVERYTHING = [{ scope: "*", action: "*", specific: "*" }];
const MACHINE = "0c2c1c5e-1111-4222-8333-444455556666";

function contents(house = {}) {
  return {
    house,
    objects: {
      users: [{ Name: "admin", Roles: ["superuser"] }, { Name: "mia", Roles: ["operator"], Description: "Night shift" }],
      roles: [
        { Name: "superuser", Documentation: "", Claims: EVERYTHING },
        { Name: "operator", Documentation: "", Claims: [{ scope: "machines", action: "get,list", specific: "*" }] },
      ],
      workflows: [{ Name: "discover" }],
    },
  };
}

/** Signs in and goes to a page. */
async function at(path, house, options) {
  const page = await stage.start(contents(house), options);
  await page.goto(stage.mock.url + path);
  return page;
}

function asked(method, path) {
  return stage.mock.asked.filter((one) => one.method === method && one.path === path);
}

const row = (page, text) => page.getByRole("row").filter({ hasText: text });

test("tokens: who made them, uses and end are told, and a live one is revoked after a question", async () => {
  const used = issued({ Id: "AAAAAAAAAAAAAAA1", By: "user:mia", Uses: 2, Constraints: { MaxUses: 5, Cidr: ["10.20.0.0/16"] }, Roles: ["postgres"] });
  const page = await at("/tokens", { tokens: [used, issued({ Id: "AAAAAAAAAAAAAAA2", State: "expired", LastUsedAt: null })] });
  assert.match(await row(page, used.Id).innerText(), /Live\s+mia.*2 of 5\s+1 hour ago\s+from 10\.20\.0\.0\/16, role postgres/s);
  await page.getByRole("button", { name: "Actions for token AAAAAAAAAAAAAAA2" }).click();
  assert.ok(await page.getByRole("menuitem", { name: /Revoke/ }).getAttribute("aria-disabled"), "an expired one is over");
  await page.keyboard.press("Escape");
  await page.getByRole("button", { name: `Actions for token ${used.Id}` }).click();
  await page.getByRole("menuitem", { name: "Revoke" }).click();
  await page.getByRole("alertdialog").getByRole("button", { name: "Revoke token" }).click();
  await page.getByRole("status").getByText(/The token is revoked/).waitFor();
  await row(page, used.Id).getByText("Revoked").waitFor();
  assert.equal(asked("DELETE", `/bootstrap/tokens/${used.Id}`).length, 1);
});

test("tokens and sessions follow what happens elsewhere", async () => {
  const page = await at("/tokens", { tokens: [issued({ Uses: 3 })], logins: { mia: [] } });
  await row(page, "k3JmQ0xXv7Yb2NfA").waitFor();
  stage.mock.house.tokens[0].Uses = 4;
  stage.mock.house.tokens.push(issued({ Id: "AAAAAAAAAAAAAAA9" }));
  stage.mock.publish("bootstrap_tokens", "create", "AAAAAAAAAAAAAAA9", null);
  await row(page, "AAAAAAAAAAAAAAA9").waitFor();
  await page.goto(`${stage.mock.url}/users/mia`);
  await page.getByText("Not signed in anywhere.").waitFor();
  stage.mock.house.logins.mia.push(login({ Source: "10.1.2.3" }));
  stage.mock.publish("logins", "create", "mia", null);
  await row(page, "10.1.2.3").waitFor();
});

test("access roles: one is made of rights that are told in words, and what it lacks is said at its field", async () => {
  const page = await at("/access-roles");
  await row(page, "operator").getByText("machines: get, list").waitFor();
  await page.getByRole("link", { name: "New access role" }).click();
  await page.getByLabel("Name").fill("night");
  await page.getByRole("button", { name: "Add right" }).click();
  const right = page.getByRole("group", { name: "Right 1" });
  await right.getByLabel("Scope").fill("machines, bootstrap");
  assert.equal(await right.getByText("Name some, or write * for all.").count(), 1, "the actions are missing");
  const create = page.getByRole("button", { name: "Create access role" });
  assert.ok(await create.isDisabled());
  // What there is comes from the server.
  await page.locator('datalist option[value="approve"]').first().waitFor({ state: "attached" });
  const offered = await right.getByLabel("Actions").evaluate((field) => [...field.list.options].map(({ value }) => value));
  assert.deepEqual(offered, ["*", "approve", "delete", "get", "list", "token", "update"]);
  await right.getByLabel("Actions").fill("list,approve");
  await right.getByText("machines, bootstrap: list, approve").waitFor();
  stage.mock.refuse.set("POST /roles", { status: 422, kind: "ValidationError", messages: ["Claims: claim 0 is odd", "role name night is no name"] });
  await create.click();
  await page.getByRole("group", { name: "Rights" }).getByText("Claim 0 is odd.").waitFor();
  await page.getByText("Name night is no name.").waitFor();
  stage.mock.refuse.set("POST /roles", { status: 403, kind: "AUTH", messages: ["nobody grants what they may not do themselves"] });
  await create.click();
  await page.getByRole("alert").getByText("Nobody grants what they may not do themselves.").waitFor();
  stage.mock.refuse.clear();
  await create.click();
  await page.getByRole("heading", { name: "night", exact: true }).waitFor();
  assert.deepEqual(stage.mock.collections.roles.get("night").Claims, [{ scope: "machines, bootstrap", action: "list,approve", specific: "*" }]);
});

test("access roles: changed, told whom it concerns, and deleted", async () => {
  const page = await at("/access-roles/operator");
  await page.getByRole("button", { name: "Add right" }).click();
  const right = page.getByRole("group", { name: "Right 2" });
  await right.getByLabel("Scope").fill("events");
  await right.getByLabel("Actions").fill("watch");
  await page.getByRole("button", { name: "Remove right 1" }).click();
  await page.getByRole("button", { name: "Save" }).click();
  await page.getByText("operator is saved.").waitFor();
  assert.deepEqual(stage.mock.collections.roles.get("operator").Claims, [{ scope: "events", action: "watch", specific: "*" }]);
  await page.getByRole("tab", { name: "Used by" }).click();
  await page.getByRole("link", { name: "mia" }).waitFor();
  await page.getByRole("button", { name: "Actions for operator" }).click();
  await page.getByRole("menuitem", { name: "Delete" }).click();
  await page.getByRole("alertdialog").getByRole("button", { name: "Delete access role" }).click();
  await page.getByRole("heading", { name: "Access roles", exact: true }).waitFor();
  assert.ok(!stage.mock.collections.roles.has("operator"));
});

test("tokens: a thousand come in parts, and everybody's are revoked only after a word was typed", async () => {
  const tokens = Array.from({ length: 130 }, (_, index) => issued({ Id: `T${String(index).padStart(15, "0")}` }));
  const page = await at("/tokens", { tokens });
  await row(page, "T000000000000099").waitFor();
  assert.equal(await row(page, "T000000000000100").count(), 0);
  await page.getByRole("button", { name: "Load more" }).click();
  await row(page, "T000000000000129").waitFor();
  await page.getByRole("button", { name: "Revoke several" }).click();
  const dialog = page.getByRole("alertdialog");
  const act = dialog.getByRole("button", { name: "Revoke tokens" });
  assert.ok(await act.isDisabled());
  await dialog.getByLabel(/Type the word/).fill("revoke");
  await act.click();
  await page.getByText("130 tokens that were live are revoked.").waitFor();
  assert.deepEqual(asked("POST", "/bootstrap/tokens/revoke")[0].body, { Before: "now" });
});

test("users: one is made with roles and a password, or not at all", async () => {
  const page = await at("/users");
  await page.getByRole("button", { name: "New user" }).click();
  const dialog = page.getByRole("dialog", { name: "New user" });
  await dialog.getByLabel("User name").fill("kim");
  await dialog.getByRole("button", { name: "Add access role" }).click();
  await page.getByRole("option", { name: /operator/ }).click();
  await dialog.getByLabel("New password").fill("short");
  await dialog.getByText("It needs 7 more.").waitFor();
  const make = dialog.getByRole("button", { name: "Make user" });
  assert.ok(await make.isDisabled());
  await dialog.getByLabel("New password").fill("correct horse battery");
  await dialog.getByLabel("Once more").fill("correct horse batterie");
  await dialog.getByText("The two are not the same.").waitFor();
  await dialog.getByLabel("Once more").fill("correct horse battery");
  stage.mock.refuse.set("PUT /users/kim/password", { status: 422, kind: "ValidationError", messages: ["this password is known to everybody"] });
  await make.click();
  await dialog.getByRole("alert").getByText("This password is known to everybody.").waitFor();
  assert.ok(!stage.mock.collections.users.has("kim"), "no user without a password is left behind");
  stage.mock.refuse.clear();
  await make.click();
  await page.getByRole("heading", { name: "kim", exact: true }).waitFor();
  assert.equal(new URL(page.url()).pathname, "/users/kim");
  assert.deepEqual(stage.mock.collections.users.get("kim").Roles, ["operator"]);
});

test("users: roles change at once and say what they allow, deleting wants the name", async () => {
  const page = await at("/users/mia", { logins: { mia: [login({ Source: "10.1.2.3" })] } });
  await page.getByText("machines: get, list").waitFor();
  await page.getByRole("button", { name: "Remove operator" }).click();
  await page.getByRole("status").getByText(/access roles of mia are changed/).waitFor();
  assert.deepEqual(stage.mock.collections.users.get("mia").Roles, []);
  await page.getByRole("button", { name: "Actions for" }).click();
  await page.getByRole("menuitem", { name: "Sign out" }).click();
  await page.getByRole("alertdialog").getByRole("button", { name: "Sign out" }).click();
  await page.getByText("Not signed in anywhere.").waitFor();
  await page.getByRole("button", { name: "Delete", exact: true }).click();
  await page.getByLabel(/Type the user/).fill("mia");
  await page.getByRole("button", { name: "Delete user" }).click();
  await page.getByRole("heading", { name: "Users", exact: true }).waitFor();
  assert.ok(!stage.mock.collections.users.has("mia"));
});

test("account: an API token is made once the password was entered again, and shown once", async () => {
  const page = await at("/account", { logins: { admin: [login({ Current: true })] } });
  stage.mock.house.confirmed = false;
  await page.getByRole("button", { name: "New API token" }).click();
  const dialog = page.getByRole("dialog", { name: "New API token" });
  await dialog.getByLabel("What it is for").fill("Backup");
  await dialog.getByRole("button", { name: "Make token" }).click();
  const proof = page.getByRole("dialog", { name: "Enter your password" });
  await proof.getByLabel("Password").fill("wrong");
  await proof.getByRole("button", { name: "Continue" }).click();
  await proof.getByRole("alert").getByText("The password is wrong.").waitFor();
  await proof.getByLabel("Password").fill(stage.mock.password);
  await page.keyboard.press("Enter");
  await proof.waitFor({ state: "detached" });
  assert.match(await dialog.getByLabel("API token", { exact: true }).innerText(), /^mst_/);
  const [, again] = asked("POST", "/users/admin/token");
  assert.deepEqual(again.body, { Ttl: "30d", Roles: [], Description: "Backup", Lasting: true });
  await dialog.getByRole("button", { name: "Done" }).click();
  await row(page, "Backup").waitFor();
  assert.equal(await page.getByText("mst_").count(), 0);
});

test("account: whoever calls the password off is still signed in and told why nothing happened", async () => {
  const page = await at("/account");
  stage.mock.house.confirmed = false;
  await page.getByRole("button", { name: "New API token" }).click();
  const dialog = page.getByRole("dialog", { name: "New API token" });
  await dialog.getByRole("button", { name: "Make token" }).click();
  await page.getByRole("dialog", { name: "Enter your password" }).waitFor();
  await page.keyboard.press("Escape");
  await dialog.getByRole("alert").getByText(/needs your password once more/).waitFor();
  assert.equal(asked("POST", "/users/admin/token").length, 1);
});

test("account: another password goes on in a session of its own", async () => {
  const page = await at("/account");
  await page.getByLabel("New password").fill("correct horse battery");
  await page.getByLabel("Once more").fill("correct horse battery");
  await page.getByRole("button", { name: "Change password" }).click();
  await page.getByText(/Your password is changed/).waitFor();
  assert.deepEqual(asked("POST", "/session").at(-1).body, { Username: "admin", Password: "correct horse battery" });
  assert.equal(await page.getByLabel("New password").inputValue(), "");
});

test("audit: rows come in parts, filters stand in the address, and new rows come by themselves", async () => {
  const audit = Array.from({ length: 120 }, (_, index) => audited(index + 1));
  audit.push(audited(200, { Kind: "enrollment.approved", Principal: "user:mia", Machine: MACHINE, Code: "K7P-3XB" }));
  const page = await at("/audit", { audit });
  await page.getByRole("button", { name: "Load more" }).waitFor();
  assert.equal(await page.getByRole("row").count(), 101);
  const added = (row) => {
    stage.mock.house.audit.push(row);
    stage.mock.publish("audit", "create", "", { Kind: row.Kind });
  };
  added(audited(201, { Kind: "session.refused", Reason: "wrong name or password" }));
  await row(page, "wrong name or password").waitFor();
  await page.getByRole("button", { name: "Load more" }).click();
  await page.getByText("Stopped while you read further back").waitFor();
  // All of them: the second part is there, and nothing else is asked for.
  await page.getByRole("row").nth(122).waitFor();
  const before = asked("GET", "/audit").length;
  added(audited(202, { Reason: "while somebody reads" }));
  await page.getByRole("button", { name: "Go on" }).click();
  await row(page, "while somebody reads").waitFor();
  assert.equal(asked("GET", "/audit").length, before + 2, "both parts, once, and only when asked to");
  await page.getByLabel("What", { exact: true }).selectOption("Registration");
  await page.getByLabel("Who", { exact: true }).fill("mia");
  await row(page, "sign").first().waitFor({ state: "detached" });
  assert.match(await row(page, "registration approved").innerText(), /mia.*0c2c1c5e.*code K7P-3XB/s);
  assert.equal(new URL(page.url()).search, "?what=Registration&who=mia");
  await page.reload();
  await row(page, "registration approved").waitFor();
  assert.equal(await page.getByRole("row").count(), 2);
});

test("settings: what was changed is sent together, and what cannot be is said first", async () => {
  const page = await at("/settings");
  stage.mock.prefs.knownTokenTimeout = "3600";
  await page.reload();
  const life = page.getByLabel("Life of a known machine\u2019s token", { exact: true });
  await life.fill("soon");
  await page.getByLabel("Workflow of a new machine").selectOption("discover");
  await page.getByText("2 preferences are changed.").waitFor();
  const save = page.getByRole("button", { name: "Save" });
  assert.ok(await save.isDisabled());
  await life.fill("3600");
  await page.getByText("1 preference is changed.").waitFor();
  await save.click();
  await page.getByText("The preferences are saved.").waitFor();
  assert.deepEqual(asked("POST", "/prefs").at(-1).body, { defaultWorkflow: "discover" });
});

test("settings: media tell size, digest and build, the server its pins", async () => {
  const page = await at("/settings/media");
  assert.match(await row(page, "muster.iso").innerText(), /USB drive.*129 MB\s+[0-9a-f]{64}/s);
  assert.equal(await page.getByRole("link", { name: "Download vmlinuz" }).getAttribute("href"), "/media/vmlinuz");
  await page.getByText("6.1.0-56-amd64").first().waitFor();
  await page.getByRole("link", { name: "Server" }).click();
  assert.match(await page.getByLabel("Current CA").innerText(), /^sha256:/);
});

test("a theme is on before the first paint, everywhere, and is kept", async () => {
  const page = await at("/users", {}, { colorScheme: "light" });
  const ground = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const light = await ground();
  await page.getByRole("button", { name: "Account of admin" }).click();
  await page.getByRole("menuitemradio", { name: "Dark" }).click();
  const dark = await ground();
  assert.notEqual(dark, light);
  await page.route("**/assets/*.js", (route) => route.abort());
  await page.reload();
  assert.equal(await ground(), dark, "without any of the page's own code");
  await page.unroute("**/assets/*.js");
  await page.evaluate(() => localStorage.setItem("muster-theme", "light"));
  await page.emulateMedia({ colorScheme: "dark" });
  await page.reload();
  assert.equal(await ground(), light, "the choice wins over the system");
  // What was refused above is no fault of the page.
  stage.opened.faults.length = 0;
});

test("a deep link with a query survives signing in", async () => {
  const page = await stage.openPage(contents({ audit: [audited(1), audited(2, { Kind: "user.password", Reason: "of mia" })] }));
  await page.goto(`${stage.mock.url}/audit?what=user.password`);
  await page.getByLabel("Password").fill(stage.mock.password);
  await page.getByRole("button", { name: "Sign in" }).click();
  await row(page, "of mia").waitFor();
  assert.equal(await page.getByRole("row").count(), 2);
  assert.equal(new URL(page.url()).search, "?what=user.password");
});

test("a session that ends leaves nothing of it on the page, and the address as it was", async () => {
  const page = await at("/tokens", { tokens: [issued()] });
  await row(page, "k3JmQ0xXv7Yb2NfA").waitFor();
  stage.mock.sessions.clear();
  stage.mock.cut();
  await page.getByRole("heading", { name: "Sign in to Muster" }).waitFor();
  assert.equal(new URL(page.url()).pathname, "/tokens");
  assert.equal(await page.getByText("k3JmQ0xXv7Yb2NfA").count(), 0);
});

test("changes carry the CSRF token, and nothing is asked of anybody else", async () => {
  const page = await stage.openPage(contents({ tokens: [issued()] }));
  const elsewhere = [];
  page.on("request", (request) => {
    const url = new URL(request.url());
    if (url.protocol !== "blob:" && url.origin !== stage.mock.url && url.host !== new URL(stage.mock.url).host) elsewhere.push(request.url());
  });
  await page.goto(stage.mock.url);
  await page.getByLabel("Password").fill(stage.mock.password);
  await page.getByRole("button", { name: "Sign in" }).click();
  await openBootstrap(page);
  await page.keyboard.press("Escape");
  for (const path of ["/tokens", "/users", "/users/mia", "/access-roles", "/access-roles/operator", "/audit", "/settings", "/settings/media", "/settings/server", "/account"]) {
    await page.goto(stage.mock.url + path);
    await page.locator("h1").waitFor();
  }
  assert.deepEqual(elsewhere, []);
  for (const one of stage.mock.asked.filter(({ method, path }) => method !== "GET" && path !== "/session")) {
    assert.notEqual(one.csrf, "", `${one.method} ${one.path}`);
  }
});

for (const [name, options] of [
  ["light", { colorScheme: "light" }],
  ["dark", { colorScheme: "dark" }],
  ["narrow", { viewport: { width: 390, height: 844 } }],
]) {
  test(`axe finds nothing serious and nothing scrolls sideways (${name})`, async () => {
    const house = {
      tokens: [issued()],
      logins: { admin: [login({ Current: true }), login({ Kind: "api-token", Description: "Backup" })] },
      audit: [audited(1, { Machine: MACHINE })],
    };
    const page = await at("/account", house, options);
    const axe = await readFile(AXE, "utf8");
    for (const path of ["/tokens", "/users", "/users/mia", "/access-roles", "/access-roles/operator", "/audit", "/settings", "/settings/media", "/settings/server", "/account"]) {
      await page.goto(stage.mock.url + path);
      await page.getByRole("heading", { level: 1 }).waitFor();
      await page.locator(".loading").first().waitFor({ state: "detached" });
      const found = await page.evaluate(async (code) => {
        new Function(code)();
        return (await window.axe.run(document, { resultTypes: ["violations"] })).violations.map(
          ({ id, impact, nodes }) => ({ id, impact, where: nodes.map(({ html }) => html.slice(0, 160)) }),
        );
      }, axe);
      const serious = found.filter(({ impact }) => impact === "serious" || impact === "critical");
      assert.deepEqual(serious, [], path);
      const over = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      assert.ok(over <= 0, `${path} scrolls sideways by ${over} pixels`);
    }
  });
}

test("on a narrow screen every place is in one menu, by keyboard too", async () => {
  const page = await at("/users", {}, { viewport: { width: 390, height: 844 } });
  const menu = page.getByRole("button", { name: "Menu", exact: true });
  await menu.focus();
  await page.keyboard.press("Enter");
  await page.getByRole("menuitem", { name: "Users" }).waitFor();
  assert.equal(await page.getByRole("menuitem", { name: "Users" }).getAttribute("aria-current"), "page");
  await page.keyboard.press("End");
  // The menu moves the focus a moment later.
  await page.locator("[role=menuitem]:focus", { hasText: "Settings" }).waitFor();
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: "Settings" }).waitFor();
});
