// The pages there are, in the order of the bar: what `tour.mjs` visits. `path` gets the site of `site.mjs`;
// `ready` brings the page into the state that is shown.
import { openBootstrap } from "./stage.mjs";

// The bar has words, too, and some of them out of sight.
const text = (words) => (page) => page.getByRole("main").getByText(words).first().waitFor();
const tab = (name, id, ready) => ({ name: `machine-${name}`, path: ({ machine }) => `/machines/${machine}/${id}`, ready });
const list = (name, ready) => ({ name, path: () => `/${name}`, ready });

/** Every page. */
export const PAGES = [
  { name: "machines", path: () => "/", ready: text("db-07.dc1.example") },
  { name: "bootstrap-cli", path: () => "/", ready: (page) => method(page, /Muster CLI/, /Generate command/) },
  { name: "bootstrap-iso", path: () => "/", ready: code },
  { name: "bootstrap-pxe", path: () => "/", ready: (page) => method(page, /PXE\/Network/, /Generate token/) },
  tab("configuration", ""),
  tab("hardware", "hardware", text("PowerEdge R650")),
  tab("cloud-init", "cloud-init"),
  tab("provisions", "provisions"),
  tab("workflow", "workflow"),
  tab("params", "params"),
  tab("boot", "boot"),
  tab("events", "events"),
  { name: "machine-peers", path: ({ edge }) => `/machines/${edge.web2}/peers`, ready: (page, site) => peers(page, site, /By relay web-1/) },
  list("roles", text("base")),
  { name: "role", path: () => "/roles/base" },
  list("images", text("debian-12")),
  list("meshes", text("edge")),
  { name: "mesh", path: () => "/meshes/edge" },
  { name: "mesh-members", path: () => "/meshes/edge", ready: (page, site) => view(page, site, "Members", /Relay, in use/) },
  { name: "mesh-map", path: () => "/meshes/edge", ready: (page, site) => view(page, site, "Map", /goes by the relay/) },
  { name: "vips", path: () => "/vips", ready: (page, site) => peers(page, site, "web-1.dc1.example") },
  { name: "vip", path: () => "/vips/storage", ready: (page, site) => peers(page, site, /Held by/) },
  { name: "vip-machines", path: () => "/vips/storage", ready: (page, site) => view(page, site, "Machines", "Holds it") },
  list("secrets", text("WEB_KEY")),
  list("variables", text("SITE")),
  list("registry-credentials", text("registry")),
  list("workflows", text("muster-install")),
  { name: "workflow", path: () => "/workflows/muster-install" },
  list("stages", text("muster-install")),
  list("tasks", text("muster-install-survey")),
  { name: "task", path: () => "/tasks/inventory-check" },
  list("bootenvs", text("local")),
  list("templates"),
  list("params"),
  list("profiles", text("global")),
  list("tokens"),
  { name: "token-limits", path: () => "/tokens", ready: limits },
  list("users", text("admin")),
  list("access-roles", text("operators")),
  { name: "access-role", path: () => "/access-roles/operators", ready: text("machines: everything") },
  list("audit"),
  list("settings"),
  list("account"),
];

/** Members of the mesh network tell how they stand, and the page knows. */
async function peers(page, { edge }, words) {
  await edge.tell();
  await text(words)(page);
}

async function view(page, site, name, words) {
  await page.getByRole("tab", { name }).click();
  await peers(page, site, words);
}

async function method(page, name, generate) {
  const dialog = await openBootstrap(page, name);
  await dialog.getByRole("button", { name: generate }).click();
  await dialog.getByRole("button", { name: /^Copy/ }).first().waitFor();
}

async function limits(page) {
  await page.getByRole("button", { name: "New token" }).click();
  const dialog = page.getByRole("dialog", { name: "Bootstrap Machine" });
  await dialog.getByRole("radio", { name: /Muster CLI/ }).check({ force: true });
  await dialog.getByText("Limit where it works").click();
  await dialog.getByLabel("Networks").fill("10.20.0.0/16");
}

async function code(page, { code: typed }) {
  const dialog = await openBootstrap(page, /ISO Image/);
  await dialog.getByLabel(/Code on the machine/).fill(typed);
  await dialog.getByRole("region", { name: /asks to be registered/ }).waitFor();
}
