// The landing page: every machine, and the button that adds one.
import { lazy, Suspense, useCallback, useMemo, useState } from "react";
import { useSearchParams } from "wouter";
import { explain } from "../explain";
import { useLive } from "../live";
import { usePageTitle } from "../time";
import { PlusIcon } from "../ui/icons";
import { notify } from "../ui/Notice";
import { Loading, Problem } from "../ui/parts";
import { BulkBar } from "./BulkBar";
import { Filters } from "./Filters";
import { MachinesTable } from "./MachinesTable";
import { allOf, type Rows } from "./rows";
import { useSelection } from "./selection";
import { useRows } from "./useRows";
import { ALL, isFiltered, listPath, readView, writeView, type Column, type View } from "./view";
import { ViewsMenu } from "./ViewsMenu";
import "../styles/machines-page.css";

const BootstrapDialog = lazy(async () => ({
  default: (await import("../bootstrap/BootstrapDialog")).BootstrapDialog,
}));

/** The Machines page. */
export function MachinesPage() {
  const heading = usePageTitle("Machines");
  const [view, show] = useView();
  const { list, rows } = useRows(view);
  const selection = useSelection();
  const [bootstrapping, setBootstrapping] = useState(false);
  const change = useCallback((part: Partial<View>) => show((view) => ({ ...view, ...part })), [show]);
  const sort = (column: Column) =>
    change({ sort: column, descending: view.sort === column ? !view.descending : false });
  const selectAll = async () => {
    try {
      selection.add(await allOf(view, listPath));
    } catch (error) {
      notify(explain(error, "load").text, "problem");
    }
  };
  return (
    <>
      <div className="page-head">
        <h1 ref={heading} tabIndex={-1}>
          Machines
        </h1>
        <button type="button" className="button button-primary" onClick={() => setBootstrapping(true)}>
          <PlusIcon />
          Bootstrap
        </button>
      </div>
      <div className="toolbar">
        <Filters view={view} change={change} />
        <ViewsMenu view={view} show={(next) => show(() => next)} />
      </div>
      <Freshness rows={rows} />
      <Trouble rows={rows} again={() => list.refresh()} />
      {rows.filtered === null && rows.error === null && <Loading what="Loading machines" />}
      {rows.filtered === 0 && !rows.old && <Nobody rows={rows} reset={() => show(() => ALL)} />}
      {rows.filtered !== null && rows.filtered > 0 && (
        <MachinesTable list={list} rows={rows} view={view} sort={sort} selection={selection} />
      )}
      <BulkBar selection={selection} filtered={rows.filtered ?? 0} selectAll={selectAll} />
      {bootstrapping && (
        <Suspense fallback={null}>
          <BootstrapDialog open onOpenChange={setBootstrapping} />
        </Suspense>
      )}
    </>
  );
}

/** The view of the address, and a way to another one: going back undoes it, but not letter by letter. */
function useView(): [View, (next: (view: View) => View) => void] {
  const [query, setQuery] = useSearchParams();
  const text = query.toString();
  const view = useMemo(() => readView(new URLSearchParams(text)), [text]);
  const show = useCallback(
    (next: (view: View) => View) => {
      const known = readView(new URLSearchParams(window.location.search));
      const wanted = next(known);
      const typing = known.search !== "" && wanted.search !== "" && known.search !== wanted.search;
      setQuery(writeView(wanted), { replace: typing });
      window.scrollTo(0, 0);
    },
    [setQuery],
  );
  return [view, show];
}

function Freshness({ rows: { filtered, total, view } }: { rows: Rows }) {
  const live = useLive();
  const count = isFiltered(view) && filtered !== null ? `${number(filtered)} of ${number(total)}` : number(total);
  return (
    <p className="freshness" role="status">
      <span>{filtered === null ? "" : `${count} ${total === 1 ? "machine" : "machines"}`}</span>
      <span className={live ? "live live-on" : "live"}>{live ? "Live" : "Reconnecting\u2026"}</span>
    </p>
  );
}

function number(count: number): string {
  return count.toLocaleString();
}

function Trouble({ rows: { error }, again }: { rows: Rows; again(): void }) {
  // One object for one error: its countdown goes on while rows change.
  const problem = useMemo(() => (error === null ? null : explain(error, "load")), [error]);
  return problem === null ? null : <Problem error={problem} again={{ label: "Try again", act: again }} />;
}

function Nobody({ rows: { total, view }, reset }: { rows: Rows; reset(): void }) {
  if (total === 0) return <NoMachines />;
  return (
    <section className="empty">
      <h2>No machine matches</h2>
      <p>
        {view.search.trim() === "" ? "None is as the filters say." : `None is known by \u201c${view.search}\u201d and as the filters say.`}{" "}
        <button type="button" className="link" onClick={reset}>
          Show all {number(total)}
        </button>
      </p>
    </section>
  );
}

function NoMachines() {
  return (
    <section className="empty">
      <h2>No machines yet</h2>
      <p>
        Press <strong>Bootstrap</strong> to add the first one. There are three ways:
      </p>
      <ul className="ways">
        <li>
          <strong>CLI</strong>: run one command on a Linux that is installed already.
        </li>
        <li>
          <strong>ISO</strong>: boot the machine from the ISO image, and enter the code that its console shows.
        </li>
        <li>
          <strong>PXE/Network</strong>: let your boot server hand out Muster&rsquo;s kernel and initial ramdisk.
        </li>
      </ul>
      <p>The machine appears here in Discovery mode, and nothing on its disks is touched.</p>
    </section>
  );
}
