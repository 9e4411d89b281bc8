// The machines, kept up to date: fetched once, then changed by events; fetched again after
// each reconnect and, in case an event was lost, at a slow pace.
import { useQuery, useQueryClient, type QueryClient } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { api } from "./api";
import { applyEvent, EventStream, isMachine } from "./events";
import type { Event, Machine } from "./wire";

/** Cache key of the list. */
export const MACHINES = ["machines"] as const;
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

/** The machines of this server. `live` tells whether events arrive. */
export function useMachines(live: boolean) {
  return useQuery({
    queryKey: MACHINES,
    queryFn: () => api.machines(),
    refetchInterval: live ? 20_000 : 5_000,
  });
}

/** Puts a machine into the list at once, as after an approval. */
export function showMachine(client: QueryClient, machine: Machine): void {
  const event: Event = { Time: "", Type: "machines", Action: "save", Key: machine.Uuid, Principal: "", Object: machine };
  heedMachine(client, event);
}

/** Takes a machine out of the list at once. */
export function hideMachine(client: QueryClient, uuid: string): void {
  const event: Event = { Time: "", Type: "machines", Action: "delete", Key: uuid, Principal: "", Object: null };
  heedMachine(client, event);
}

function heedMachine(client: QueryClient, event: Event): void {
  // An answer that was on its way before the event would put the old state back.
  const overtaken = client.isFetching({ queryKey: MACHINES }) > 0;
  const list = client.getQueryData<Machine[]>(MACHINES);
  const next = list === undefined ? null : applyEvent(list, event);
  if (next !== null) client.setQueryData(MACHINES, next);
  if (next === null || overtaken) void client.invalidateQueries({ queryKey: MACHINES });
  if (event.Action === "delete") {
    void client.invalidateQueries({ queryKey: machineKey(event.Key) });
  } else if (isMachine(event.Object)) {
    client.setQueryData(machineKey(event.Key), event.Object);
  }
}

/** Holds the event stream while the page is open; returns whether it is connected. */
export function useEventStream(): boolean {
  const client = useQueryClient();
  const [live, setLive] = useState(false);
  useEffect(() => {
    const stream = new EventStream(["machines.*.*", "enrollments.*.*"], {
      event: (event) => {
        if (event.Type === "machines") heedMachine(client, event);
        else if (event.Type === "enrollments") void client.invalidateQueries({ queryKey: ENROLLMENTS });
      },
      live: (now) => {
        setLive(now);
        if (!now) return;
        void client.invalidateQueries({ queryKey: MACHINES });
        void client.invalidateQueries({ queryKey: ["machine"] });
        void client.invalidateQueries({ queryKey: ENROLLMENTS });
      },
    });
    return () => stream.close();
  }, [client]);
  return live;
}
