// Views under a name: those that come with the page, and those that this browser keeps.
import { isFiltered, readView, writeView, type View } from "./view";

/** A view under a name. */
export interface NamedView {
  name: string;
  /** As an address says it. */
  query: string;
}

/** What everybody looks for sooner or later. */
export const GIVEN: readonly NamedView[] = [
  { name: "All machines", query: "" },
  { name: "Offline", query: "status=offline" },
  { name: "Waiting in Discovery mode", query: "state=Discovery+mode" },
  { name: "Failed", query: "state=Failed" },
];

const PLACE = "muster.machines.views";
/** Most that are kept. */
const MOST_VIEWS = 50;
/** Longest name. */
export const LONGEST_NAME = 60;

/** The views that were kept, by name; those that are none are passed over. */
export function keptViews(storage: Pick<Storage, "getItem">): NamedView[] {
  let found: unknown;
  try {
    found = JSON.parse(storage.getItem(PLACE) ?? "[]");
  } catch {
    return [];
  }
  if (!Array.isArray(found)) return [];
  return found.filter(isNamed).slice(0, MOST_VIEWS);
}

function isNamed(value: unknown): value is NamedView {
  return (
    typeof value === "object" &&
    value !== null &&
    "name" in value &&
    typeof value.name === "string" &&
    "query" in value &&
    typeof value.query === "string"
  );
}

/** Keeps a view; one of the same name makes room. */
export function keepView(storage: Storage, name: string, view: View): NamedView[] {
  const others = keptViews(storage).filter((kept) => kept.name !== name);
  const views = [...others, { name, query: writeView(view).toString() }];
  return store(storage, views.sort((a, b) => a.name.localeCompare(b.name)).slice(0, MOST_VIEWS));
}

/** Keeps a view no longer. */
export function dropView(storage: Storage, name: string): NamedView[] {
  return store(storage, keptViews(storage).filter((kept) => kept.name !== name));
}

function store(storage: Storage, views: NamedView[]): NamedView[] {
  storage.setItem(PLACE, JSON.stringify(views));
  return views;
}

/** The name of what is shown, if it has one. */
export function nameOf(view: View, kept: readonly NamedView[]): string | null {
  const shown = writeView(view).toString();
  const same = ({ query }: NamedView) => writeView(readView(new URLSearchParams(query))).toString() === shown;
  const found = [...GIVEN, ...kept].find(same);
  return found?.name ?? (isFiltered(view) || shown !== "" ? null : "All machines");
}
