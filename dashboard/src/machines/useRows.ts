// The list of the Machines page as a hook: one list for as long as the page is shown.
import { useEffect, useMemo, useState, useSyncExternalStore } from "react";
import { api } from "../api";
import { useEvents, useLive } from "../live";
import { RowList, type Rows } from "./rows";
import { listPath, writeView, type Row, type View } from "./view";

/** Milliseconds after which what is looked at is fetched again: heartbeats are no events. A machine sends one
 * every twenty seconds, so none is shown as offline that is not. */
const LIVE_PACE = 20_000;
const OFFLINE_PACE = 5_000;

/** The rows of a view, kept as they are. */
export function useRows(view: View): { list: RowList; rows: Rows } {
  const [list] = useState(() => new RowList(view, (view, wanted) => api.list<Row>(listPath(view, wanted))));
  const rows = useSyncExternalStore(list.subscribe, list.get);
  const live = useLive();
  const wanted = useMemo(() => view, [writeView(view).toString()]);
  useEffect(() => {
    list.show(wanted);
    return () => list.close();
  }, [list, wanted]);
  useEvents("machines.*.*", (event) => list.heed(event, api.now()));
  useEffect(() => {
    const again = () => document.visibilityState === "visible" && list.refresh();
    const timer = setInterval(again, live ? LIVE_PACE : OFFLINE_PACE);
    document.addEventListener("visibilitychange", again);
    return () => {
      clearInterval(timer);
      document.removeEventListener("visibilitychange", again);
    };
  }, [list, live]);
  useEffect(() => {
    // What was missed while no events came.
    if (live) list.refresh();
  }, [list, live]);
  return { list, rows };
}
