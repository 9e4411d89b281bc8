// A site in the middle of its life, for the pictures: machines in every state, roles, images, secrets, a mesh
// network, a workflow of its own, and somebody at the door.
import { inventory } from "../objects.mjs";
import { ask, boots, call, change, imports, installs, registers, waits } from "./world.mjs";



const BASE = `#cloud-config
users:
  - name: deploy
    shell: /bin/bash
    ssh_authorized_keys: [{{ .vars.DEPLOY_KEY | toJson }}]
write_files:
  - path: /etc/site
    content: "{{ .vars.SITE }}\\n"
`;
const WEB = `#cloud-config
packages: [nginx]
write_files:
  - path: /etc/nginx/site.key
    permissions: "0600"
    content: {{ .secrets.WEB_KEY | toJson }}
`;
const CHECK = `#!/bin/bash
. ./helper
echo "checking $(hostname) in {{ .Param "site/hall" }}"
set_param site/checked true
`;

/** Hardware of one machine among many. */
function hardware(number, part = {}) {
  const whole = inventory();
  const hex = number.toString(16).padStart(2, "0");
  const [nvme, sata] = whole.Disks;
  return {
    ...whole,
    Serial: `7XK2${number}M3`,
    BoardSerial: `CNIVC0019B00${number}`,
    SystemUuid: `4c4c4544-0058-4b10-8032-b7c04f4d${hex}33`,
    Disks: [
      { ...nvme, Serial: `S63UNE0R1000${number}`, ById: [`nvme-Samsung_PM9A3_S63UNE0R1000${number}`], Transport: "nvme" },
      { ...sata, Serial: `2140B9D${number}`, ById: [`ata-Micron_5300_2140B9D${number}`], Transport: "sata" },
    ],
    Links: whole.Links.map((link, index) => ({
      ...link,
      Mac: `52:54:00:${hex}:34:5${index}`,
      Addresses: index === 0 ? [`10.20.4.${number}/24`] : [],
    })),
    ...part,
  };
}

/** Makes the site; what its pages are found by. The server's clock begins four days ago and ends now. */
export async function settle() {
  await content();
  await people();
  await registers("gpu-01.dc2.example", hardware(31, { Product: "PowerEdge XE9680" }));
  await registers("m-525400fe0001", hardware(32, { Ebpf: false }));
  await ask("time goes to", 0);
  const { db: machine, edge } = await machines();
  const { code } = await waits("at-the-door", hardware(17));
  return { machine, edge: await tunnels(edge), code, alive: ALIVE };
}

async function content() {
  await imports("debian-12");
  await call("POST", "/prefs", { defaultImage: "debian-12" });
  await call("POST", "/registry_credentials", { Name: "registry", Registry: "registry.dc1.example:5000", Username: "pull", Password: "never shown again" });
  await call("POST", "/images", { Name: "ubuntu-24.04", Source: "registry.dc1.example:5000/os/ubuntu:24.04", Format: "oci", Credential: "registry" });
  await call("POST", "/secrets", { Name: "WEB_KEY", Value: "never shown again", Description: "Key of the web servers' certificate" });
  await call("POST", "/variables", { Name: "SITE", Value: "hall-7", Description: "Where the machines stand" });
  await call("POST", "/variables", { Name: "DEPLOY_KEY", Value: "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJXpUaMvWpcPWsWNBJpGSTWqDWSF1RnFnZcSMrSu2rVb deploy" });
  for (const [name, priority, template] of [["base", 0, BASE], ["web", 100, WEB], ["postgres", 100, ""], ["backup", 200, ""]]) {
    const params = { "muster/merge-priority": priority, ...(template === "" ? {} : { "muster/cloud-init": template }) };
    if (name === "base") params["muster/disk"] = { Pick: "first-nvme" };
    await call("POST", "/profiles", { Name: name, Meta: { "muster-role": "true" }, Params: params });
  }
  await call("POST", "/meshes", { Name: "core", Cidrs: ["10.99.0.0/24"] });
  await call("POST", "/meshes", { Name: "edge", Cidrs: ["fd5a:6d75:7374::/64"] });
  await call("POST", "/params", { Name: "site/hall", Description: "The hall that a machine stands in", Schema: { type: "string", default: "hall-7" } });
  await call("POST", "/params", { Name: "site/checked", Description: "The inventory check was done", Schema: { type: "boolean" } });
  await call("POST", "/templates", { ID: "motd.tmpl", Contents: "Welcome to {{ .Machine.Name }}\n", Description: "What people read when they log in" });
  await call("POST", "/tasks", { Name: "inventory-check", Description: "Looks whether the machine is what was bought", Templates: [{ Name: "check", Path: "", Contents: CHECK }] });
  await call("POST", "/stages", { Name: "check", Description: "Checks before a machine is put to work", BootEnv: "muster", Tasks: ["inventory-check"] });
  await call("POST", "/workflows", { Name: "intake", Description: "What a new machine goes through", Stages: ["check"] });
}

async function people() {
  await call("POST", "/roles", { Name: "operators", Description: "Approve machines and install them", Claims: [{ scope: "machines", action: "*", specific: "*" }] });
  await call("POST", "/users", { Name: "ada", Description: "Night shift", Roles: ["operators"] });
}

/** Machines that send heartbeats. */
const ALIVE = [];

async function machines() {
  const place = async (name, number, { roles = [], mesh = "", state = "Discovery mode" }) => {
    const uuid = await registers(name, hardware(number));
    ALIVE.push(name);
    if (roles.length > 0) await change(uuid, "Roles", roles);
    if (mesh !== "") await change(uuid, "MeshNetwork", mesh);
    if (state !== "Discovery mode") await installs(name, uuid, "debian-12", state);
    return uuid;
  };
  const db = await place("db-07.dc1.example", 21, { roles: ["base", "postgres", "backup"], mesh: "core", state: "Installed" });
  await call("POST", `/machines/${db}/params/muster%2Fssh-keys`, ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJXpUaMvWpcPWsWNBJpGSTWqDWSF1RnFnZcSMrSu2rVb ada"]);
  const web1 = await place("web-1.dc1.example", 22, { roles: ["base", "web"], mesh: "edge", state: "Installed" });
  const web2 = await place("web-2.dc1.example", 23, { roles: ["base", "web"], mesh: "edge", state: "Installing" });
  const web10 = await place("web-10.dc1.example", 24, { roles: ["base", "web"], mesh: "edge", state: "Install pending" });
  await place("web-11.dc1.example", 25, { roles: ["base", "web"], state: "Failed" });
  const taken = await place("m-525400fe0002", 26, {});
  await boots("m-525400fe0002", "one");
  await change(taken, "Workflow", "intake");
  return { db, edge: { web1, web2, web10 } };
}

/** Tunnels of the mesh network edge: web-1 relays between the others, and holds the address of the storage. */
async function tunnels({ web1, web2, web10 }) {
  await call("POST", `/machines/${web1}/params/muster%2Fmesh-relay`, true);
  const Check = { Type: "http", Target: "http://[::1]:9000/health", Interval: 20 };
  await call("POST", "/vips", { Name: "storage", Description: "Where the web servers keep files", MeshNetwork: "edge", Prefix: "fd5a:6d75:7374:0:ffff::1/128", Role: "web", Check });
  const tunnel = (machine, place) => ({ machine, endpoint: `192.0.2.${place}:51820`, handshake: 20 + place, received: 41_943_040 * place, sent: 7_340_032 * place });
  const none = (machine) => ({ machine, tried: 60 });
  const reports = [
    ["web-1.dc1.example", 1, [tunnel(web2, 2), tunnel(web10, 3)], true],
    ["web-2.dc1.example", 2, [tunnel(web1, 1), none(web10)], false],
    ["web-10.dc1.example", 3, [tunnel(web1, 1), none(web2)], false],
  ];
  const epochs = new Map();
  const tell = async () => {
    for (const [name, place, peers, healthy] of reports) {
      const key = Buffer.alloc(32, 17 * place).toString("base64");
      const vips = [{ name: "storage", healthy, epoch: epochs.get(name) ?? 0, message: healthy ? "" : "http://[::1]:9000/health answers 503" }];
      const report = { key, port: 51_820, addresses: [`10.20.4.${21 + place}`], peers, vips };
      const { grants } = await ask("the machine tells of its tunnels", { name, report });
      epochs.set(name, grants[0]?.epoch);
    }
  };
  await tell();
  return { web2, tell };
}

