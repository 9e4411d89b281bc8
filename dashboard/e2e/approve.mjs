// Approves a waiting machine as an operator does: sign in, press Bootstrap, choose ISO, type
// the code, compare, press Bootstrap, see the row.
//
// Environment: MUSTER_URL, MUSTER_USERNAME, MUSTER_PASSWORD, MUSTER_CODE; optional
// MUSTER_FINGERPRINT (what the console shows as check), MUSTER_NAME (name to give),
// MUSTER_CA (PEM), MUSTER_SHOTS (folder for pictures). Prints the machine's name and UUID.
import { alerts, Failure, or, row, run, shot, signIn } from "./browser.mjs";

/** Longest wait for the first heartbeat after the approval, in milliseconds. */
const GREEN = 60_000;

await run(
  "approve",
  async (page, env) => {
    await signIn(page, env);
    await page.getByRole("button", { name: "Bootstrap" }).click();
    const dialog = page.getByRole("dialog", { name: "Bootstrap Machine" });
    await dialog.getByRole("radio", { name: /ISO Image/ }).check({ force: true });
    await dialog.getByLabel(/Code on the machine/).pressSequentially(env.CODE.replace(/[^A-Za-z0-9]/g, ""));
    await look(page, dialog);
    const name = await decide(page, dialog);
    await dialog.getByRole("button", { name: "Done" }).click();
    const found = row(page, name);
    await or(found.waitFor(), async () => `${name} is registered, but has no row: ${await alerts(page)}`);
    const text = await found.innerText();
    if (!text.includes("Discovery mode")) throw new Failure(`the row of ${name} is not in Discovery mode: ${text}`);
    await or(found.getByRole("img", { name: "Online" }).waitFor({ timeout: GREEN }), async () => {
      return `the dot of ${name} was not green within ${GREEN / 1000} s: ${await found.innerText()}`;
    });
    await shot(page, "approve-4-row");
    return `${name} ${await found.getAttribute("data-machine")}`;
  },
  "CODE",
);

async function look(page, dialog) {
  const preview = dialog.getByRole("region", { name: /asks to be registered/ });
  await or(preview.waitFor(), async () => `no preview appeared for the code ${process.env["MUSTER_CODE"]}: ${await alerts(page)}`);
  await shot(page, "approve-1-preview");
  const shown = await dialog.locator(".fingerprint-value").innerText();
  const console = process.env["MUSTER_FINGERPRINT"] ?? "";
  if (console !== "" && shown !== console) throw new Failure(`the dialog shows the check ${shown}, the console ${console}`);
  const tick = preview.getByRole("checkbox");
  if ((await tick.count()) > 0) {
    if (!(await dialog.getByRole("button", { name: "Bootstrap" }).isDisabled())) {
      throw new Failure("there are warnings, yet Bootstrap can be pressed before the check was confirmed");
    }
    await tick.check();
  }
}

async function decide(page, dialog) {
  const given = process.env["MUSTER_NAME"] ?? "";
  const field = dialog.getByLabel("Name", { exact: true });
  if (given !== "") await field.fill(given);
  const name = await field.inputValue();
  await shot(page, "approve-2-decide");
  await dialog.getByRole("button", { name: "Bootstrap" }).click();
  const done = dialog.getByRole("heading", { name: /is registered$/ });
  await or(done.waitFor(), async () => `the approval of ${name} was not answered: ${await alerts(page)}`);
  await shot(page, "approve-3-registered");
  return (await done.getByRole("link").innerText()).trim();
}
