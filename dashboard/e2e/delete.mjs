// Deletes a machine by its row menu, and sees that the row is gone and stays gone.
//
// Environment: MUSTER_URL, MUSTER_USERNAME, MUSTER_PASSWORD, MUSTER_NAME; optional MUSTER_CA,
// MUSTER_SHOTS.
import { alerts, Failure, or, row, run, shot, signIn } from "./browser.mjs";

await run(
  "delete",
  async (page, env) => {
    await signIn(page, env);
    const found = row(page, env.NAME);
    await or(found.waitFor(), async () => `${env.NAME} has no row: ${await alerts(page)}`);
    await page.getByRole("button", { name: `Actions for ${env.NAME}` }).click();
    await page.getByRole("menuitem", { name: /Delete/ }).click();
    const dialog = page.getByRole("alertdialog", { name: `Delete ${env.NAME}?` });
    await shot(page, "delete-1-confirm");
    await dialog.getByLabel(/to confirm$/).fill(env.NAME);
    await dialog.getByRole("button", { name: "Delete machine" }).click();
    // Rows have no role while a dialog is open, so their absence means nothing before it closes.
    await or(dialog.waitFor({ state: "detached" }), async () => `the deletion was not answered: ${await alerts(page)}`);
    await or(found.waitFor({ state: "detached" }), async () => `the row of ${env.NAME} is still there: ${await alerts(page)}`);
    await page.reload();
    await page.getByRole("heading", { name: "Machines", exact: true }).waitFor();
    await or(page.getByText(/^\d+ machines?$/).waitFor(), async () => `the list was not loaded: ${await alerts(page)}`);
    await page.locator(".loading").waitFor({ state: "detached" });
    if ((await found.count()) > 0) throw new Failure(`${env.NAME} came back after the page was loaded again`);
    await shot(page, "delete-2-gone");
    return `${env.NAME} is gone`;
  },
  "NAME",
);
