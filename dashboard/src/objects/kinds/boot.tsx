// What machines boot: boot environments and the templates that they share with stages and tasks.
import { textAt, textsAt } from "../json";
import type { KindSpec } from "../kind";
import { DESCRIPTION, named, STANDING, text } from "./columns";
import { usesTemplate } from "./work";

export const BOOTENVS: KindSpec = {
  name: "bootenvs",
  collection: "bootenvs",
  path: "/bootenvs",
  one: "boot environment",
  many: "Boot environments",
  noun: "bootenv",
  key: "Name",
  about: "What a machine boots from the network: a kernel, initial ramdisks, a command line, and files that are rendered for each machine.",
  first: "Clone a built-in one, or bring one with a content bundle.",
  columns: [named("/bootenvs"), text("OS", "OS", "Name"), text("Kernel", "Kernel"), DESCRIPTION, STANDING],
  blank: { Name: "", Description: "", Documentation: "", OS: { Name: "" }, Templates: [], Kernel: "", Initrds: [], BootParams: "", RequiredParams: [], OptionalParams: [], OnlyUnknown: false, Loaders: {}, StartDelimiter: "", EndDelimiter: "", Meta: {} },
  groups: [
    {
      fields: [
        { at: ["OS", "Name"], label: "Operating system", as: "text", placeholder: "debian-12", hint: "FAMILY-VERSION: also the folder of its files in the boot tree." },
        { at: ["Kernel"], label: "Kernel", as: "text", mono: true, hint: "Relative to the operating system\u2019s folder. Empty boots no kernel." },
        { at: ["Initrds"], label: "Initial ramdisks", as: "list", one: "ramdisk" },
        { at: ["BootParams"], label: "Kernel command line", as: "code", hint: "A template." },
        { at: ["OnlyUnknown"], label: "For unknown machines only", as: "toggle" },
      ],
    },
    { title: "Files", note: "Rendered for each machine that boots it.", fields: [{ at: ["Templates"], label: "Templates", as: "templates", pathNeeded: true }] },
    {
      title: "More",
      fields: [
        { at: ["RequiredParams"], label: "Required params", as: "some", kind: "params", one: "param", free: true, hint: "Without these nothing is rendered." },
        { at: ["OptionalParams"], label: "Optional params", as: "some", kind: "params", one: "param", free: true },
        { at: ["Loaders"], label: "Boot loaders", as: "json", lines: 4, hint: "By firmware: 386-pcbios, amd64-uefi, arm64-uefi." },
        { at: ["Documentation"], label: "Documentation", as: "text", lines: 4 },
      ],
    },
  ],
  referrers: [
    { kind: "stages", does: (stage, key) => textAt(stage, "BootEnv") === key || textsAt(stage, "Tasks").includes(`bootenv:${key}`) },
  ],
  prefs: [
    { pref: "defaultBootEnv", what: "Machines boot it that have no other." },
    { pref: "unknownBootEnv", what: "Unknown machines boot it." },
  ],
  machines: (key) => `BootEnv=Eq(${key})`,
};

export const TEMPLATES: KindSpec = {
  name: "templates",
  collection: "templates",
  path: "/templates",
  one: "template",
  many: "Templates",
  noun: "template",
  key: "ID",
  about: "Texts in Go\u2019s template language, which boot environments, stages, tasks and other templates name.",
  first: "Make one for what several tasks or boot environments have in common.",
  columns: [named("/templates", "ID"), DESCRIPTION, STANDING],
  slim: "Contents",
  blank: { ID: "", Description: "", Contents: "", StartDelimiter: "", EndDelimiter: "", Meta: {} },
  groups: [
    { fields: [{ at: ["Contents"], label: "Text", as: "code" }] },
    {
      title: "More",
      fields: [
        { at: ["StartDelimiter"], label: "Start delimiter", as: "text", mono: true, placeholder: "{{" },
        { at: ["EndDelimiter"], label: "End delimiter", as: "text", mono: true, placeholder: "}}" },
      ],
    },
  ],
  referrers: [
    { kind: "bootenvs", does: usesTemplate },
    { kind: "stages", does: usesTemplate },
    { kind: "tasks", does: usesTemplate },
  ],
};

