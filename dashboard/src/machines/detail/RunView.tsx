// One provision run: how it stands, its steps, what went wrong, and the logs of its jobs.
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { duration, when } from "../../age";
import { asSentence, explain } from "../../explain";
import { useEvents } from "../../live";
import { useNow } from "../../time";
import { ConfirmDialog } from "../../ui/ConfirmDialog";
import { notify } from "../../ui/Notice";
import { Fact, Loading, Problem } from "../../ui/parts";
import { JobLog } from "../flow/JobLog";
import type { Job } from "../flow/wire";
import { cancelRun, readJobs, runsKey } from "./api";
import { jobsOf, STATUS, stepDuration, stepName, stepState, title, tone } from "./runs";
import type { Run } from "./wire";

interface RunViewProps {
  run: Run;
  /** The newest one shows its steps from the start. */
  first: boolean;
  /** Why it cannot be canceled. */
  locked: string | undefined;
}

/** The run. */
export function RunView({ run, first, locked }: RunViewProps) {
  const now = useNow(run.IsActive ? 1_000 : 60_000);
  const [open, setOpen] = useState(first && run.Status !== "completed");
  return (
    <article className="run" aria-label={`${title(run)}, ${STATUS[run.Status]}`}>
      <div className="run-head">
        <span className={`state state-${tone(run)}`}>{STATUS[run.Status]}</span>
        <span className="run-what">{title(run)}</span>
        <span className="hint">
          {when(run.CreatedAt, now)}
          {run.CreatedBy === "" ? "" : ` by ${run.CreatedBy}`}
          {took(run, now)}
        </span>
        {run.IsActive && <CancelButton run={run} locked={locked} />}
      </div>
      {run.IsActive && (
        <div role="status" aria-live="polite">
          <progress max={100} value={run.Percent} aria-label={`${run.Percent} percent done`} />
          <p className="run-message">
            {run.Percent}% &middot; {stepName(run.Progress.Step)}
            {run.Progress.Message === "" ? "" : `: ${run.Progress.Message}`}
          </p>
        </div>
      )}
      {run.Error !== "" && (
        <Problem error={{ text: asSentence(run.Error), retryAfter: null }}>
          {run.NextAction !== "" && <p>What to do: {asSentence(run.NextAction)}</p>}
        </Problem>
      )}
      {run.Error === "" && run.NextAction !== "" && <p className="run-message">What to do: {asSentence(run.NextAction)}</p>}
      <details className="run-more" open={open} onToggle={(event) => setOpen(event.currentTarget.open)}>
        <summary>Steps and logs</summary>
        {open && <RunDetails run={run} now={now} />}
      </details>
    </article>
  );
}

function took(run: Run, now: number): string {
  if (run.StartedAt === null) return "";
  const end = run.EndedAt === null ? now : Date.parse(run.EndedAt);
  return `, ${run.EndedAt === null ? "for" : "took"} ${duration((end - Date.parse(run.StartedAt)) / 1000)}`;
}

function RunDetails({ run, now }: { run: Run; now: number }) {
  return (
    <>
      {run.Steps.length === 0 ? (
        <p className="hint">No step has begun{run.IsActive ? " yet" : ""}.</p>
      ) : (
        <ol className="run-steps" aria-label="Steps">
          {run.Steps.map((step) => (
            <li key={`${step.Step} ${step.StartedAt}`} data-state={stepState(step, run)}>
              <span>{stepName(step.Step)}</span>
              <span className="hint">{when(step.StartedAt, now)}</span>
              <span className="hint">{stepDuration(step, run, now)}</span>
            </li>
          ))}
        </ol>
      )}
      <dl className="facts">
        <Fact name="Run">
          <code>{run.Uuid}</code>
        </Fact>
        <Fact name="Image digest">{run.ImageDigest === "" ? "" : <code>{run.ImageDigest}</code>}</Fact>
        <Fact name="Workflow">{run.Workflow}</Fact>
      </dl>
      <Jobs run={run} />
    </>
  );
}

function Jobs({ run }: { run: Run }) {
  const client = useQueryClient();
  const key = ["jobs", run.Machine, "of-run"] as const;
  useEvents("jobs.*.*", () => void client.invalidateQueries({ queryKey: key }));
  const jobs = useQuery({ queryKey: key, queryFn: () => readJobs(run.Machine) });
  if (jobs.isPending) return <Loading what="Loading the jobs" />;
  if (jobs.error !== null) return <Problem error={explain(jobs.error, "load")} />;
  const own = jobsOf(run, jobs.data);
  if (own.length === 0) return <p className="hint">No job of this run is on record.</p>;
  return (
    <ul aria-label="Jobs">
      {own.map((job) => (
        <li key={job.Uuid}>
          <JobRow job={job} />
        </li>
      ))}
    </ul>
  );
}

function JobRow({ job }: { job: Job }) {
  const runs = job.State === "created" || job.State === "running";
  const [open, setOpen] = useState(runs || job.State === "failed");
  return (
    <details className="run-more" open={open} onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>
        Log of {job.Task}, {job.State}
      </summary>
      {open && <JobLog job={job.Uuid} live={runs} />}
    </details>
  );
}

function CancelButton({ run, locked }: { run: Run; locked: string | undefined }) {
  const [asking, setAsking] = useState(false);
  const client = useQueryClient();
  const cancel = useMutation({
    mutationFn: () => cancelRun(run.Uuid),
    onSuccess: () => {
      void client.invalidateQueries({ queryKey: runsKey(run.Machine) });
      notify("The run is canceled.");
    },
  });
  return (
    <>
      <button
        type="button"
        className="button button-small push-end"
        disabled={locked !== undefined}
        title={locked}
        onClick={() => setAsking(true)}
      >
        Cancel the run&hellip;
      </button>
      <ConfirmDialog
        open={asking}
        close={() => setAsking(false)}
        title="Cancel this run?"
        act={{ label: "Cancel the run", busy: "Canceling\u2026" }}
        doing="change"
        run={() => cancel.mutateAsync()}
      >
        <p>
          Its job stops. Where nothing was written yet, the machine is what it was before. Where the disks were erased already,
          they stay so, and the machine waits for the next run.
        </p>
      </ConfirmDialog>
    </>
  );
}
