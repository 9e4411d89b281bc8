// The calls and cache keys of the tab Terminal.
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { api, at } from "../api";
import { useEvents, useLive } from "../live";
import type { TerminalKept, TerminalState } from "./wire";

const stateKey = (machine: string) => ["terminal", machine] as const;
const keptKey = (machine: string) => ["terminals", machine] as const;
/** Pause between looks while no events come, in milliseconds. */
const SLOW = 10_000;

/** How a machine's terminal stands, kept up to date by events. */
export function useTerminalState(machine: string) {
  const client = useQueryClient();
  const live = useLive();
  useEvents(`terminals.*.${machine}`, () => {
    void client.invalidateQueries({ queryKey: stateKey(machine) });
    void client.invalidateQueries({ queryKey: keptKey(machine) });
  });
  return useQuery({
    queryKey: stateKey(machine),
    queryFn: () => api.get<TerminalState>(`${at("machines", machine)}/terminal`),
    refetchInterval: live ? false : SLOW,
  });
}

/** Terminals that were open on a machine. */
export function useTerminals(machine: string) {
  const live = useLive();
  return useQuery({
    queryKey: keptKey(machine),
    queryFn: () => api.get<TerminalKept[]>(`${at("machines", machine)}/terminals`),
    refetchInterval: live ? false : SLOW,
  });
}

/** Allows or forbids terminals; the password is asked for where it must be. */
export function switchTerminal(machine: string, enabled: boolean): Promise<TerminalState> {
  return api.put(`${at("machines", machine)}/terminal`, { Enabled: enabled });
}

/** Ends the terminal that is open. */
export function stopTerminal(machine: string): Promise<TerminalState> {
  return api.delete(`${at("machines", machine)}/terminal`);
}

/** A recording, in asciicast v2. Reading one is on record, so it is not kept. */
export function recording(terminal: string): Promise<string> {
  return api.text(`${at("terminals", terminal)}/recording`);
}

/** Forgets what is cached, so that it is asked for again. */
export function useRefresh(machine: string): () => void {
  const client = useQueryClient();
  return () => {
    void client.invalidateQueries({ queryKey: stateKey(machine) });
    void client.invalidateQueries({ queryKey: keptKey(machine) });
  };
}
