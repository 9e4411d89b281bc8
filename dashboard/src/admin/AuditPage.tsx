// The audit log: who did what, when and from where. Never changed, never shortened here.
import { useInfiniteQuery } from "@tanstack/react-query";
import { useMemo, useState } from "react";
import { Link, useSearchParams } from "wouter";
import { api, at, ApiError } from "../api";
import { AUDIT_GROUPS, auditRows, auditWords, principalWords, type AuditEntry } from "../audit";
import { explain } from "../explain";
import { useLive, useRefreshOn } from "../live";
import { isUuid, machinePath } from "../route";
import { useDebounced } from "../time";
import { DataTable, type Column } from "../ui/DataTable";
import { SelectField, TextField } from "../ui/fields";
import { Loading, Problem } from "../ui/parts";
import { PageHead } from "./PageHead";
import "../styles/admin.css";

/** Rows that are asked for at once. */
const PART = 100;
/** Pause between looks while no events come, in milliseconds. */
const PACE = 5_000;
/** Cache key of everything about the log. */
const AUDIT = ["audit"] as const;
/** How long a field must rest before it is asked by, in milliseconds. */
const REST = 300;

/** What is shown of the log; in the address, so that it can be kept and sent. */
interface Wanted {
  what: string;
  who: string;
  machine: string;
}

/** The Audit page. */
export function AuditPage() {
  const [search, setSearch] = useSearchParams();
  const wanted: Wanted = {
    what: search.get("what") ?? "",
    who: search.get("who") ?? "",
    machine: search.get("machine") ?? "",
  };
  const change = (part: Partial<Wanted>) => {
    const next = Object.entries({ ...wanted, ...part }).filter(([, value]) => value !== "");
    setSearch(new URLSearchParams(next), { replace: true });
  };
  return (
    <>
      <PageHead title="Audit" lead="Everything that was decided on this server: who did it, when, and from where." />
      <Filters wanted={wanted} change={change} />
      <Rows wanted={wanted} all={() => setSearch(new URLSearchParams(), { replace: true })} />
    </>
  );
}

function Filters({ wanted, change }: { wanted: Wanted; change(part: Partial<Wanted>): void }) {
  return (
    <div className="filters" role="search" aria-label="Filter the audit log">
      <SelectField
        label="What"
        value={wanted.what}
        onChange={(what) => change({ what })}
        empty="Everything"
        choices={AUDIT_GROUPS.flatMap(({ name, kinds }) => [
          { value: name, name },
          ...Object.entries(kinds).map(([value, words]) => ({ value, name: `${name}: ${words}` })),
        ])}
      />
      <TextField label="Who" value={wanted.who} onChange={(who) => change({ who })} placeholder="User name, or system" />
      <TextField
        label="Machine"
        value={wanted.machine}
        onChange={(machine) => change({ machine })}
        placeholder="Hostname or UUID"
      />
    </div>
  );
}

function Rows({ wanted, all }: { wanted: Wanted; all(): void }) {
  const what = wanted.what;
  const who = useDebounced(wanted.who.trim(), REST);
  const machine = useDebounced(wanted.machine.trim(), REST);
  const connected = useLive();
  const [live, setLive] = useState(true);
  useRefreshOn("audit.*.*", AUDIT, live);
  const rows = useInfiniteQuery({
    queryKey: [...AUDIT, what, who, machine],
    queryFn: async ({ pageParam }) =>
      auditRows({
        kinds: kindsOf(what),
        user: who,
        machine: machine === "" ? undefined : await uuidOf(machine),
        after: pageParam,
        limit: PART,
      }),
    initialPageParam: undefined as number | undefined,
    getNextPageParam: (last) => (last.length < PART ? undefined : last.at(-1)?.Number),
    refetchInterval: live && !connected ? PACE : false,
    placeholderData: (before) => before,
  });
  const found = useMemo(() => rows.data?.pages.flat() ?? [], [rows.data]);
  const goOn = () => {
    setLive(true);
    void rows.refetch();
  };
  const more = () => {
    // Who reads further back reads: what is above must not grow meanwhile.
    setLive(false);
    void rows.fetchNextPage();
  };
  return (
    <>
      {rows.error !== null && <Problem error={refused(rows.error)} />}
      {rows.isPending && <Loading what="Loading the audit log" />}
      {rows.isSuccess && found.length === 0 && <NothingFound all={all} />}
      {found.length > 0 && (
        <>
          <p className="freshness" role="status">
            <span className={live ? "live live-on" : "live"}>{live ? "Live" : "Stopped while you read further back"}</span>
            {!live && (
              <button type="button" className="link" onClick={goOn}>
                Go on
              </button>
            )}
          </p>
          <DataTable
            caption="Audit log"
            things={found}
            columns={COLUMNS}
            keyOf={(row) => String(row.Number)}
            more={rows.hasNextPage ? { load: more, busy: rows.isFetchingNextPage } : undefined}
            inParts
          />
        </>
      )}
    </>
  );
}

function refused(error: Error) {
  return error instanceof ApiError && error.status === 404
    ? { text: "No machine has this name or UUID now. Of a machine that was deleted, give the UUID.", retryAfter: null }
    : explain(error, "load");
}

/** The kinds of a group, or the one that was chosen. */
function kindsOf(what: string): readonly string[] | undefined {
  if (what === "") return undefined;
  const group = AUDIT_GROUPS.find(({ name }) => name === what);
  return group === undefined ? [what] : Object.keys(group.kinds);
}

async function uuidOf(machine: string): Promise<string> {
  if (isUuid(machine)) return machine;
  return (await api.get<{ Uuid: string }>(`${at("machines", `Name:${machine}`)}?slim=Params,Meta`)).Uuid;
}

function NothingFound({ all }: { all(): void }) {
  return (
    <section className="empty">
      <h2>Nothing of that kind</h2>
      <p>
        <button type="button" className="link" onClick={all}>
          Show everything
        </button>
      </p>
    </section>
  );
}

const WHEN = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

const COLUMNS: readonly Column<AuditEntry>[] = [
  {
    id: "time",
    name: "Time",
    value: (row) => row.Number,
    cell: (row) => <time dateTime={row.Time}>{WHEN.format(Date.parse(row.Time))}</time>,
    unsorted: true,
  },
  { id: "what", name: "What", value: (row) => auditWords(row.Kind), unsorted: true },
  { id: "who", name: "Who", value: (row) => principalWords(row.Principal), unsorted: true },
  { id: "from", name: "From", value: (row) => row.Source ?? "", unsorted: true },
  {
    id: "machine",
    name: "Machine",
    value: (row) => row.Machine ?? "",
    cell: (row) =>
      row.Machine === undefined ? (
        ""
      ) : (
        <Link to={machinePath(row.Machine)} title={row.Machine}>
          {row.Machine.slice(0, 8)}
        </Link>
      ),
    unsorted: true,
  },
  { id: "why", name: "Details", value: details, width: "wide", unsorted: true },
];

function details(row: AuditEntry): string {
  return [row.Reason, row.Code === undefined ? "" : `code ${row.Code}`].filter((part) => part !== "").join(", ");
}
