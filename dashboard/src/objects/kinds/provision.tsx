// What installations are made of: roles, images, registry credentials, secrets, variables.
import { ImageImport, importWords } from "../ImageImport";
import { flagAt, textAt, withValue, type Obj } from "../json";
import type { KindSpec } from "../kind";
import { isRole, priorityOf, USUAL_PRIORITY } from "../roles";
import { RoleTest } from "../RoleTest";
import { templateWords } from "../words";
import { DESCRIPTION, named, STANDING, text } from "./columns";

const TEMPLATE = "muster/cloud-init";
const OWN_FIELDS = [TEMPLATE, "muster/image", "muster/merge-priority", "muster/requires-mesh"] as const;

/** Whether a role's template names a secret or a variable. */
function mentions(role: Obj, group: "secrets" | "vars", name: string): boolean {
  return new RegExp(`\\.${group}\\.${name}(?![A-Za-z0-9_])`, "u").test(textAt(role, "Params", TEMPLATE));
}

export const ROLES: KindSpec = {
  name: "roles",
  collection: "profiles",
  path: "/roles",
  one: "role",
  many: "Roles",
  noun: "profile",
  key: "Name",
  about: "A role says what its machines become: a cloud-init template, an image, a disk, a network. A machine may have several; of two that say the same, the one with the higher merge priority wins.",
  first: "Make one for what all your machines have in common, such as base, and one for each thing that they are for.",
  holds: isRole,
  columns: [
    named("/roles"),
    { id: "priority", name: "Merge Priority", width: "narrow", value: priorityOf },
    text("Image", "Params", "muster/image"),
    DESCRIPTION,
    STANDING,
  ],
  blank: { Name: "", Description: "", Meta: { "muster-role": "true" }, Params: {}, Profiles: [] },
  copied: (copy, from) => withValue(copy, ["Meta", "muster-forked-from"], from),
  groups: [
    {
      fields: [
        { at: ["Params", "muster/merge-priority"], label: "Merge Priority", as: "number", min: -1_000_000, max: 1_000_000, none: String(USUAL_PRIORITY), hint: `The higher one wins where roles say different things. ${USUAL_PRIORITY} where nothing is said.` },
        { at: ["Params", "muster/image"], label: "Image", as: "one", kind: "images", empty: "The default image, or another role\u2019s" },
        { at: ["Params", "muster/requires-mesh"], label: "Needs a mesh network", as: "toggle", hint: "Its machines can only be installed when they are in one." },
      ],
    },
    {
      title: "Cloud-init template",
      note: "One YAML document, rendered for each machine before anything is written, and merged with those of its other roles.",
      fields: [
        { at: ["Params", TEMPLATE], label: "Template", as: "code", words: templateWords, placeholder: "packages: [nginx]\nwrite_files:\n- path: /etc/motd\n  content: |\n    {{.machine.hostname}}" },
      ],
    },
    {
      title: "More",
      fields: [
        { at: ["Profiles"], label: "Profiles", as: "some", kind: "profiles", one: "profile", hint: "Looked at after the role\u2019s own params." },
        { at: ["Params"], label: "Params", as: "params", but: OWN_FIELDS, hint: "Disk, network, SSH keys and whatever else its machines need." },
      ],
    },
  ],
  referrers: [{ kind: "profiles", does: (profile, key) => listed(profile, "Profiles", key) }, { kind: "stages", does: (stage, key) => listed(stage, "Profiles", key) }, { kind: "vips", does: (vip, key) => textAt(vip, "Role") === key }],
  machines: (key) => `Roles=In(${key})`,
  views: [{ id: "test", name: "Test", view: RoleTest }],
};

function listed(object: Obj, field: string, key: string): boolean {
  const list = object[field];
  return Array.isArray(list) && list.includes(key);
}

const FORMATS = [
  { value: "auto", name: "Find out" },
  { value: "oci", name: "OCI image" },
  { value: "raw", name: "Disk image, raw" },
  { value: "qcow2", name: "Disk image, qcow2" },
  { value: "tar", name: "Root file system, tar" },
] as const;

export const IMAGES: KindSpec = {
  name: "images",
  collection: "images",
  path: "/images",
  one: "image",
  many: "Images",
  noun: "image",
  key: "Name",
  about: "The operating systems that machines can be installed with: OCI images from a registry, or disk images and root tars by URL or upload.",
  first: "Name one in a registry, such as registry.example.com/os/debian:12, or upload a disk image.",
  columns: [
    named("/images"),
    text("Source", "Source"),
    { id: "format", name: "Format", value: (image) => FORMATS.find(({ value }) => value === image["Format"])?.name ?? "" },
    text("Architecture", "Architecture"),
    { id: "import", name: "Import", value: importWords },
    STANDING,
  ],
  blank: { Name: "", Description: "", Source: "", Format: "auto", Digest: "", Architecture: "", Credential: "", Pull: "server", PlainHttp: false, Ca: "", Meta: {} },
  groups: [
    {
      title: "Where it comes from",
      fields: [
        { at: ["Source"], label: "Source", as: "text", required: true, mono: true, placeholder: "registry.example.com/os/debian:12", hint: "An OCI reference, an https:// URL, or upload for a file of yours." },
        { at: ["Format"], label: "Format", as: "select", choices: FORMATS },
        { at: ["Digest"], label: "Digest", as: "text", mono: true, placeholder: "sha256:\u2026", hint: "What the source must give. Empty takes what is there." },
        { at: ["Credential"], label: "Registry credential", as: "one", kind: "credentials", empty: "None: it is public" },
      ],
    },
    {
      title: "How machines get it",
      fields: [
        { at: ["Architecture"], label: "Architecture", as: "select", choices: [{ value: "", name: "That of the machine" }, { value: "amd64", name: "amd64" }, { value: "arm64", name: "arm64" }] },
        { at: ["Pull"], label: "Pull", as: "select", choices: [{ value: "server", name: "From this server, which keeps it" }, { value: "direct", name: "From its registry, with this server as the second choice" }] },
      ],
    },
    {
      title: "Trust",
      fields: [
        { at: ["PlainHttp"], label: "The registry speaks no TLS", as: "toggle", hint: "For registries in a closed network only." },
        { at: ["Ca"], label: "CA certificate", as: "text", mono: true, lines: 4, placeholder: "-----BEGIN CERTIFICATE-----", hint: "PEM of the CA to trust at the source. Empty for those that are publicly trusted." },
        { at: ["Documentation"], label: "Documentation", as: "text", lines: 3 },
      ],
    },
  ],
  referrers: [{ kind: "profiles", does: (profile, key) => textAt(profile, "Params", "muster/image") === key }],
  prefs: [{ pref: "defaultImage", what: "It is the default image." }],
  machines: (key) => `muster/image=Eq(${key})`,
  panel: ImageImport,
};

export const CREDENTIALS: KindSpec = {
  name: "credentials",
  collection: "registry_credentials",
  path: "/registry-credentials",
  one: "registry credential",
  many: "Registry credentials",
  noun: "registry credential",
  key: "Name",
  about: "What opens registries that are not public. A password is sealed when it is stored, shown to nobody, and sent to its own host alone.",
  first: "Make one for each registry that asks for a password.",
  columns: [
    named("/registry-credentials"),
    text("Registry", "Registry"),
    text("User name", "Username"),
    { id: "password", name: "Password", value: (credential) => (flagAt(credential, "HasPassword") ? "Set" : "Missing") },
    STANDING,
  ],
  blank: { Name: "", Description: "", Registry: "", Username: "", Password: "", Meta: {} },
  groups: [
    {
      fields: [
        { at: ["Registry"], label: "Registry", as: "text", required: true, mono: true, placeholder: "registry.example.com:5000", hint: "The only host that it is shown to." },
        { at: ["Username"], label: "User name", as: "text" },
        { at: ["Password"], label: "Password or token", as: "hidden", has: "HasPassword" },
      ],
    },
  ],
  referrers: [{ kind: "images", does: (image, key) => textAt(image, "Credential") === key }],
};

export const SECRETS: KindSpec = {
  name: "secrets",
  collection: "secrets",
  path: "/secrets",
  one: "secret",
  many: "Secrets",
  noun: "secret",
  key: "Name",
  about: "Values that templates of roles name as {{.secrets.NAME}}. They are sealed when they are stored, and nobody is shown them again.",
  first: "Make one for each password that an installed machine needs.",
  columns: [
    named("/secrets"),
    { id: "value", name: "Value", value: (secret) => (flagAt(secret, "HasValue") ? "Set" : "Missing") },
    DESCRIPTION,
    text("Changed by", "LastModifiedBy"),
  ],
  blank: { Name: "", Description: "", Value: "", Meta: {} },
  groups: [{ fields: [{ at: ["Value"], label: "Value", as: "hidden", has: "HasValue", multiline: true }] }],
  referrers: [{ kind: "roles", does: (role, key) => mentions(role, "secrets", key) }],
};

export const VARIABLES: KindSpec = {
  name: "variables",
  collection: "variables",
  path: "/variables",
  one: "variable",
  many: "Variables",
  noun: "variable",
  key: "Name",
  about: "Values that templates of roles name as {{.vars.NAME}}. Everybody who may see variables sees them.",
  first: "Make one for what several roles say: the address of a proxy, a time server.",
  columns: [named("/variables"), text("Value", "Value"), DESCRIPTION],
  blank: { Name: "", Description: "", Value: "", Meta: {} },
  groups: [{ fields: [{ at: ["Value"], label: "Value", as: "code" }] }],
  referrers: [{ kind: "roles", does: (role, key) => mentions(role, "vars", key) }],
};
