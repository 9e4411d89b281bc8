// The Bootstrap flow without a mouse, from the sign-in page to the machine's row. Run by the suite `dashboard`.
import assert from "node:assert/strict";
import { test } from "node:test";
import { row } from "../browser.mjs";
import { setStage } from "./stage.mjs";
import { ask, call, waits } from "./world.mjs";

/** Most presses of Tab from one place to another; a page that needs more is none for keyboards. */
const MOST_TABS = 40;
const stage = setStage();

/** What has the focus: its role and name as they are read out, and that it shows. */
async function focused(page) {
  return page.evaluate(() => {
    const element = document.activeElement;
    const labels = [...(element.labels ?? [])].map((label) => label.textContent);
    const name = element.getAttribute("aria-label") ?? (labels.length > 0 ? labels.join(" ") : element.textContent);
    const shown = element.type === "radio" || element.type === "checkbox" ? (element.closest("label") ?? element) : element;
    const { outlineStyle, boxShadow } = getComputedStyle(shown);
    const inner = getComputedStyle(element);
    const visible = [outlineStyle, inner.outlineStyle].some((style) => style !== "none") || boxShadow !== "none";
    return { name: (name ?? "").replace(/\s+/g, " ").trim(), tag: element.tagName, type: element.type, visible };
  });
}

/** Presses Tab until what has the focus is called so. */
async function tabTo(page, name, key = "Tab") {
  const passed = [];
  for (let presses = 0; presses < MOST_TABS; presses += 1) {
    const now = await focused(page);
    if (name.test(now.name) && now.tag !== "BODY") {
      assert.ok(now.visible, `one cannot see that ${now.name} has the focus`);
      return now;
    }
    passed.push(`${now.tag} ${now.name.slice(0, 30)}`);
    await page.keyboard.press(key);
  }
  throw new Error(`${name} is not reached by Tab: ${passed.join(" > ")}`);
}

async function signInByKeyboard(page) {
  await page.goto(stage.env.URL);
  await page.getByLabel("Password").waitFor();
  await tabTo(page, /^Password/);
  await page.keyboard.type(stage.env.PASSWORD);
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: "Machines", level: 1 }).waitFor();
}

test("By keyboard alone: sign in, Bootstrap, ISO Image, the code, the preview, Bootstrap, Done, the machine's page.", async () => {
  const { code } = await waits("typed", { Vendor: "Dell Inc.", Product: "PowerEdge R650", Serial: "KEYS-1" });
  const page = await stage.open();
  await signInByKeyboard(page);
  await tabTo(page, /^Bootstrap$/);
  await page.keyboard.press("Enter");
  const dialog = page.getByRole("dialog", { name: "Bootstrap Machine" });
  await dialog.waitFor();
  await tabTo(page, /Muster CLI|ISO Image|PXE/);
  await toMethod(page, /ISO Image/);
  await tabTo(page, /Code on the machine/);
  await page.keyboard.type(code.replace("-", "").toLowerCase());
  await dialog.getByRole("region", { name: /asks to be registered/ }).waitFor();
  await page.keyboard.press("Enter");
  assert.equal((await call("GET", "/machines")).length, 0, "Enter in the code's field approves nothing");
  await tabTo(page, /^Name/);
  await page.keyboard.press("Control+A");
  await page.keyboard.type("typed");
  await tabTo(page, /^Bootstrap$/);
  await page.keyboard.press("Enter");
  await dialog.getByRole("heading", { name: /typed is registered/ }).waitFor();
  await ask("the machine collects", { name: "typed" });
  await tabTo(page, /^Done$/);
  await page.keyboard.press("Enter");
  await dialog.waitFor({ state: "detached" });
  await row(page, "typed").getByText("Discovery mode", { exact: true }).waitFor();
  await tabTo(page, /^typed$/);
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: /typed/, level: 1 }).waitFor();
});

for (const [method, generate] of [
  ["Muster CLI", /^Generate command/],
  ["PXE/Network", /^Generate token/],
]) {
  test(`By keyboard alone: ${method}, its lifetime, what it generates, and Escape.`, async () => {
    const page = await stage.visit();
    await tabTo(page, /^Bootstrap$/);
    await page.keyboard.press("Enter");
    const dialog = page.getByRole("dialog", { name: "Bootstrap Machine" });
    await dialog.waitFor();
    await tabTo(page, /Muster CLI|ISO Image|PXE/);
    await toMethod(page, new RegExp(method));
    await tabTo(page, /^Token Lifetime/);
    await page.keyboard.press("ArrowDown");
    assert.equal(await dialog.getByLabel("Token Lifetime").locator("option:checked").innerText(), "1 day");
    await tabTo(page, generate);
    await page.keyboard.press("Enter");
    await tabTo(page, /^Copy/);
    await page.keyboard.press("Escape");
    await dialog.waitFor({ state: "detached" });
    // The focus is back where it was.
    await page.getByRole("button", { name: "Bootstrap", exact: true }).and(page.locator(":focus")).waitFor();
  });
}

/** Goes through the cards by the arrow keys, as through any group of radio buttons. */
async function toMethod(page, name) {
  for (let presses = 0; presses < 3; presses += 1) {
    if (name.test((await focused(page)).name)) return;
    await page.keyboard.press("ArrowRight");
  }
  throw new Error(`${name} is not reached by the arrow keys`);
}

test("By keyboard alone: the focus does not leave an open dialog, and a row's menu opens, moves and closes.", async () => {
  const page = await stage.visit();
  await row(page, "typed").waitFor();
  await tabTo(page, /^Actions for typed$/);
  await page.keyboard.press("Enter");
  // The menu moves the focus by itself, a moment later.
  const focus = page.locator("[role=menuitem]:focus");
  await focus.waitFor();
  await page.keyboard.press("End");
  await focus.filter({ hasText: "Delete" }).waitFor();
  await page.keyboard.press("Enter");
  const dialog = page.getByRole("alertdialog");
  await dialog.waitFor();
  for (let presses = 0; presses < 12; presses += 1) {
    await page.keyboard.press("Tab");
    assert.ok(await dialog.evaluate((element) => element.contains(document.activeElement)), "the focus left the dialog");
  }
  await page.keyboard.press("Escape");
  await dialog.waitFor({ state: "detached" });
});
