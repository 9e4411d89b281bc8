// What a role's template may name, for those who write one: docs/roles.md has the same list.
import { api } from "../api";
import { textAt, type Obj } from "./json";
import type { Word } from "./kind";

const FIXED: readonly Word[] = [
  { group: "machine", text: "{{.machine.hostname}}", note: "its name as a host name" },
  { group: "machine", text: "{{.machine.name}}" },
  { group: "machine", text: "{{.machine.uuid}}" },
  { group: "machine", text: "{{.machine.arch}}" },
  { group: "machine", text: "{{.machine.roles}}", note: "the one that wins first" },
  { group: "machine", text: "{{index .machine.discovered_ip_addresses 0}}", note: "an address that it was seen with" },
  { group: "machine", text: "{{index .machine.hardware_addresses 0}}" },
  { group: "machine", text: "{{.machine.mesh.name}}" },
  { group: "machine", text: "{{.machine.mesh.ip}}" },
  { group: "machine", text: "{{.machine.mesh.ip6}}" },
  { group: "peers", text: "{{range .peers}}{{.hostname}} {{end}}", note: "the others of its mesh network" },
  { group: "peers", text: "{{range .peers}}{{.mesh.ip}} {{end}}" },
  { group: "peers", text: "{{range .peers}}{{.mesh.ip6}} {{end}}" },
  { group: "peers", text: "{{range .peers}}{{.uuid}} {{end}}" },
  { group: "peers", text: "{{range .peers}}{{.roles}} {{end}}" },
];

/** Every word, with the secrets and variables that there are. */
export async function templateWords(): Promise<readonly Word[]> {
  const [secrets, variables] = await Promise.all([named("secrets"), named("variables")]);
  return [
    ...FIXED,
    ...secrets.map((name) => ({ group: "secrets", text: `{{.secrets.${name} | quote}}` })),
    ...variables.map((name) => ({ group: "vars", text: `{{.vars.${name} | quote}}` })),
  ];
}

async function named(collection: string): Promise<string[]> {
  const all = await api.get<readonly Obj[]>(`/${collection}?slim=Value`);
  return all.map((object) => textAt(object, "Name"));
}
