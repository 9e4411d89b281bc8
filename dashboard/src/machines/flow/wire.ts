// The JSON of jobs and of what a machine boots, as `protocol/src/model/job.rs` and
// `protocol/src/rest/boot.rs` write it.

export type JobState = "created" | "running" | "incomplete" | "failed" | "finished";

/** A job: one run of an entry of the task list. */
export interface Job {
  Uuid: string;
  Machine: string;
  Task: string;
  Stage: string;
  Workflow: string;
  BootEnv: string;
  Context: string;
  State: JobState;
  /** `complete`, `failed`, `reboot`, `poweroff`, `stop`, or empty. */
  ExitState: string;
  /** RFC 3339; the year 1 as long as it has not begun. */
  StartTime: string;
  EndTime: string;
  /** Whether it is the machine's newest. */
  Current: boolean;
  /** Index of its entry in the task list. */
  CurrentIndex: number;
  ResultErrors: string[];
}

/** A file that is rendered for a machine: a text, a link, or why neither. */
export interface BootFile {
  Path: string;
  Text?: string;
  /** Bytes of the whole file; more than the text has when that is cut. */
  Size: number;
  Link?: string;
  Error?: string;
}

/** What a machine would boot from the network now. */
export interface BootPreview {
  BootEnv: string;
  Description: string;
  Reason: string;
  Available: boolean;
  Errors: string[];
  Kernel: string;
  Initrds: string[];
  Loader: string;
  NoLoader: string;
  From: string;
  HttpImage: { Given: boolean; Reason: string };
  Files: BootFile[];
  FurtherFiles: number;
}
