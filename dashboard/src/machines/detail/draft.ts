// The settings of a machine while somebody changes them: which fields there are, what each change is in
// words, and who else says something of a param. Pure.
import { authored, type Draft } from "../../objects/change";
import { isList, isObj, same, type Json, type Obj } from "../../objects/json";
import type { MachineFull, ParamSource, Setup } from "./wire";

/** The settings that the tab Configuration edits. */
export function settingsOf(machine: MachineFull): Obj {
  return {
    Name: machine.Name,
    Description: machine.Description,
    Locked: machine.Locked,
    Roles: machine.Roles,
    MeshNetwork: machine.MeshNetwork,
    Params: machine.Params,
  };
}

/** What params of Muster's own are called on the page. */
export const PARAM_NAMES: Readonly<Record<string, string>> = {
  "muster/image": "Image",
  "muster/network": "Network of the installed system",
  "muster/mesh-relay": "Relay",
  "muster/mesh-endpoint": "Endpoint in the mesh network",
  "muster/disk": "System disk",
  "muster/disk-layout": "Disk layout",
  "muster/inject-agent": "Install the agent",
  "muster/write-protected": "Write protection",
  "muster/firmware-order": "Firmware boot order",
  "muster/kernel-args": "Kernel arguments",
  "muster/agent-hosts": "Server addresses of the agent",
};

const FIELD_NAMES: Readonly<Record<string, string>> = {
  Name: "Name",
  Description: "Description",
  Locked: "Locked",
  Roles: "Roles",
  MeshNetwork: "Mesh network",
};

/** A change in words. */
export interface Change {
  what: string;
  before: string;
  after: string;
}

/** Every difference between what is stored and what is wanted. */
export function changes({ seen, wanted }: Draft): Change[] {
  const before = authored(seen);
  return Object.keys(FIELD_NAMES)
    .filter((name) => !same(before[name], wanted[name]))
    .map((name) => ({ what: FIELD_NAMES[name] ?? name, before: inWords(before[name]), after: inWords(wanted[name]) }))
    .concat(paramChanges(before["Params"], wanted["Params"]));
}

function paramChanges(before: Json | undefined, after: Json | undefined): Change[] {
  const [old, next] = [isObj(before) ? before : {}, isObj(after) ? after : {}];
  return [...new Set([...Object.keys(old), ...Object.keys(next)])]
    .filter((name) => !same(old[name], next[name]))
    .map((name) => ({
      what: PARAM_NAMES[name] ?? name,
      before: name in old ? inWords(old[name]) : "not set here",
      after: name in next ? inWords(next[name]) : "not set here",
    }));
}

/** A value as people read it in a line. */
export function inWords(value: Json | undefined): string {
  if (value === undefined || value === null || value === "") return "nothing";
  if (value === true) return "yes";
  if (value === false) return "no";
  if (isList(value)) return value.length === 0 ? "none" : value.map(inWords).join(", ");
  if (!isObj(value)) return String(value);
  const members = Object.entries(value).map(([name, member]) => `${name} ${inWords(member)}`);
  return members.length === 0 ? "nothing" : members.join(", ");
}

/** Who says something, in words: `role web`. */
export function sourceInWords({ Kind: kind, Name: name }: ParamSource): string {
  switch (kind) {
    case "machine":
      return "this machine";
    case "role":
      return `role ${name}`;
    case "profile":
      return name === "global" ? "the profile global" : `profile ${name}`;
    case "stage":
      return `stage ${name}`;
    case "default":
      return "default";
    case "preference":
      return `the preference ${name}`;
  }
}

/** Where who says something is described; nothing for the machine itself and for defaults. */
export function sourcePath({ Kind: kind, Name: name }: ParamSource): string | null {
  const key = encodeURIComponent(name);
  switch (kind) {
    case "role":
      return `/roles/${key}`;
    case "profile":
      return `/profiles/${key}`;
    case "stage":
      return `/stages/${key}`;
    case "preference":
      return "/settings";
    case "machine":
    case "default":
      return null;
  }
}

/** What holds for a param when the machine itself says nothing. */
export function inherited(setup: Setup | undefined, param: string): ParamSource | null {
  const found = setup?.Params.find(({ Name }) => Name === param);
  return found?.Sources.find(({ Kind }) => Kind !== "machine") ?? null;
}

/** The server's complaint about a param without its name and who says it, which stand beside it. */
export function complaint(text: string): string {
  return text.replace(/^param \S+ of .*?: /su, "");
}
