// The objects of a kind in a table.
import { useMemo, useState } from "react";
import { Link } from "wouter";
import { explain } from "../explain";
import { useLive } from "../live";
import { usePageTitle } from "../time";
import { DataTable } from "../ui/DataTable";
import { PlusIcon, SearchIcon } from "../ui/icons";
import { Loading, Problem } from "../ui/parts";
import { useObjects } from "./api";
import type { Obj } from "./json";
import { keyOf, type KindSpec } from "./kind";
import { ObjectMenu } from "./ObjectMenu";

const NONE: readonly Obj[] = [];

/** The list, its search, and the way to a new one. */
export function ListPage({ kind }: { kind: KindSpec }) {
  const heading = usePageTitle(kind.many);
  const objects = useObjects(kind);
  const [search, setSearch] = useState("");
  const all = objects.data ?? NONE;
  const found = useMemo(() => all.filter((object) => matches(kind, object, search)), [kind, all, search]);
  const problem = useMemo(() => (objects.error === null ? null : explain(objects.error, "load")), [objects.error]);
  return (
    <>
      <div className="page-head">
        <h1 ref={heading} tabIndex={-1}>
          {kind.many}
        </h1>
        <Link to={`${kind.path}?new`} className="button button-primary">
          <PlusIcon />
          New {kind.one}
        </Link>
      </div>
      <p className="object-lead">{kind.about}</p>
      {all.length > 0 && <Toolbar kind={kind} search={search} setSearch={setSearch} shown={found.length} total={all.length} />}
      {problem !== null && <Problem error={problem} again={{ label: "Try again", act: () => void objects.refetch() }} />}
      {objects.isPending && problem === null && <Loading what={`Loading ${kind.many.toLowerCase()}`} />}
      {objects.isSuccess && all.length === 0 && (
        <section className="empty">
          <h2>No {kind.many.toLowerCase()} yet</h2>
          <p>{kind.first}</p>
          <Link to={`${kind.path}?new`} className="button">
            New {kind.one}
          </Link>
        </section>
      )}
      {all.length > 0 && found.length === 0 && (
        <section className="empty">
          <h2>Nothing matches</h2>
          <p>
            No {kind.one} is known by &ldquo;{search}&rdquo;.{" "}
            <button type="button" className="link" onClick={() => setSearch("")}>
              Show all {all.length}
            </button>
          </p>
        </section>
      )}
      {found.length > 0 && (
        <DataTable
          caption={kind.many}
          things={found}
          columns={kind.columns}
          keyOf={(object) => keyOf(kind, object)}
          order={{ by: "name" }}
          menu={(object) => <ObjectMenu kind={kind} object={object} inList />}
        />
      )}
    </>
  );
}

/** Whether every word is somewhere in what the table shows of it. */
function matches(kind: KindSpec, object: Obj, search: string): boolean {
  const words = search.toLowerCase().split(/\s+/).filter(Boolean);
  if (words.length === 0) return true;
  const text = kind.columns.map((column) => String(column.value(object))).join("\n").toLowerCase();
  return words.every((word) => text.includes(word));
}

interface ToolbarProps {
  kind: KindSpec;
  search: string;
  setSearch(search: string): void;
  shown: number;
  total: number;
}

function Toolbar({ kind, search, setSearch, shown, total }: ToolbarProps) {
  const live = useLive();
  return (
    <div className="toolbar">
      <label className="search">
        <SearchIcon />
        <span className="visually-hidden">Search {kind.many.toLowerCase()}</span>
        <input
          className="input"
          type="search"
          placeholder={`Search ${kind.many.toLowerCase()}`}
          value={search}
          onChange={(event) => setSearch(event.target.value)}
        />
      </label>
      <p className="freshness" role="status">
        <span>
          {shown === total ? total : `${shown} of ${total}`} {total === 1 ? kind.one : kind.many.toLowerCase()}
        </span>
        <span className={live ? "live live-on" : "live"}>{live ? "Live" : "Reconnecting\u2026"}</span>
      </p>
    </div>
  );
}
