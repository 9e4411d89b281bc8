// A machine's task list as people read it: stages and what lies between, what ran, what runs and what
// is to come; and where the machine stands, in words. Pure.
import type { MachineFull } from "../detail/wire";
import type { Job } from "./wire";

export type EntryKind = "stage" | "bootenv" | "context" | "chroot" | "action" | "task";
export type Standing = "done" | "now" | "next" | "later";

/** An entry of the list. */
export interface Entry {
  index: number;
  kind: EntryKind;
  name: string;
  standing: Standing;
  /** Its newest run, where it has one in this pass through the list. */
  job: Job | null;
}

/** What of a machine says where it stands. */
export type Walker = Pick<
  MachineFull,
  | "Tasks"
  | "CurrentTask"
  | "Workflow"
  | "WorkflowComplete"
  | "Runnable"
  | "Online"
  | "JobState"
  | "JobResultErrors"
  | "WaitReason"
>;

const MARKED: readonly EntryKind[] = ["stage", "bootenv", "context", "chroot", "action"];

/** What an entry of the list is. */
export function kindOf(entry: string): { kind: EntryKind; name: string } {
  const kind = MARKED.find((word) => entry.startsWith(`${word}:`));
  return kind === undefined ? { kind: "task", name: entry } : { kind, name: entry.slice(kind.length + 1) };
}

function standingOf(index: number, current: number): Standing {
  if (index < current) return "done";
  if (index === current) return "now";
  return index === current + 1 ? "next" : "later";
}

/** The list with each entry's newest run; `jobs` come newest first. */
export function entriesOf(machine: Walker, jobs: readonly Job[]): Entry[] {
  return machine.Tasks.map((entry, index) => {
    const standing = standingOf(index, machine.CurrentTask);
    const of = (job: Job) => job.CurrentIndex === index && (job.Task === entry || kindOf(entry).kind !== "task");
    const ran = standing === "done" || standing === "now";
    return { index, ...kindOf(entry), standing, job: (ran && jobs.find(of)) || null };
  });
}

export type Tone = "calm" | "busy" | "good" | "warn" | "bad";

/** Where a machine stands with its tasks. */
export interface Stand {
  tone: Tone;
  title: string;
  /** What it means, or what to do. */
  text: string;
  /** What went wrong, in the words of whoever noticed. */
  errors: readonly string[];
}

/** Where a machine stands, in words. */
export function standOf(machine: Walker): Stand {
  const { Tasks: tasks, CurrentTask: current, Workflow: workflow } = machine;
  if (tasks.length === 0) {
    const text = workflow === "" ? "Set a workflow to give it work." : `The workflow ${workflow} has no tasks.`;
    return { tone: "calm", title: "Nothing to do", text, errors: [] };
  }
  if (machine.WorkflowComplete) {
    const text = `All ${tasks.length} entries of its list have run.`;
    return { tone: "good", title: "Done", text, errors: [] };
  }
  const entry = tasks[Math.max(0, current)] ?? "";
  const place = `${Math.max(0, current) + 1} of ${tasks.length}`;
  if (machine.JobState === "failed" && !machine.Runnable) {
    const text =
      "The machine waits for somebody. Read the log below and mend what is wrong, then press Run again: the task begins again as a new job. Or go back to an earlier task.";
    return { tone: "bad", title: `${entry} failed (${place})`, text, errors: machine.JobResultErrors };
  }
  if (!machine.Runnable) {
    const text = machine.WaitReason === "" ? "Press Run to let it go on." : waits(machine.WaitReason);
    return { tone: "warn", title: current < 0 ? "Not begun" : `Paused at ${entry} (${place})`, text, errors: [] };
  }
  if (machine.JobState === "running") {
    return { tone: "busy", title: `Runs ${entry} (${place})`, text: offline(machine), errors: [] };
  }
  const title = current < 0 ? "Not begun yet" : `At ${entry} (${place})`;
  const text = machine.WaitReason === "" ? offline(machine) : waits(machine.WaitReason);
  return { tone: machine.WaitReason === "" ? "busy" : "warn", title, text, errors: [] };
}

function offline(machine: Walker): string {
  return machine.Online ? "" : "The machine is offline. It goes on when its agent is back.";
}

/** The server's fragment as a sentence, in the words of this page. */
function waits(reason: string): string {
  return `It waits: ${reason.replace("; set Runnable to let it go on", ". Press Run to let it go on")}.`;
}

/** Seconds that a job took, or takes so far; null before it began. */
export function secondsOf(job: Job, now: number): number | null {
  const began = Date.parse(job.StartTime);
  if (Number.isNaN(began) || began <= 0) return null;
  const ended = isOver(job) ? Date.parse(job.EndTime) : now;
  return Number.isNaN(ended) ? null : Math.max(0, Math.round((ended - began) / 1000));
}

/** Whether nothing more will come of it. */
export function isOver(job: Job): boolean {
  return job.State === "failed" || job.State === "finished";
}

const STATE: Record<Job["State"], string> = {
  created: "handed out",
  running: "running",
  incomplete: "not done yet",
  failed: "failed",
  finished: "finished",
};

const EXIT: { readonly [exit: string]: string } = {
  reboot: "then reboots",
  poweroff: "then powers off",
  stop: "then stops",
};

/** How a job stands, in words: `finished, then reboots`. */
export function jobWords(job: Job): string {
  const further = EXIT[job.ExitState];
  return further === undefined ? STATE[job.State] : `${STATE[job.State]}, ${further}`;
}
