// What the Machines page shows: search, filters and order, as its address says them and as the server is asked.
import { isOnline, type Presence } from "../age";
import type { Machine, ProvisionState } from "../wire";

/** A machine as a row of the table. */
export type Row = Presence &
  Pick<Machine, "Uuid" | "Name" | "ProvisionState" | "Roles" | "MeshNetwork" | "Ebpf" | "PendingChanges" | "Locked">;

/** The columns, in their order. */
export const COLUMNS = ["hostname", "provision", "mesh", "roles"] as const;
export type Column = (typeof COLUMNS)[number];

/** The states of the Provision column. */
export const STATES: readonly ProvisionState[] = [
  "Discovery mode",
  "Install pending",
  "Installing",
  "Installed",
  "Failed",
];

/** What is shown, and in which order. */
export interface View {
  search: string;
  states: readonly ProvisionState[];
  roles: readonly string[];
  /** Names of mesh networks; "" for none. */
  meshes: readonly string[];
  status: "any" | "online" | "offline";
  sort: Column;
  descending: boolean;
}

/** Everything, by name. */
export const ALL: View = {
  search: "",
  states: [],
  roles: [],
  meshes: [],
  status: "any",
  sort: "hostname",
  descending: false,
};

/** Whether machines are left out. */
export function isFiltered(view: View): boolean {
  const { search, states, roles, meshes, status } = view;
  return words(search).length > 0 || states.length + roles.length + meshes.length > 0 || status !== "any";
}

function words(search: string): string[] {
  return search.split(/\s+/).filter((word) => word !== "");
}

/** The view of an address' query. What is no view's is left out. */
export function readView(query: URLSearchParams): View {
  const status = query.get("status");
  const sort = COLUMNS.find((column) => column === query.get("sort"));
  return {
    search: query.get("q") ?? "",
    states: STATES.filter((state) => query.getAll("state").includes(state)),
    roles: [...new Set(query.getAll("role"))],
    meshes: [...new Set(query.getAll("mesh"))],
    status: status === "online" || status === "offline" ? status : "any",
    sort: sort ?? ALL.sort,
    descending: query.get("order") === "desc",
  };
}

/** The query of a view's address: what is as always is not said. */
export function writeView(view: View): URLSearchParams {
  const query = new URLSearchParams();
  if (view.search !== "") query.set("q", view.search);
  view.states.forEach((state) => query.append("state", state));
  view.roles.forEach((role) => query.append("role", role));
  view.meshes.forEach((mesh) => query.append("mesh", mesh));
  if (view.status !== "any") query.set("status", view.status);
  if (view.sort !== ALL.sort) query.set("sort", view.sort);
  if (view.descending) query.set("order", "desc");
  return query;
}

/** By what the server orders each column: names are in the order of people within the same value. */
const SORT: Record<Column, string> = {
  hostname: "NaturalName",
  provision: "ProvisionState,NaturalName",
  mesh: "MeshNetwork,NaturalName",
  roles: "Roles,NaturalName",
};

/** What no row shows. */
const SLIM = [
  "Inventory",
  "Params",
  "Meta",
  "Profiles",
  "Tasks",
  "JobResultErrors",
  "HardwareAddrs",
  "Description",
  "Errors",
  "MeshAddresses",
].join(",");

/** A part of the list. */
export interface Wanted {
  /** The place that the part before named, or null for the beginning. */
  after: string | null;
  /** How many to leave out behind it. */
  offset: number;
  limit: number;
}

/** The call for a part of a view. */
export function listPath(view: View, { after, offset, limit }: Wanted): string {
  const query = new URLSearchParams();
  const search = words(view.search).slice(0, 8).join(" ");
  if (search !== "") query.set("q", search);
  one(query, "ProvisionState", view.states);
  one(query, "Roles", view.roles);
  one(query, "MeshNetwork", view.meshes);
  if (view.status !== "any") query.set("Online", String(view.status === "online"));
  query.set("sort", SORT[view.sort]);
  if (view.descending) query.set("reverse", "true");
  query.set("slim", SLIM);
  query.set("limit", String(limit));
  if (after !== null) query.set("after", after);
  if (offset > 0) query.set("offset", String(offset));
  return `/machines?${query.toString()}`;
}

function one(query: URLSearchParams, index: string, values: readonly string[]): void {
  if (values.length > 0) query.set(index, `In(${values.join(",")})`);
}

/** Whether a machine is in a view, as far as can be told here: what search finds only the server knows. */
export function mayBeIn(view: View, machine: Row, now: number): boolean {
  const among = <T>(values: readonly T[], value: T) => values.length === 0 || values.includes(value);
  return (
    among(view.states, machine.ProvisionState) &&
    among(view.meshes, machine.MeshNetwork) &&
    (view.roles.length === 0 || machine.Roles.some((role) => view.roles.includes(role))) &&
    (view.status === "any" || isOnline(machine, now) === (view.status === "online"))
  );
}
