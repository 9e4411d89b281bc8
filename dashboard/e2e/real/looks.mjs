// The looks in which every page is examined, and the examination: what axe finds, whether the page scrolls
// sideways, and a picture.
import assert from "node:assert/strict";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import path from "node:path";

/** Light and dark, on a desk and in a hand. */
export const LOOKS = [
  { name: "light", options: { colorScheme: "light", viewport: { width: 1440, height: 900 } } },
  { name: "dark", options: { colorScheme: "dark", viewport: { width: 1440, height: 900 } } },
  { name: "light-390", options: { colorScheme: "light", viewport: { width: 390, height: 844 } } },
  { name: "dark-390", options: { colorScheme: "dark", viewport: { width: 390, height: 844 } } },
];

/** Impacts that nobody ships with. */
const GRAVE = ["serious", "critical"];
const AXE = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** Puts an open page into a look, and waits until it has it. */
export async function put(page, { options: { colorScheme, viewport } }) {
  await page.emulateMedia({ colorScheme });
  await page.setViewportSize(viewport);
  await page.evaluate(async () => {
    await document.fonts.ready;
    // What follows the size of the window does so with the next frame.
    for (let frames = 0; frames < 2; frames += 1) await new Promise(requestAnimationFrame);
    const ends = document.getAnimations().filter(({ effect }) => effect.getComputedTiming().iterations !== Infinity);
    await Promise.allSettled(ends.map(({ finished }) => finished));
  });
}

/** Nothing grave is found by axe. */
export async function examine(page, name) {
  // Evaluated by the browser's debugger, which the page's policy against inline scripts is not about.
  if (!(await page.evaluate(() => "axe" in globalThis))) await page.evaluate(AXE);
  const findings = await page.evaluate(async () => {
    const { violations } = await globalThis.axe.run(document, { resultTypes: ["violations"] });
    return violations.map(({ id, impact, help, nodes }) => ({
      id,
      impact,
      help,
      where: nodes.slice(0, 4).map((node) => `${node.target.join(" ")}: ${node.any[0]?.message ?? node.html.slice(0, 120)}`),
    }));
  });
  assert.deepEqual(findings.filter(({ impact }) => GRAVE.includes(impact)), [], `axe on ${name}`);
}

/** The page itself does not scroll sideways. */
export async function isWithin(page, name) {
  const sideways = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  assert.equal(sideways, 0, `${name} scrolls sideways by ${sideways} px`);
}

/** Keeps a picture as `NAME-LOOK.webp` when `MUSTER_PICTURES` names a folder. */
export async function picture(page, name, look) {
  const folder = process.env["MUSTER_PICTURES"] ?? "";
  if (folder === "") return;
  await mkdir(folder, { recursive: true });
  const debug = await page.context().newCDPSession(page);
  const { data } = await debug.send("Page.captureScreenshot", { format: "webp", quality: 75 });
  await debug.detach();
  await writeFile(path.join(folder, `${name}-${look}.webp`), Buffer.from(data, "base64"));
}
