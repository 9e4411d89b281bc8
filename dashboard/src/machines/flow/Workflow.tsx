// The tab Workflow: where the machine stands, what it has to do, and what it did with what came of it.
import { useSearchParams } from "wouter";
import { explain } from "../../explain";
import { Problem } from "../../ui/parts";
import type { TabProps } from "../detail/wire";
import { useJobs } from "./api";
import { Errors } from "./Errors";
import { JobLog } from "./JobLog";
import { JobsTable } from "./JobsTable";
import { Standing } from "./Standing";
import { TaskList } from "./TaskList";
import { isOver, jobWords } from "./tasks";
import type { Job } from "./wire";
import "../../styles/flow.css";

/** The tab. The job whose log is shown stands in the address. */
export function Workflow({ machine }: TabProps) {
  const jobs = useJobs(machine.Uuid);
  const all = jobs.data?.pages.flat() ?? [];
  const [search, setSearch] = useSearchParams();
  const wanted = search.get("job") ?? machine.CurrentJob;
  const choose = (job: Job) => setSearch({ job: job.Uuid }, { replace: true });
  const shown = all.find((job) => job.Uuid === wanted);
  return (
    <>
      <Standing machine={machine} />
      <div className="flow">
        <section className="card" aria-labelledby="flow-tasks">
          <h2 id="flow-tasks">Tasks</h2>
          <TaskList machine={machine} jobs={all} show={choose} />
        </section>
        <section className="card" aria-labelledby="flow-log">
          <h2 id="flow-log">Log</h2>
          <LogOf wanted={wanted} job={shown} />
        </section>
      </div>
      <section className="card" aria-labelledby="flow-jobs">
        <h2 id="flow-jobs">Jobs</h2>
        {jobs.error !== null && <Problem error={explain(jobs.error, "load")} />}
        <JobsTable
          jobs={all}
          chosen={wanted}
          show={choose}
          loading={jobs.isPending}
          more={jobs.hasNextPage ? { load: () => void jobs.fetchNextPage(), busy: jobs.isFetchingNextPage } : undefined}
        />
      </section>
    </>
  );
}

/** The log of the chosen job. One that is too old to be in the list has its log all the same. */
function LogOf({ wanted, job }: { wanted: string; job: Job | undefined }) {
  if (wanted === "") return <p className="hint">The log of a task stands here once one runs.</p>;
  return (
    <>
      {job !== undefined && (
        <p className="log-head">
          <bdi>{job.Task}</bdi>
          <span className={`job-state job-${job.State}`}>{jobWords(job)}</span>
        </p>
      )}
      {job !== undefined && <Errors errors={job.ResultErrors} />}
      <JobLog key={wanted} job={wanted} live={job !== undefined && !isOver(job)} of={job?.Task ?? "the job"} />
    </>
  );
}
