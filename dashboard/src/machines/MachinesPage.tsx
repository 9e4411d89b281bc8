// The landing page: every machine, and the button that adds one.
import { useMemo, useState } from "react";
import { BootstrapDialog } from "../bootstrap/BootstrapDialog";
import { explain } from "../explain";
import { useMachines } from "../live";
import { matches } from "../search";
import { usePageTitle } from "../time";
import { PlusIcon, SearchIcon } from "../ui/icons";
import { Loading, Problem } from "../ui/parts";
import type { Machine } from "../wire";
import { MachinesTable } from "./MachinesTable";

const NONE: Machine[] = [];

/** The Machines page. */
export function MachinesPage({ live }: { live: boolean }) {
  const heading = usePageTitle("Machines");
  const machines = useMachines(live);
  const [search, setSearch] = useState("");
  const [bootstrapping, setBootstrapping] = useState(false);
  const all = machines.data ?? NONE;
  const found = useMemo(() => all.filter((machine) => matches(machine, search)), [all, search]);
  const problem = useMemo(
    () => (machines.error === null ? null : explain(machines.error, "load")),
    [machines.error],
  );
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
        <label className="search">
          <SearchIcon />
          <span className="visually-hidden">Search machines</span>
          <input
            className="input"
            type="search"
            placeholder="Name, role, serial number, MAC &hellip;"
            value={search}
            onChange={(event) => setSearch(event.target.value)}
          />
        </label>
        <Freshness live={live} shown={found.length} total={all.length} />
      </div>
      {problem !== null && <Problem error={problem} />}
      {machines.isPending && problem === null && <Loading what="Loading machines" />}
      {machines.isSuccess && all.length === 0 && <NoMachines />}
      {all.length > 0 && found.length === 0 && (
        <section className="empty">
          <h2>No machine matches</h2>
          <p>
            Nothing is known by &ldquo;{search}&rdquo;.{" "}
            <button type="button" className="link" onClick={() => setSearch("")}>
              Show all {all.length}
            </button>
          </p>
        </section>
      )}
      {found.length > 0 && <MachinesTable machines={found} />}
      <BootstrapDialog open={bootstrapping} onOpenChange={setBootstrapping} />
    </>
  );
}

function Freshness({ live, shown, total }: { live: boolean; shown: number; total: number }) {
  const count = shown === total ? `${total}` : `${shown} of ${total}`;
  return (
    <p className="freshness" role="status">
      <span>
        {count} {total === 1 ? "machine" : "machines"}
      </span>
      <span className={live ? "live live-on" : "live"}>{live ? "Live" : "Reconnecting\u2026"}</span>
    </p>
  );
}

function NoMachines() {
  return (
    <section className="empty">
      <h2>No machines yet</h2>
      <p>
        Press <strong>Bootstrap</strong> to add the first one: boot it from the ISO image, and enter the code that its
        console shows.
      </p>
    </section>
  );
}
