// The tab Events: what happens to this machine while the page is open, and what is on record of it.
import { useInfiniteQuery } from "@tanstack/react-query";
import { useMemo, useRef, useState } from "react";
import { when } from "../../age";
import { AUDIT_GROUPS, auditRows, auditWords, principalWords, type AuditEntry } from "../../audit";
import { explain } from "../../explain";
import { oneLine } from "../../foreign";
import { useEvents, useLive, useRefreshOn } from "../../live";
import { DataTable, type Column } from "../../ui/DataTable";
import { SelectField, TextField } from "../../ui/fields";
import { Loading, Nothing, Problem } from "../../ui/parts";
import type { Event } from "../../wire";
import type { MachineFull, TabProps } from "../detail/wire";
import { added, happening, type Happening } from "./happening";
import "../../styles/flow.css";

/** Rows of a part of the record. */
const PART = 50;

/** The tab. */
export function Events({ machine }: TabProps) {
  return (
    <>
      <Now machine={machine} />
      <Record machine={machine} />
    </>
  );
}

function Now({ machine }: { machine: MachineFull }) {
  const live = useLive();
  const [lines, setLines] = useState<readonly Happening[]>([]);
  const count = useRef(0);
  const heed = (event: Event) => {
    count.current += 1;
    const one = happening(event, machine.Uuid, count.current);
    if (one !== null) setLines((known) => added(known, one));
  };
  useEvents(`machines.*.${machine.Uuid}`, heed);
  useEvents(`machine_jobs.*.${machine.Uuid}`, heed);
  useEvents("provisions.*.*", heed);
  return (
    <section className="card" aria-labelledby="events-now">
      <div className="card-head">
        <h2 id="events-now">Happening now</h2>
        <span className="hint">{live ? "Events arrive" : "Waiting for the connection"}</span>
      </div>
      {lines.length === 0 ? (
        <p className="hint">Nothing has happened since you opened this page. What does appears here at once.</p>
      ) : (
        <div className="happenings" role="log" aria-label="Events of this machine" tabIndex={0}>
          <ol>
            {lines.map((line) => (
              <li key={line.key}>
                <time dateTime={line.time}>{seconds(line.time)}</time>
                <span className="happening-about">{line.about}</span>
                <bdi className="happening-text">{line.text}</bdi>
                <bdi className="hint">{principalWords(line.principal, (uuid) => (uuid === machine.Uuid ? "this machine" : undefined))}</bdi>
              </li>
            ))}
          </ol>
        </div>
      )}
    </section>
  );
}

function seconds(time: string): string {
  const date = new Date(time);
  return Number.isNaN(date.getTime()) ? "" : date.toLocaleTimeString(undefined, { timeStyle: "medium" });
}

const GROUPS = AUDIT_GROUPS.map((group) => ({ value: group.name, name: group.name }));

function Record({ machine }: { machine: MachineFull }) {
  const [group, setGroup] = useState("");
  const [user, setUser] = useState("");
  const kinds = useMemo(() => Object.keys(AUDIT_GROUPS.find(({ name }) => name === group)?.kinds ?? {}), [group]);
  useRefreshOn(`audit.create.${machine.Uuid}`, ["audit", machine.Uuid]);
  const rows = useInfiniteQuery({
    queryKey: ["audit", machine.Uuid, group, user],
    queryFn: ({ pageParam }) => auditRows({ machine: machine.Uuid, kinds, user: user.trim(), after: pageParam === 0 ? undefined : pageParam, limit: PART }),
    initialPageParam: 0,
    getNextPageParam: (last) => (last.length < PART ? undefined : last.at(-1)?.Number),
  });
  const all = rows.data?.pages.flat() ?? [];
  return (
    <section className="card" aria-labelledby="events-record">
      <h2 id="events-record">On record</h2>
      <div className="record-filters">
        <SelectField label="What" value={group} onChange={setGroup} choices={GROUPS} empty="Everything" />
        <TextField label="By user" value={user} onChange={setUser} type="search" placeholder="Anybody" />
      </div>
      {rows.isPending && <Loading what="Loading the record" />}
      {rows.error !== null && <Problem error={explain(rows.error, "load")} />}
      {rows.data !== undefined && all.length === 0 && (
        <p className="hint">{group === "" && user === "" ? "Nothing is on record of this machine." : "Nothing on record matches."}</p>
      )}
      {all.length > 0 && (
        <DataTable
          caption="Audit rows of this machine"
          things={all}
          columns={COLUMNS}
          keyOf={(row) => String(row.Number)}
          more={rows.hasNextPage ? { load: () => void rows.fetchNextPage(), busy: rows.isFetchingNextPage } : undefined}
          inParts
        />
      )}
    </section>
  );
}

const COLUMNS: readonly Column<AuditEntry>[] = [
  {
    id: "what",
    name: "What",
    value: (row) => auditWords(row.Kind),
    cell: (row) => <span title={row.Kind}>{auditWords(row.Kind)}</span>,
    unsorted: true,
  },
  {
    id: "time",
    name: "When",
    value: (row) => row.Time,
    cell: (row) => <time dateTime={row.Time}>{when(row.Time, Date.now())}</time>,
    unsorted: true,
  },
  { id: "who", name: "Who", value: (row) => principalWords(row.Principal), cell: (row) => <bdi>{principalWords(row.Principal)}</bdi>, unsorted: true },
  { id: "from", name: "From", value: (row) => row.Source ?? "", cell: (row) => (row.Source === null ? <Nothing /> : <code>{row.Source}</code>), unsorted: true },
  {
    id: "why",
    name: "Details",
    value: (row) => row.Reason,
    cell: (row) => (row.Reason === "" ? <Nothing /> : <bdi>{oneLine(row.Reason)}</bdi>),
    width: "wide",
    unsorted: true,
  },
];
