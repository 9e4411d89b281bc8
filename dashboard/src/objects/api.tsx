// Calls about objects of the model, the same for every kind, and what is kept of their answers.
import { useQuery, useQueryClient, type QueryClient } from "@tanstack/react-query";
import { useEffect, useRef } from "react";
import { api, at } from "../api";
import { useEvents } from "../live";
import { operations, type Draft } from "./change";
import type { Obj } from "./json";
import { hiddenFields, keyOf, type KindSpec } from "./kind";

/** Cache key of everything about objects. */
export const OBJECTS = ["objects"] as const;

/** Collections whose objects refer to each other: whether one is available follows from others. */
const COLLECTIONS = [
  "bootenvs",
  "images",
  "meshes",
  "params",
  "profiles",
  "registry_credentials",
  "roles",
  "secrets",
  "stages",
  "tasks",
  "templates",
  "variables",
  "vips",
  "workflows",
] as const;

/** How long events are gathered before what is shown is asked for again, in milliseconds: an import of
 * content has one for each object. */
const GATHER = 150;

function objectKey(kind: KindSpec, key: string): readonly string[] {
  return [...OBJECTS, kind.collection, "one", key];
}

/** The objects of a kind. */
export function useObjects(kind: KindSpec, wanted = true) {
  return useQuery({
    queryKey: [...OBJECTS, kind.collection, "list", kind.slim ?? ""],
    queryFn: () => api.get<readonly Obj[]>(at(kind.collection) + (kind.slim === undefined ? "" : `?slim=${kind.slim}`)),
    select: kind.holds === undefined ? asItIs : heldBy(kind.holds),
    enabled: wanted,
  });
}

function asItIs(all: readonly Obj[]): readonly Obj[] {
  return all;
}

const HELD = new WeakMap<(object: Obj) => boolean, (all: readonly Obj[]) => readonly Obj[]>();

/** One function for each rule, so that its answer is kept as long as the list is the same. */
function heldBy(holds: (object: Obj) => boolean): (all: readonly Obj[]) => readonly Obj[] {
  const known = HELD.get(holds);
  if (known !== undefined) return known;
  const made = (all: readonly Obj[]) => all.filter(holds);
  HELD.set(holds, made);
  return made;
}

/** One object. */
export function useObject(kind: KindSpec, key: string) {
  return useQuery({ queryKey: objectKey(kind, key), queryFn: () => api.get<Obj>(at(kind.collection, key)) });
}

/** Makes an object; answers it as it is now. */
export async function create(client: QueryClient, kind: KindSpec, object: Obj): Promise<Obj> {
  return kept(client, kind, await api.post<Obj>(at(kind.collection), object));
}

/** Changes what was changed, and nothing that somebody else changed meanwhile. */
export async function change(client: QueryClient, kind: KindSpec, key: string, draft: Draft): Promise<Obj> {
  const answer = await api.patch<Obj>(at(kind.collection, key), operations(draft, hiddenFields(kind)));
  return kept(client, kind, answer);
}

/** Deletes an object. */
export async function remove(client: QueryClient, kind: KindSpec, key: string): Promise<void> {
  await api.delete<Obj>(at(kind.collection, key));
  client.removeQueries({ queryKey: objectKey(kind, key) });
  await client.invalidateQueries({ queryKey: OBJECTS });
}

function kept(client: QueryClient, kind: KindSpec, object: Obj): Obj {
  client.setQueryData(objectKey(kind, keyOf(kind, object)), object);
  void client.invalidateQueries({ queryKey: [...OBJECTS, kind.collection, "list"] });
  return object;
}

/** Keeps everything about objects as it is, while it is shown. */
export function ObjectEvents() {
  const client = useQueryClient();
  const timer = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
  useEffect(() => () => clearTimeout(timer.current), []);
  const heed = () => {
    clearTimeout(timer.current);
    timer.current = setTimeout(() => void client.invalidateQueries({ queryKey: OBJECTS }), GATHER);
  };
  return COLLECTIONS.map((collection) => <Heed key={collection} pattern={`${collection}.*.*`} heed={heed} />);
}

function Heed({ pattern, heed }: { pattern: string; heed(): void }) {
  useEvents(pattern, heed);
  return null;
}
