// The calls and cache keys of a machine's page.
import { useQuery } from "@tanstack/react-query";
import { api, at, type Operation } from "../../api";
import { machineKey, useLive, useMachineEvents } from "../../live";
import type { Job } from "../flow/wire";
import type {
  MachineFull,
  ParamDefinition,
  Profile,
  ProvisionRequest,
  Run,
  SeedPreview,
  Setup,
} from "./wire";

/** One machine, kept up to date by events. */
export function useMachine(uuid: string) {
  const live = useLive();
  useMachineEvents(uuid);
  return useQuery({
    queryKey: machineKey(uuid),
    queryFn: () => api.get<MachineFull>(at("machines", uuid)),
    refetchInterval: live ? 20_000 : 5_000,
  });
}

/** Changes a machine; answers it as it is then. */
export function patchMachine(uuid: string, operations: readonly Operation[]): Promise<MachineFull> {
  return api.patch(at("machines", uuid), operations);
}

/** What an installation would be made of: now, or after operations that are not made. */
export function readSetup(uuid: string, operations: readonly Operation[]): Promise<Setup> {
  const path = at("machines", uuid, "setup");
  return operations.length === 0 ? api.get(path) : api.post(path, operations);
}

/** The configuration of the machine's own roles, or as if it had these. */
export function readCloudInit(uuid: string, roles: readonly string[]): Promise<SeedPreview> {
  const query = roles.map((role) => `role=${encodeURIComponent(role)}`).join("&");
  return api.get(`${at("machines", uuid, "cloud-init")}${query === "" ? "" : `?${query}`}`);
}

/** Cache key of all profiles. */
export const PROFILES = ["profiles"] as const;
/** Cache key of the definitions of params. */
const PARAMS = ["params"] as const;

/** All profiles: roles are among them. */
export function useProfiles() {
  return useQuery({ queryKey: PROFILES, queryFn: () => api.get<Profile[]>("/profiles?slim=Documentation") });
}

/** What params there are, and what each may hold. */
export function useParamDefinitions() {
  return useQuery({ queryKey: PARAMS, queryFn: () => api.get<ParamDefinition[]>("/params") });
}

/** Cache key of a machine's runs. */
export function runsKey(uuid: string): readonly ["provisions", string] {
  return ["provisions", uuid];
}

/** Runs of a machine, newest first; `after` the last one that is known. */
export function readRuns(uuid: string, limit: number, after?: string): Promise<Run[]> {
  const more = after === undefined ? "" : `&after=${encodeURIComponent(after)}`;
  return api.get(`/provisions?Machine=${encodeURIComponent(uuid)}&limit=${limit}${more}`);
}

export function provision(uuid: string, request: ProvisionRequest): Promise<Run> {
  return api.post(at("machines", uuid, "provision"), request);
}

export function cancelRun(run: string): Promise<Run> {
  return api.post(at("provisions", run, "cancel"), {});
}

/** The newest jobs of a machine. */
export function readJobs(uuid: string): Promise<Job[]> {
  return api.get(`/jobs?Machine=${encodeURIComponent(uuid)}&sort=StartTime&reverse=true&limit=100`);
}
