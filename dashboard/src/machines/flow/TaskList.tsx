// The task list of a machine: stages and what lies between, with the current entry marked, and the way
// back to an earlier one.
import { useState } from "react";
import { Link } from "wouter";
import { duration } from "../../age";
import { at } from "../../api";
import { useNow } from "../../time";
import { ConfirmDialog } from "../../ui/ConfirmDialog";
import type { MachineFull } from "../detail/wire";
import { useStep } from "./api";
import { entriesOf, jobWords, secondsOf, type Entry, type EntryKind } from "./tasks";
import type { Job } from "./wire";

const KIND: Record<EntryKind, string> = {
  stage: "Stage",
  bootenv: "Boots",
  context: "Context",
  chroot: "Root directory",
  action: "Action",
  task: "Task",
};

/** Where an entry's object has its page. */
const COLLECTION: Partial<Record<EntryKind, string>> = { stage: "stages", bootenv: "bootenvs", task: "tasks" };

const STANDING: Record<Entry["standing"], string> = { done: "done", now: "current", next: "next", later: "to come" };

interface TaskListProps {
  machine: MachineFull;
  jobs: readonly Job[];
  show(job: Job): void;
}

/** The list. */
export function TaskList({ machine, jobs, show }: TaskListProps) {
  const [back, setBack] = useState<Entry | null>(null);
  const now = useNow(1_000);
  if (machine.Tasks.length === 0) {
    return (
      <p className="hint">
        The list is empty. A <Link to="/workflows">workflow</Link> brings stages, and stages bring tasks.
      </p>
    );
  }
  return (
    <>
      <ol className="tasks" aria-label="Tasks of the machine">
        {entriesOf(machine, jobs).map((entry) => (
          <Row key={entry.index} entry={entry} now={now} locked={machine.Locked} show={show} back={() => setBack(entry)} />
        ))}
      </ol>
      {back !== null && <GoBack machine={machine} entry={back} close={() => setBack(null)} />}
    </>
  );
}

interface RowProps {
  entry: Entry;
  now: number;
  locked: boolean;
  show(job: Job): void;
  back(): void;
}

function Row({ entry, now, locked, show, back }: RowProps) {
  const { kind, standing, job } = entry;
  const took = job === null ? null : secondsOf(job, now);
  return (
    <li
      className={`task task-${kind} task-${standing}`}
      data-state={standing === "now" ? job?.State : undefined}
      {...(standing === "now" ? { "aria-current": "step" as const } : {})}
    >
      <span className="task-mark" aria-hidden="true" />
      <span className="task-name">
        {kind !== "task" && <span className="task-kind">{KIND[kind]} </span>}
        <Name entry={entry} />
        <span className="visually-hidden">, {STANDING[standing]}</span>
      </span>
      {job !== null && kind === "task" && (
        <button type="button" className="link task-job" onClick={() => show(job)} title="Show its log">
          {jobWords(job)}
          {took !== null && ` \u00b7 ${duration(took)}`}
        </button>
      )}
      {standing === "done" && !locked && (
        <button type="button" className="button button-small task-back" onClick={back}>
          Go back
          <span className="visually-hidden"> to {entry.name}</span>
        </button>
      )}
    </li>
  );
}

function Name({ entry: { kind, name } }: { entry: Entry }) {
  const collection = COLLECTION[kind];
  if (collection === undefined) return <bdi>{name}</bdi>;
  return (
    <Link to={at(collection, name)}>
      <bdi>{name}</bdi>
    </Link>
  );
}

/** Asks before tasks run a second time. */
function GoBack({ machine, entry, close }: { machine: MachineFull; entry: Entry; close(): void }) {
  const step = useStep(machine);
  const again = machine.Tasks.slice(entry.index, machine.CurrentTask + 1).length;
  return (
    <ConfirmDialog
      open
      close={close}
      title={`Go back to ${entry.name}?`}
      act={{ label: "Go back", busy: "Going back\u2026" }}
      danger={false}
      doing="change"
      run={() =>
        step.mutateAsync({
          operations: [{ op: "replace", path: "/CurrentTask", value: entry.index }],
          said: `${machine.Name} is back at ${entry.name}.`,
        })
      }
    >
      <p>
        {again === 1 ? "One entry of the list runs" : `${again} entries of the list run`} again, from this one on. Tasks that
        changed something change it a second time. {machine.Runnable ? "" : "The machine stays paused until you press Run."}
      </p>
    </ConfirmDialog>
  );
}
