// The pages there are, in the order of the bar: what `tour.mjs` visits. `path` gets the site of `site.mjs`;
// `ready` brings the page into the state that is shown. `outside` is for who is not signed in.
import { openBootstrap } from "./stage.mjs";

// The bar has words, too, and some of them out of sight.
const text = (words) => (page) => page.getByRole("main").getByText(words).first().waitFor();
const tab = (name, id, ready) => ({ name: `machine-${name}`, path: ({ machine }) => `/machines/${machine}/${id}`, ready });
const list = (name, ready) => ({ name, path: () => `/${name}`, ready });
// The editor is there when the object is.
const object = (name, path) => ({ name, path: () => path, ready: (page) => page.locator(".editor").first().waitFor() });

/** Every page. */
export const PAGES = [
  { name: "sign-in", path: () => "/", outside: true },
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
  tab("profiles", "profiles", text("Profiles in order")),
  tab("boot", "boot"),
  tab("events", "events"),
  { name: "machine-peers", path: ({ edge }) => `/machines/${edge.web2}/peers`, ready: (page, site) => peers(page, site, /By relay web-1/) },
  tab("terminal", "terminal", text(/^Allow terminals on/)),
  list("roles", text("base")),
  { name: "role", path: () => "/roles/base" },
  list("images", text("debian-12")),
  object("image", "/images/ubuntu-24.04"),
  list("meshes", text("edge")),
  { name: "mesh", path: () => "/meshes/edge" },
  { name: "mesh-members", path: () => "/meshes/edge", ready: (page, site) => view(page, site, "Members", /Relay, in use/) },
  { name: "mesh-map", path: () => "/meshes/edge", ready: (page, site) => view(page, site, "Map", /goes by the relay/) },
  { name: "vips", path: () => "/vips", ready: (page, site) => peers(page, site, "web-1.dc1.example") },
  { name: "vip", path: () => "/vips/storage", ready: (page, site) => peers(page, site, /Held by/) },
  { name: "vip-machines", path: () => "/vips/storage", ready: (page, site) => view(page, site, "Machines", "Holds it") },
  list("secrets", text("WEB_KEY")),
  object("secret", "/secrets/WEB_KEY"),
  list("variables", text("SITE")),
  object("variable", "/variables/SITE"),
  list("registry-credentials", text("registry")),
  object("registry-credential", "/registry-credentials/registry"),
  list("workflows", text("muster-install")),
  { name: "workflow", path: () => "/workflows/muster-install" },
  list("stages", text("muster-install")),
  object("stage", "/stages/check"),
  list("tasks", text("muster-install-survey")),
  { name: "task", path: () => "/tasks/inventory-check" },
  list("bootenvs", text("local")),
  object("bootenv", "/bootenvs/local"),
  list("templates"),
  object("template", "/templates/motd.tmpl"),
  list("params"),
  object("param", "/params/site%2Fhall"),
  list("profiles", text("global")),
  object("profile", "/profiles/global"),
  list("tokens"),
  { name: "token-limits", path: () => "/tokens", ready: limits },
  list("users", text("admin")),
  { name: "user", path: () => "/users/ada", ready: text("machines: everything") },
  list("access-roles", text("operators")),
  { name: "access-role", path: () => "/access-roles/operators", ready: text("machines: everything") },
  list("audit"),
  list("settings"),
  { name: "settings-media", path: () => "/settings/media", ready: text("muster.iso") },
  { name: "settings-server", path: () => "/settings/server", ready: text("CA fingerprints") },
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
