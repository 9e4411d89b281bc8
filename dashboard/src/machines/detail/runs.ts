// Provision runs in words, and how long their steps took: pure.
import { duration } from "../../age";
import type { Job } from "../flow/wire";
import type { Run, RunStatus, StepTime } from "./wire";

/** How a run stands, in a word or two. */
export const STATUS: Readonly<Record<RunStatus, string>> = {
  pending: "Pending",
  preparing: "Preparing",
  partitioning: "Partitioning",
  downloading: "Downloading",
  configuring: "Configuring",
  booting: "Booting",
  completed: "Completed",
  degraded: "Completed with errors",
  error: "Failed",
  timeout: "Took too long",
  canceled: "Canceled",
  render_failed: "Configuration cannot be made",
};

const STEPS: Readonly<Record<string, string>> = {
  prepare: "Prepare",
  survey: "Look at the disks",
  partition: "Partition",
  write: "Write the image",
  configure: "Configure",
  boot: "Make it boot",
  restart: "Restart",
  "first-boot": "First boot",
};

/** A step in words. */
export function stepName(step: string): string {
  return STEPS[step] ?? step;
}

/** The class of a state's colours (`state-installed`). */
export function tone(run: Run): string {
  if (run.IsActive) return "installing";
  if (run.Status === "completed") return "installed";
  if (run.Status === "canceled") return "canceled";
  return run.Status === "degraded" ? "pending" : "failed";
}

/** `Install debian-12`, `Bring to Discovery mode`. */
export function title(run: Run): string {
  if (run.Mode === "rebuild") return run.Image === "" ? "Install" : `Install ${run.Image}`;
  return run.Mode === "discover" ? "Bring to Discovery mode" : "Clear";
}

/** How long a step took, or has taken up to `now`. */
export function stepDuration(step: StepTime, run: Run, now: number): string {
  const end = step.EndedAt ?? run.EndedAt;
  return duration(((end === null ? now : Date.parse(end)) - Date.parse(step.StartedAt)) / 1000);
}

/** Where a step stands. */
export function stepState(step: StepTime, run: Run): "done" | "now" | "failed" {
  if (step.EndedAt !== null) return "done";
  return run.IsActive ? "now" : "failed";
}

/** The jobs that a run had, oldest first: those of its workflow between its beginning and its end. */
export function jobsOf(run: Run, jobs: readonly Job[]): Job[] {
  // The server counts whole milliseconds, and a job ends a moment after the run that it ended.
  const SLACK = 5_000;
  const from = Date.parse(run.CreatedAt);
  const to = run.EndedAt === null ? Number.POSITIVE_INFINITY : Date.parse(run.EndedAt) + SLACK;
  const within = (job: Job) => {
    const began = Date.parse(job.StartTime);
    return job.Workflow === run.Workflow && began >= from && began <= to;
  };
  return jobs.filter(within).toSorted((a, b) => Date.parse(a.StartTime) - Date.parse(b.StartTime));
}
