// The JSON of one machine and of what is asked about it, as `protocol/src/install/` and
// `protocol/src/model/` write it.
import type { Json, Obj } from "../../objects/json";
import type { Disk, Machine } from "../../wire";

/** A machine with the fields that the table has no use for. */
export interface MachineFull extends Machine {
  /** Its addresses in the mesh network: the IPv4 one first. */
  MeshAddresses: string[];
  Profiles: string[];
  Params: Obj;
  Runnable: boolean;
  BootEnv: string;
  Stage: string;
  Workflow: string;
  WorkflowComplete: boolean;
  Tasks: string[];
  CurrentTask: number;
  CurrentJob: string;
  JobState: string;
  JobExitState: string;
  JobResultErrors: string[];
  WaitReason: string;
  Meta: { readonly [label: string]: string };
  LastModifiedAt: string | null;
  LastModifiedBy: string;
}

/** What every tab of the page gets. */
export interface TabProps {
  machine: MachineFull;
}

export interface PlannedDisk {
  Disk: Disk;
  Fate: "Keep" | "Erase";
  Reason: string;
}

export interface DiskPlan {
  Disks: PlannedDisk[];
  /** Why nothing can be installed; empty when something can. */
  Error: string;
}

export type SourceKind = "machine" | "role" | "profile" | "stage" | "default" | "preference";

/** Who says something of a param, and what. */
export interface ParamSource {
  Kind: SourceKind;
  Name: string;
  Value: Json;
  /** Bytes of a value that is too long to be sent along; 0 for all others. */
  Cut: number;
}

/** A param and everybody who says something of it; the first one wins. */
export interface ParamInForce {
  Name: string;
  Sources: ParamSource[];
}

/** What an installation would be made of. */
export interface Setup {
  Roles: { Name: string; Priority: number; Exists: boolean }[];
  Image: string;
  ImageFrom: ParamSource;
  Params: ParamInForce[];
  /** What is wrong, by the param's name. */
  Errors: { readonly [param: string]: string };
  WriteProtected: boolean;
  DiskPlan: DiskPlan;
}

/** The cloud-init configuration that a machine would get. */
export interface SeedPreview {
  UserData: string;
  MetaData: string;
  NetworkConfig: string;
  Errors: string[];
  /** Who gave each key of the user-data, the lowest priority first. */
  Sources: { readonly [key: string]: string[] };
}

export type Mode = "rebuild" | "discover" | "clear";

export type RunStatus =
  | "pending"
  | "preparing"
  | "partitioning"
  | "downloading"
  | "configuring"
  | "booting"
  | "completed"
  | "degraded"
  | "error"
  | "timeout"
  | "canceled"
  | "render_failed";

export interface StepTime {
  Step: string;
  StartedAt: string;
  EndedAt: string | null;
}

/** A provision run. */
export interface Run {
  Uuid: string;
  Machine: string;
  Mode: Mode;
  Status: RunStatus;
  IsActive: boolean;
  IsTerminal: boolean;
  Percent: number;
  Progress: { Step: string; Percent: number; Message: string; Bytes: number; Total: number };
  Steps: StepTime[];
  Error: string;
  NextAction: string;
  Image: string;
  ImageDigest: string;
  Workflow: string;
  Reboot: "firmware" | "kexec";
  CreatedAt: string;
  CreatedBy: string;
  StartedAt: string | null;
  EndedAt: string | null;
}

/** What is asked of a machine. */
export interface ProvisionRequest {
  Mode: Mode;
  Image?: string;
  Workflow?: string;
  Reboot?: "firmware" | "kexec";
  /** The machine's name, typed by who saw what is erased. */
  Confirm?: string;
}

/** A profile, as far as the page shows it. */
export interface Profile {
  Name: string;
  Description: string;
  Meta: { readonly [label: string]: string };
  Params: Obj;
}

/** A param's definition. */
export interface ParamDefinition {
  Name: string;
  Description: string;
  Documentation: string;
  Secure: boolean;
  Schema: Json;
}
