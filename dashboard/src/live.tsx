// The one stream of events of the dashboard, and who hears of it: each page what it shows. After each reconnect
// everything that is shown is fetched again, since events may have been missed.
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { createContext, useCallback, useContext, useEffect, useRef, useState, type ReactNode } from "react";
import { api } from "./api";
import { EventStream, isMachine } from "./events";
import { useGathered } from "./time";
import type { Event, Machine } from "./wire";

/** Cache key of the waiting machines. */
export const ENROLLMENTS = ["enrollments"] as const;
/** Cache key of the session. */
export const SESSION = ["session"] as const;
/** Cache key of why the last session ended, in words for the sign-in page. */
export const SESSION_END = ["session-end"] as const;

/** Cache key of one machine. */
export function machineKey(uuid: string): readonly ["machine", string] {
  return ["machine", uuid];
}

/** Who is signed in; null for nobody. */
export function useSession() {
  return useQuery({ queryKey: SESSION, queryFn: () => api.session(), staleTime: Infinity });
}

/** What a change by this page says to those who show the machine, before the server's own event comes. */
export function changed(machine: Machine, action: "create" | "save" | "delete" = "save"): Event {
  return { Time: "", Type: "machines", Action: action, Key: machine.Uuid, Principal: "", Object: machine };
}

/** The stream of events, and whether it is connected. */
interface Live {
  live: boolean;
  stream: EventStream | null;
}

const LiveContext = createContext<Live>({ live: false, stream: null });

/** Holds the one event stream of the dashboard, for everything inside. */
export function LiveStream({ children }: { children: ReactNode }) {
  const client = useQueryClient();
  const [state, setState] = useState<Live>({ live: false, stream: null });
  useEffect(() => {
    const stream = new EventStream((live) => {
      setState({ live, stream });
      // What was missed is fetched: everything that is shown now.
      if (live) void client.invalidateQueries({ predicate: (query) => query.queryKey[0] !== SESSION[0] });
    });
    setState({ live: false, stream });
    return () => stream.close();
  }, [client]);
  return (
    <LiveContext.Provider value={state}>
      <WaitingEvents />
      {children}
    </LiveContext.Provider>
  );
}

/** Whether events arrive. */
export function useLive(): boolean {
  return useContext(LiveContext).live;
}

/** Hands every event of a pattern (`profiles.*.*`, `jobs.*.*`) to a page while it is shown. */
export function useEvents(pattern: string, heed: (event: Event) => void): void {
  const { stream } = useContext(LiveContext);
  const latest = useRef(heed);
  useEffect(() => {
    latest.current = heed;
  });
  useEffect(() => stream?.subscribe(pattern, (event) => latest.current(event)), [stream, pattern]);
}

/** How long events are gathered before what is shown is asked for again, in milliseconds. */
const GATHER = 200;

/** Asks again for what is kept under a key when events of a pattern come: once for all that come together. */
export function useRefreshOn(pattern: string, key: readonly unknown[], wanted = true): void {
  const client = useQueryClient();
  const refresh = useGathered(() => void client.invalidateQueries({ queryKey: key }), GATHER);
  useEvents(pattern, () => {
    if (wanted) refresh();
  });
}

/** Tells pages of an event that this page brought about, so that nobody waits for the server's own. */
export function useTell(): (event: Event) => void {
  const { stream } = useContext(LiveContext);
  return useCallback((event) => stream?.tell(event), [stream]);
}

/** Keeps what is cached of one machine as it is, while it is shown. */
export function useMachineEvents(uuid: string): void {
  const client = useQueryClient();
  useEvents(`machines.*.${uuid}`, (event) => {
    const key = machineKey(uuid);
    if (event.Action === "delete" || !isMachine(event.Object)) void client.invalidateQueries({ queryKey: key });
    else client.setQueryData(key, event.Object);
  });
}

/** What every page has: those that wait, whom the Bootstrap dialog shows. */
function WaitingEvents() {
  const client = useQueryClient();
  useEvents("enrollments.*.*", () => void client.invalidateQueries({ queryKey: ENROLLMENTS }));
  return null;
}
