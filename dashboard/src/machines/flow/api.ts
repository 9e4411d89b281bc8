// The calls and cache keys of what a machine does and boots.
import { useInfiniteQuery, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { api, at, type Operation } from "../../api";
import { explain } from "../../explain";
import { changed, machineKey, useEvents, useLive, useTell } from "../../live";
import { notify } from "../../ui/Notice";
import { patchMachine } from "../detail/api";
import type { MachineFull } from "../detail/wire";
import type { BootPreview, Job } from "./wire";

/** Jobs of a part of the list. */
const PART = 50;

/** A machine's jobs, newest first, in parts; kept up to date by events. */
export function useJobs(uuid: string) {
  const client = useQueryClient();
  const live = useLive();
  const key = ["flow-jobs", uuid];
  useEvents(`machine_jobs.*.${uuid}`, () => void client.invalidateQueries({ queryKey: key }));
  return useInfiniteQuery({
    queryKey: key,
    queryFn: ({ pageParam }) =>
      api.get<Job[]>(
        `/jobs?Machine=${encodeURIComponent(uuid)}&sort=StartTime&reverse=true&limit=${PART}&offset=${pageParam}`,
      ),
    initialPageParam: 0,
    getNextPageParam: (last, parts) => (last.length < PART ? undefined : parts.length * PART),
    refetchInterval: live ? false : 5_000,
  });
}

/** What a machine would boot now; asked again when the machine or what it refers to becomes another. */
export function useBoot(machine: MachineFull) {
  const client = useQueryClient();
  const key = ["boot", machine.Uuid];
  const again = () => void client.invalidateQueries({ queryKey: key });
  useEvents(`machines.*.${machine.Uuid}`, again);
  useEvents("bootenvs.*.*", again);
  useEvents("stages.*.*", again);
  useEvents("templates.*.*", again);
  return useQuery({ queryKey: key, queryFn: () => api.get<BootPreview>(at("machines", machine.Uuid, "boot")) });
}

/** Names of a collection whose objects can be chosen. */
export function useChoices(kind: "workflows" | "stages" | "bootenvs") {
  return useQuery({
    queryKey: ["flow-choices", kind],
    queryFn: async () => {
      const objects = await api.get<{ Name: string; Available: boolean }[]>(`/${kind}?slim=Params,Meta,Templates`);
      return objects.map(({ Name, Available }) => ({ value: Name, name: Available ? Name : `${Name} (not available)` }));
    },
    staleTime: 30_000,
  });
}

/** Something to do with a machine: the fields it sets, and what is said when it is done. */
export interface Step {
  operations: readonly Operation[];
  said: string;
  /** Begins the workflow again instead. */
  start?: boolean;
}

/** Says in the corner why something did not go: where no dialog says it. */
export const SAID_IN_THE_CORNER = {
  onError: (error: Error) => notify(explain(error, "change").text, "problem"),
};

/** Does one thing at a time with a machine. */
export function useStep(machine: MachineFull) {
  const client = useQueryClient();
  const tell = useTell();
  return useMutation({
    mutationFn: ({ operations, start }: Step) =>
      start === true
        ? api.patch<MachineFull>(at("machines", machine.Uuid, "start"), operations)
        : patchMachine(machine.Uuid, operations),
    onSuccess: (now, { said }) => {
      client.setQueryData(machineKey(machine.Uuid), now);
      tell(changed(now));
      notify(said);
    },
  });
}
