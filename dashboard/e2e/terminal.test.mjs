// The tab Terminal in Chromium against the stand-in: off, open, ended, recorded, and the strict policy kept.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { shot } from "./browser.mjs";
import { machine } from "./objects.mjs";
import { setStage } from "./stage.mjs";

const stage = setStage();
const ID = "5f0c1d2e-8f5e-4f4e-9d6e-1a2b3c4d5e6f";
const SOON = { Uuid: ID, Name: "db-07", Online: true, LastSeenAt: new Date().toISOString() };

/** The tab of a machine; with terminals allowed on it, unless told otherwise. */
async function tab({ allowed = true, about = {}, options = {} } = {}) {
  const page = await stage.start({ machines: [machine({ ...SOON, LastSeenAt: new Date().toISOString(), ...about })], ...options });
  if (allowed) stage.mock.terminals.allowed.add(ID);
  await page.goto(`${stage.mock.url}/machines/${ID}/terminal`);
  await page.getByRole("heading", { name: "Recordings" }).waitFor();
  return page;
}

async function opened(page) {
  await page.getByRole("button", { name: "Open a terminal" }).click();
  await page.getByText("Open, and recorded.").waitFor();
  await shows(page, "root@machine:~#");
}

/** Waits until the terminal shows a text. */
const shows = (page, text) => page.locator(".xterm-rows").filter({ hasText: text }).waitFor();
const heard = (type) => stage.mock.terminals.heard.filter((each) => each.Type === type);
const typed = () => stage.mock.terminals.heard.filter((each) => typeof each === "string").join("");

test("terminals are off until somebody allows them, and the switch says who did", async () => {
  const page = await tab({ allowed: false });
  const toggle = page.getByRole("switch", { name: "Allow terminals on db-07" });
  assert.equal(await toggle.getAttribute("aria-checked"), "false");
  assert.equal(await page.getByRole("button", { name: "Open a terminal" }).count(), 0);
  await toggle.click();
  await page.getByText("Allowed by mia").waitFor();
  await page.getByRole("button", { name: "Open a terminal" }).waitFor();
  await toggle.click();
  await page.getByText("Off, as for every machine").waitFor();
});

test("what is typed reaches the machine, what it says is shown, and the policy refuses nothing", async () => {
  const page = await tab();
  await page.evaluate(() => {
    window.refused = [];
    document.addEventListener("securitypolicyviolation", (event) => window.refused.push(`${event.violatedDirective} ${event.sample}`));
  });
  await opened(page);
  assert.equal(heard("open")[0].Csrf, "csrf-of-the-mock");
  await page.keyboard.type("uptime");
  await shows(page, "UPTIME");
  assert.equal(typed(), "uptime");
  // 24-bit colours are inline styles in xterm.js, and the window's own colours a style element.
  stage.mock.terminals.side.show("\u001b[38;2;10;200;30mgreen\u001b[0m \u001b[41mred\u001b[0m");
  await shows(page, "green");
  const colour = await page.locator(".xterm-rows span", { hasText: "green" }).evaluate((span) => getComputedStyle(span).color);
  assert.equal(colour, "rgb(10, 200, 30)");
  const ground = await page.locator(".xterm-rows span", { hasText: "red" }).evaluate((span) => getComputedStyle(span).backgroundColor);
  assert.notEqual(ground, "rgba(0, 0, 0, 0)");
  const row = await page.locator(".xterm-rows > div").first().evaluate((each) => getComputedStyle(each).height);
  assert.ok(Number.parseFloat(row) > 10, `rows have a height: ${row}`);
  assert.deepEqual(await page.evaluate(() => window.refused), []);
  await page.waitForFunction(() => document.adoptedStyleSheets.length > 0);
  assert.ok(heard("seen").length > 0, "the server hears what was seen");
  await shot(page, "terminal");
});

test("another size of the window is another size of the terminal", async () => {
  const page = await tab();
  await opened(page);
  const { Cols } = heard("open")[0].Size;
  await page.setViewportSize({ width: 700, height: 800 });
  await page.waitForFunction(() => true);
  for (let tries = 0; heard("resize").length === 0 && tries < 100; tries += 1) await page.waitForTimeout(50);
  assert.ok(heard("resize").at(-1).Size.Cols < Cols);
});

test("the keyboard leaves the terminal, and Tab is the machine's", async () => {
  const page = await tab();
  await opened(page);
  await page.keyboard.press("Tab");
  for (let tries = 0; typed() === "" && tries < 100; tries += 1) await page.waitForTimeout(50);
  assert.equal(typed(), "\t");
  await page.keyboard.press("Control+F6");
  const end = page.getByRole("button", { name: "End", exact: true });
  assert.ok(await end.evaluate((button) => button === document.activeElement));
  await page.keyboard.press("Enter");
  await page.getByRole("button", { name: "Open a terminal" }).waitFor();
});

test("how it ended is said, and another one can be opened", async () => {
  const page = await tab();
  await opened(page);
  stage.mock.terminals.side.tell({ Type: "notice", Message: "nothing was typed for 14 minutes; it ends in one more" });
  await page.getByText("Nothing was typed for 14 minutes").waitFor();
  stage.mock.terminals.side.end("idle", "nothing was typed for 15 minutes");
  await page.getByText("Ended: Nothing was typed for 15 minutes.").waitFor();
  await page.getByRole("button", { name: "Open another one" }).click();
  await page.getByText("Open, and recorded.").waitFor();
  stage.mock.terminals.side.cut();
  await page.getByText("Ended: The connection to the server broke.").waitFor();
});

test("the password is asked for where it was entered too long ago", async () => {
  const page = await tab();
  stage.mock.terminals.refuse = "confirm";
  await page.getByRole("button", { name: "Open a terminal" }).click();
  await page.getByText("Your password was entered too long ago for a terminal.").waitFor();
  await page.getByRole("button", { name: "Enter your password" }).click();
  await page.getByRole("dialog").getByLabel("Password").waitFor();
});

test("an offline machine and one that is taken have none to open", async () => {
  let page = await tab({ about: { Online: false, LastSeenAt: "2020-01-01T00:00:00Z" } });
  assert.ok(await page.getByRole("button", { name: "Open a terminal" }).isDisabled());
  await page.getByText("The machine is offline").waitFor();
  stage.mock.terminals.open = { Uuid: ID, User: "<b>eve</b>", Source: "10.0.0.9", OpenedAt: new Date().toISOString() };
  await page.reload();
  await page.getByText("<b>eve</b> has a terminal open").waitFor();
  await page.getByRole("button", { name: "End it" }).click();
  await page.getByRole("alertdialog").getByRole("button", { name: "End it" }).click();
  await page.getByRole("alertdialog").waitFor({ state: "detached" });
  assert.ok(stage.mock.asked.some((each) => each.method === "DELETE" && each.path === `/machines/${ID}/terminal`));
});

test("a recording is played as it happened", async () => {
  const page = await tab();
  stage.mock.terminals.kept = [
    { Uuid: ID, User: "mia", Source: "10.0.0.9", OpenedAt: "2026-01-01T10:00:00Z", ClosedAt: "2026-01-01T10:01:05Z", End: "exited", Message: "the shell ended", Seconds: 65, Bytes: 4096, Recorded: true },
  ];
  stage.mock.terminals.recording =
    '{"version":2,"width":60,"height":10,"timestamp":1767261600}\n[0.1,"o","login\\r\\n"]\n[0.2,"r","40x8"]\n[60,"o","<i>last</i>"]\n';
  await page.reload();
  const table = page.getByRole("table", { name: "Terminals of this machine" });
  await table.getByText("1 min 5 s").waitFor();
  await page.getByRole("button", { name: "Actions for the terminal of mia" }).click();
  await page.getByRole("menuitem", { name: "Play" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.locator(".xterm-rows").filter({ hasText: "login" }).waitFor();
  await dialog.getByRole("button", { name: "To the end" }).click();
  await dialog.locator(".xterm-rows").filter({ hasText: "<i>last</i>" }).waitFor();
  await dialog.getByText("1:00 of 1:00").waitFor();
});

test("nothing sticks out of a narrow window, and axe finds nothing serious", async () => {
  const page = await tab();
  await page.setViewportSize({ width: 390, height: 800 });
  await opened(page);
  await page.getByRole("switch", { name: "For screen readers" }).click();
  await page.locator(".xterm-accessibility").waitFor({ state: "attached" });
  assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= window.innerWidth));
  const axe = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
  await page.evaluate(axe);
  const found = await page.evaluate(() => window.axe.run());
  const grave = found.violations.filter((each) => ["serious", "critical"].includes(each.impact));
  assert.deepEqual(grave.map((each) => `${each.id}: ${each.nodes.map((node) => node.html).join(" ")}`), []);
  await shot(page, "terminal-390");
});
