// Takes pictures of every page and state against the stand-in, light, dark and narrow, to be
// looked at by a person: `MUSTER_SHOTS=DIR node e2e/shots.mjs`.
import { launch, open, shot, signIn } from "./browser.mjs";
import { startMock } from "./mock.mjs";
import { enrollment, fleet, inventory } from "./objects.mjs";

const LOOKS = [
  { name: "light", options: { colorScheme: "light" } },
  { name: "dark", options: { colorScheme: "dark" } },
  { name: "mobile", options: { colorScheme: "light", viewport: { width: 390, height: 844 }, deviceScaleFactor: 2 } },
];

const session = await launch();
try {
  for (const { name, options } of LOOKS) await tour(name, options);
} finally {
  await session.browser.close();
}

async function tour(look, options) {
  const machines = fleet();
  const known = machines.find((each) => each.Name === "m-525400ab12cd");
  const warned = enrollment("C9D-4HJ", {
    warnings: [{ kind: "known_machine", message: "The serial number is also on m-525400ab12cd, which is offline for 4 days." }],
    matches: [
      { uuid: known.Uuid, name: known.Name, score: 150, online: false, reasons: ["serial number", "system UUID"] },
      { uuid: machines[0].Uuid, name: machines[0].Name, score: 100, online: true, reasons: ["board serial number"] },
    ],
  });
  const waiting = enrollment("B2C-3D4", { product: "ProLiant DL360 Gen11", vendor: "HPE", serial: "CZJ3190Q7P", fingerprint: "B7CD-FGHJ-4KMN", inventory: inventory({ Disks: [] }) });
  const mock = await startMock({ machines, enrollments: [enrollment("K7P-3XB"), warned, waiting] });
  const { page, faults } = await open(session, options);
  const picture = async (name) => {
    await page.waitForTimeout(120);
    await shot(page, `${look}-${name}`);
  };
  await page.goto(mock.url);
  await page.getByLabel("Password").waitFor();
  await picture("01-login");
  await signIn(page, { URL: mock.url, USERNAME: "admin", PASSWORD: mock.password });
  await page.getByRole("row").nth(6).waitFor();
  await picture("02-machines");
  await page.getByRole("button", { name: "Actions for db-07.dc1.example" }).click();
  await picture("03-menu");
  await page.getByRole("menuitem", { name: /Delete/ }).click();
  await picture("04-delete");
  await page.getByRole("button", { name: "Cancel" }).click();
  await page.getByRole("button", { name: "Bootstrap" }).click();
  await page.getByRole("heading", { name: "Waiting for approval" }).waitFor();
  await picture("05-bootstrap");
  const code = page.getByLabel(/Code on the machine/);
  await code.pressSequentially("k7po");
  await picture("06-typing");
  await code.fill("");
  await code.pressSequentially("BBBBBB");
  await page.getByRole("alert").waitFor();
  await picture("07-unknown");
  await code.fill("K7P-3XB");
  await page.getByRole("region", { name: /asks to be/ }).waitFor();
  await picture("08-preview");
  await code.fill("C9D4HJ");
  await page.getByText(/offline for 4 days/).waitFor();
  await picture("09-warned");
  await page.getByRole("button", { name: "Deny" }).click();
  await picture("10-deny");
  await page.getByRole("button", { name: "Keep looking" }).click();
  await code.fill("K7P-3XB");
  await page.getByText(/offline for 4 days/).waitFor({ state: "detached" });
  await page.getByRole("button", { name: "Bootstrap" }).click();
  await page.getByRole("heading", { name: /is registered/ }).waitFor();
  await picture("11-registered");
  await page.getByRole("button", { name: "Bootstrap another" }).click();
  await page.getByRole("radio", { name: /PXE/ }).check({ force: true });
  await picture("12-pxe");
  await page.getByRole("button", { name: "Generate token" }).click();
  await page.getByRole("button", { name: "Copy token" }).waitFor();
  await picture("13-token");
  await page.getByRole("radio", { name: "GRUB" }).check({ force: true });
  await page.getByLabel("GRUB").last().scrollIntoViewIfNeeded();
  await picture("13-token-grub");
  await page.getByRole("radio", { name: "Fetch files" }).check({ force: true });
  await page.getByText("Menu entries look for").click();
  await page.getByText("No PXE server?").click();
  await page.getByLabel("Preference", { exact: true }).scrollIntoViewIfNeeded();
  await picture("13-token-end");
  await page.getByRole("button", { name: "Done" }).click();
  await page.getByRole("link", { name: "db-07.dc1.example" }).click();
  await page.getByRole("heading", { name: "Disks" }).waitFor();
  await picture("14-machine");
  mock.machines.clear();
  await page.goto(mock.url);
  await page.getByRole("heading", { name: "No machines yet" }).waitFor();
  await picture("15-empty");
  await page.context().close();
  await mock.close();
  if (faults.length > 0) throw new Error(`${look}: ${faults.join("\n")}`);
}
