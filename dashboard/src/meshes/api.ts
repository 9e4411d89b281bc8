// Calls about mesh networks: for whoever chooses one, and for those who look at its members and tunnels.
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { api, at } from "../api";
import { useEvents } from "../live";
import { OBJECTS } from "../objects/api";
import { useGathered } from "../time";
import type { Machine } from "../wire";
import type { MachinePeers, MeshMap } from "./wire";

/** A mesh network, as far as a choice needs it. */
export interface Mesh {
  Name: string;
  Cidrs: string[];
  Default: boolean;
  Members: number;
  FreeAddresses: number;
}

/** A machine that is in one. */
export type Member = Pick<Machine, "Uuid" | "Name" | "Online" | "LastSeenAt" | "Roles"> & { MeshAddresses: string[] };

/** How long events of a whole network are gathered before its tunnels are asked for again, in milliseconds. */
const GATHER = { few: 2_000, many: 10_000 } as const;
/** Tunnels of which an answer is some hundred kilobytes. */
const MANY = 2_000;
/** Members that are asked for at a time. */
export const PART = 100;
/** What of a machine a list of members does without. */
const SLIM = "Inventory,Tasks,Params,Profiles,Meta,Fingerprint";
/** The list that the page of all mesh networks keeps, too. */
const LIST = [...OBJECTS, "meshes", "list", ""] as const;

/** All mesh networks, kept as they are. */
export function useMeshes() {
  const client = useQueryClient();
  useEvents("meshes.*.*", () => void client.invalidateQueries({ queryKey: LIST }));
  return useQuery({ queryKey: LIST, queryFn: () => api.get<readonly Mesh[]>(at("meshes")) });
}

/** Cache key of a mesh network's members. */
export function membersKey(mesh: string): readonly string[] {
  return [...OBJECTS, "machines", "mesh", mesh];
}

/** The members behind the first so many, in the order of their names. */
export function members(mesh: string, offset: number): Promise<Member[]> {
  return api.get(`/machines?MeshNetwork=${encodeURIComponent(mesh)}&sort=NaturalName&limit=${PART}&offset=${offset}&slim=${SLIM}`);
}

/** How a machine stands with the other members. */
export function machinePeers(uuid: string): Promise<MachinePeers> {
  return api.get(at("machines", uuid, "peers"));
}

/** Cache key of a mesh network's tunnels. */
function mapKey(mesh: string): readonly string[] {
  return ["mesh-map", mesh];
}

/** All members and tunnels of a mesh network, kept as they are. */
export function useMeshMap(mesh: string) {
  const client = useQueryClient();
  const map = useQuery({
    queryKey: mapKey(mesh),
    queryFn: () => api.get<MeshMap>(at("meshes", mesh, "peers")),
    refetchInterval: 30_000,
  });
  const rest = (map.data?.Edges.length ?? 0) > MANY ? GATHER.many : GATHER.few;
  const again = useGathered(() => void client.invalidateQueries({ queryKey: mapKey(mesh) }), rest);
  useEvents("peers.update.*", (event) => {
    if (meshOf(event.Object) === mesh) again();
  });
  useEvents("meshes.*.*", again);
  return map;
}

/** The mesh network that an event is about; empty where it names none. */
export function meshOf(object: unknown): string {
  const has = typeof object === "object" && object !== null && "MeshNetwork" in object;
  return has && typeof object.MeshNetwork === "string" ? object.MeshNetwork : "";
}
