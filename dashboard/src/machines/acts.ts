// What can be done with a machine, as calls.
import { api, ApiError, at } from "../api";
import type { Machine } from "../wire";
import { patchMachine, provision } from "./detail/api";
import type { DiskPlan, Run } from "./detail/wire";

/** What an action has to know of a machine. */
export type Subject = Pick<Machine, "Uuid" | "Name" | "Locked">;

function set(uuid: string, field: string, value: unknown): Promise<Machine> {
  return patchMachine(uuid, [{ op: "replace", path: `/${field}`, value }]);
}

/** Refuses or accepts changes by users. */
export function lock(uuid: string, locked: boolean): Promise<Machine> {
  return set(uuid, "Locked", locked);
}

/** Gives another name. */
export function rename(uuid: string, name: string): Promise<Machine> {
  return set(uuid, "Name", name);
}

/** Puts it into a mesh network; "" takes it out. */
export function assignMesh(uuid: string, mesh: string): Promise<Machine> {
  return set(uuid, "MeshNetwork", mesh);
}

/** Gives roles to it and takes roles from it; those that it has besides stay. */
export async function changeRoles(uuid: string, add: readonly string[], remove: readonly string[]): Promise<Machine> {
  const { Roles: roles } = await api.get<Machine>(`${at("machines", uuid)}?slim=Inventory,Params`);
  const kept = roles.filter((role) => !remove.includes(role));
  return set(uuid, "Roles", [...kept, ...add.filter((role) => !kept.includes(role))]);
}

/** Brings it back to Discovery mode. */
export function discover(uuid: string): Promise<Run> {
  return provision(uuid, { Mode: "discover" });
}

/** Installs its operating system, over whatever its disks hold. */
export function install({ Uuid, Name }: { Uuid: string; Name: string }): Promise<Run> {
  return provision(Uuid, { Mode: "rebuild", Confirm: Name });
}

/** What an installation would erase. */
export function diskPlan(uuid: string): Promise<DiskPlan> {
  return api.get(at("machines", uuid, "disk-plan"));
}

/** Forgets it. What was gone already is gone: that is what was asked for. */
export async function forget(uuid: string): Promise<void> {
  try {
    await api.delete<Machine>(at("machines", uuid));
  } catch (error) {
    if (!(error instanceof ApiError) || error.status !== 404) throw error;
  }
}
