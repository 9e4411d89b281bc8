// The server's preferences, for all pages that read or set some.
import { useQuery, type QueryClient } from "@tanstack/react-query";
import { api } from "./api";

const PREFS = ["prefs"] as const;
/** They have no events: they are asked for again so often, in milliseconds. */
const PACE = 15_000;

/** All preferences, by name. */
export function usePrefs() {
  return useQuery({ queryKey: PREFS, queryFn: () => api.get<Record<string, string>>("/prefs"), refetchInterval: PACE });
}

/** Sets some preferences: all of them or none. */
export async function setPrefs(client: QueryClient, prefs: Readonly<Record<string, string>>): Promise<void> {
  client.setQueryData(PREFS, await api.post<Record<string, string>>("/prefs", prefs));
}
