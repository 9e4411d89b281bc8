// The jobs of a machine: what ran, when, for how long, and how it ended.
import { duration, when } from "../../age";
import { useNow } from "../../time";
import { DataTable, type Column } from "../../ui/DataTable";
import { Loading, Nothing } from "../../ui/parts";
import { jobWords, secondsOf } from "./tasks";
import type { Job } from "./wire";

interface JobsTableProps {
  jobs: readonly Job[];
  /** The job whose log is shown. */
  chosen: string;
  show(job: Job): void;
  loading: boolean;
  more: { load(): void; busy: boolean } | undefined;
}

/** The table, newest first. */
export function JobsTable({ jobs, chosen, show, loading, more }: JobsTableProps) {
  const now = useNow(1_000);
  if (loading) return <Loading what="Loading jobs" />;
  if (jobs.length === 0) return <p className="hint">No task has run on this machine yet.</p>;
  return (
    <DataTable caption="Jobs of this machine" things={jobs} columns={columns(now, chosen, show)} keyOf={keyOf} more={more} inParts />
  );
}

const keyOf = (job: Job) => job.Uuid;

function columns(now: number, chosen: string, show: (job: Job) => void): Column<Job>[] {
  const took = (job: Job) => secondsOf(job, now);
  return [
    { id: "task", name: "Task", value: (job) => job.Task, cell: (job) => <bdi>{job.Task}</bdi>, unsorted: true },
    {
      id: "state",
      name: "State",
      value: jobWords,
      cell: (job) => <span className={`job-state job-${job.State}`}>{jobWords(job)}</span>,
      unsorted: true,
    },
    { id: "stage", name: "Stage", value: (job) => job.Stage, unsorted: true },
    {
      id: "began",
      name: "Began",
      value: (job) => job.StartTime,
      cell: (job) => (took(job) === null ? <Nothing /> : <time dateTime={job.StartTime}>{when(job.StartTime, now)}</time>),
      unsorted: true,
    },
    {
      id: "took",
      name: "Took",
      value: (job) => took(job) ?? -1,
      cell: (job) => {
        const seconds = took(job);
        return seconds === null ? <Nothing /> : duration(seconds);
      },
      unsorted: true,
    },
    {
      id: "log",
      name: "Log",
      value: () => "",
      cell: (job) => (
        <button
          type="button"
          className="button button-small"
          aria-pressed={job.Uuid === chosen}
          onClick={() => {
            show(job);
            document.getElementById("flow-log")?.scrollIntoView({ block: "nearest" });
          }}
        >
          {job.Uuid === chosen ? "Shown" : "Show log"}
          <span className="visually-hidden"> of {job.Task}</span>
        </button>
      ),
      width: "narrow",
      unsorted: true,
    },
  ];
}
