// Waits until a machine's row is red with its age: run it after the machine was stopped.
//
// Environment: MUSTER_URL, MUSTER_USERNAME, MUSTER_PASSWORD, MUSTER_NAME; optional
// MUSTER_WAIT (seconds to wait for the dot, 90 unless told), MUSTER_CA, MUSTER_SHOTS.
import { alerts, Failure, or, row, run, shot, signIn } from "./browser.mjs";

await run(
  "offline",
  async (page, env) => {
    await signIn(page, env);
    const found = row(page, env.NAME);
    await or(found.waitFor(), async () => `${env.NAME} has no row: ${await alerts(page)}`);
    const seconds = Number(process.env["MUSTER_WAIT"] ?? 90);
    const dot = found.getByRole("img", { name: /^Offline, last seen \d+ (second|minute|hour|day)s? ago$/ });
    await or(dot.waitFor({ timeout: seconds * 1000 }), async () => {
      return `the dot of ${env.NAME} was not red within ${seconds} s: ${await found.getByRole("img").getAttribute("aria-label")}`;
    });
    const age = await found.locator(".age").innerText();
    if (!/^\d+[smhd]$/.test(age)) throw new Failure(`the age beside the red dot is ${JSON.stringify(age)}`);
    await shot(page, "offline");
    return `${env.NAME} is offline for ${age}`;
  },
  "NAME",
);
