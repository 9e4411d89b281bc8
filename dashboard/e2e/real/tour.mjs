// Every page, light and dark, wide and narrow: nothing grave by axe, no sideways scrolling, no word from the
// Content-Security-Policy, nothing asked of strangers; and the pictures of the documentation. Run by the suite
// `dashboard`.
import { before, test } from "node:test";
import { examine, isWithin, LOOKS, picture, put } from "./looks.mjs";
import { PAGES } from "./pages.mjs";
import { settle } from "./site.mjs";
import { setStage } from "./stage.mjs";
import { ask } from "./world.mjs";

const stage = setStage();
let site;

before(async () => {
  site = await settle();
});

for (const place of PAGES) {
  test(`${place.name}, light and dark, wide and narrow: readable, reachable, within the screen.`, async () => {
    for (const each of site.alive) await ask("the machine lives", { name: each });
    // One page in all looks: it is loaded once, and follows the window as it does on a desk.
    const enter = place.outside === true ? stage.knock : stage.visit;
    const page = await enter(place.path(site), LOOKS[0].options);
    await place.ready?.(page, site);
    await page.locator(".loading, .spinner").first().waitFor({ state: "detached" });
    for (const look of LOOKS) {
      const name = `${place.name}, ${look.name}`;
      await put(page, look);
      await isWithin(page, name);
      await examine(page, name);
      await picture(page, place.name, look.name);
    }
  });
}
