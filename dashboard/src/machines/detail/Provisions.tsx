// The tab Provisions: what was installed when, what went wrong, and what is under way now.
import { useInfiniteQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { explain } from "../../explain";
import { useEvents, useLive } from "../../live";
import { Loading, Problem } from "../../ui/parts";
import { readRuns, runsKey } from "./api";
import { ProvisionDialog } from "./ProvisionDialog";
import { RunView } from "./RunView";
import type { Run, TabProps } from "./wire";
import "../../styles/provision.css";

/** Runs that are fetched at once. */
const PART = 20;

/** The tab. */
export function Provisions({ machine }: TabProps) {
  const [asking, setAsking] = useState(false);
  const runs = useRuns(machine.Uuid);
  const list = runs.data?.pages.flat() ?? [];
  const locked = machine.Locked ? `${machine.Name} is locked. Unlock it to provision it.` : undefined;
  return (
    <>
      <div className="card-head">
        <h2>Provisions</h2>
        <button type="button" className="button button-primary" disabled={locked !== undefined} title={locked} onClick={() => setAsking(true)}>
          Provision&hellip;
        </button>
      </div>
      {locked !== undefined && <p className="note note-warning locked-note">{locked}</p>}
      {runs.isPending && <Loading what="Loading the runs" />}
      {runs.error !== null && (
        <Problem error={explain(runs.error, "load")} again={{ label: "Try again", act: () => void runs.refetch() }} />
      )}
      {runs.data !== undefined && list.length === 0 && (
        <div className="empty">
          <h3>Nothing was installed yet</h3>
          <p>Assign roles in Configuration, then press Provision. What happens to the disks is shown before anything begins.</p>
        </div>
      )}
      <ul aria-label="Runs">
        {list.map((run, index) => (
          <li key={run.Uuid}>
            <RunView run={run} first={index === 0} locked={locked} />
          </li>
        ))}
      </ul>
      {runs.hasNextPage && (
        <div className="pages">
          <button type="button" className="button" disabled={runs.isFetchingNextPage} onClick={() => void runs.fetchNextPage()}>
            {runs.isFetchingNextPage ? "Loading\u2026" : "Load more"}
          </button>
        </div>
      )}
      <ProvisionDialog machine={{ uuid: machine.Uuid, name: machine.Name }} open={asking} onOpenChange={setAsking} />
    </>
  );
}

function useRuns(uuid: string) {
  const client = useQueryClient();
  const live = useLive();
  const key = runsKey(uuid);
  useEvents("provisions.*.*", ({ Object: told }) => {
    if (!isRun(told) || told.Machine === uuid) void client.invalidateQueries({ queryKey: key });
  });
  return useInfiniteQuery({
    queryKey: key,
    queryFn: ({ pageParam }) => readRuns(uuid, PART, pageParam),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (last: Run[]) => (last.length < PART ? undefined : last.at(-1)?.Uuid),
    // Progress within a step is no event of its own.
    refetchInterval: (query) => (query.state.data?.pages[0]?.some(({ IsActive }) => IsActive) === true ? 1_000 : live ? false : 5_000),
  });
}

function isRun(value: unknown): value is Run {
  return typeof value === "object" && value !== null && "Machine" in value && typeof value.Machine === "string";
}
