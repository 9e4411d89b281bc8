// The state of the tab Configuration: the draft, what would come of it, and what the server says to it.
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useMemo, useState } from "react";
import { ApiError } from "../../api";
import { explain, type Explained } from "../../explain";
import { machineKey, useEvents } from "../../live";
import { decided, draftOf, isChanged, operations, rebased, type Draft } from "../../objects/change";
import { textAt, valueAt, withValue, type Json, type Path } from "../../objects/json";
import { NO_PROBLEMS, placed, type Placed } from "../../objects/problems";
import { useDebounced } from "../../time";
import { notify } from "../../ui/Notice";
import { patchMachine, readSetup } from "./api";
import { changes, complaint, inherited, PARAM_NAMES, settingsOf } from "./draft";
import type { MachineFull, ParamSource, Setup } from "./wire";

/** How long somebody types before the server is asked what would come of it, in milliseconds. */
const PAUSE = 350;
const PLACES = {
  fields: ["Name", "Description", "Locked", "Roles", "MeshNetwork", ...Object.keys(PARAM_NAMES).map((name) => `Params/${name}`)],
  key: "Name",
  noun: "machine",
};

/** What a card of the tab works with. */
export interface Editing {
  machine: MachineFull;
  draft: Draft;
  /** What an installation would be made of after the change; undefined until the server told. */
  setup: Setup | undefined;
  /** Why nothing can be changed now. */
  locked: string | undefined;
  value(...path: Path): Json | undefined;
  text(...path: Path): string;
  set(value: Json | undefined, ...path: Path): void;
  /** What holds when the machine itself says nothing of a param. */
  from(param: string): ParamSource | null;
  /** What is wrong with a field: `Roles`, `Params/muster/network`. */
  problem(field: string): string | undefined;
}

/** The tab's state as a whole. */
export interface EditingState extends Editing {
  changed: boolean;
  /** Complaints that belong to no field, and why asking failed. */
  refused: readonly Explained[];
  saving: boolean;
  save(): void;
  discard(): void;
  decide(field: string, keep: "mine" | "theirs"): void;
}

/** Follows the machine, and keeps what the operator changed. */
export function useEditing(machine: MachineFull): EditingState {
  const client = useQueryClient();
  const [draft, setDraft] = useState(() => draftOf(settingsOf(machine)));
  const [seen, setSeen] = useState(machine);
  if (seen !== machine) {
    setSeen(machine);
    setDraft(rebased(draft, settingsOf(machine)));
  }
  const changed = isChanged(draft);
  const setup = useSetup(machine, draft);
  const saving = useMutation({
    // Events may follow the change into the draft before the answer is here.
    mutationFn: async (wanted: Draft) => ({
      saved: await patchMachine(machine.Uuid, operations(wanted)),
      count: changes(wanted).length,
    }),
    onSuccess: ({ saved, count }) => {
      client.setQueryData(machineKey(machine.Uuid), saved);
      setDraft(draftOf(settingsOf(saved)));
      notify(`${saved.Name} is saved: ${count} setting${count === 1 ? "" : "s"} changed.${whatNow(saved)}`);
    },
  });
  const told = refusal(saving.error ?? (changed ? setup.error : null));
  const set = (value: Json | undefined, ...path: Path) => {
    saving.reset();
    setDraft((now) => ({ ...now, wanted: withValue(now.wanted, path, value) }));
  };
  return {
    machine,
    draft,
    setup: setup.data,
    locked: machine.Locked && draft.wanted["Locked"] === true ? `${machine.Name} is locked. Unlock it to change its settings.` : undefined,
    value: (...path) => valueAt(draft.wanted, path),
    text: (...path) => textAt(draft.wanted, ...path),
    set,
    from: (param) => inherited(setup.data, param),
    problem: (field) => problemAt(field, told.problems, setup.data),
    changed,
    refused: told.refused,
    saving: saving.isPending,
    save: () => saving.mutate(draft),
    discard: () => {
      saving.reset();
      setDraft(draftOf(settingsOf(machine)));
    },
    decide: (field, keep) => setDraft((now) => decided(now, field, keep)),
  };
}

function whatNow(saved: MachineFull): string {
  return saved.PendingChanges ? " The next installation brings the change to the machine." : "";
}

/** What would come of the draft, asked when the operator pauses. */
function useSetup(machine: MachineFull, draft: Draft) {
  const client = useQueryClient();
  const key = ["setup", machine.Uuid] as const;
  const again = () => void client.invalidateQueries({ queryKey: key });
  useEvents("profiles.*.*", again);
  useEvents("images.*.*", again);
  useEvents("params.*.*", again);
  const wanted = useMemo(() => (draft.conflicts.length > 0 ? "[]" : JSON.stringify(operations(draft))), [draft]);
  const settled = useDebounced(wanted, PAUSE);
  return useQuery({
    queryKey: [...key, machine.LastModifiedAt, settled],
    queryFn: () => readSetup(machine.Uuid, settled === wanted && draft.conflicts.length === 0 ? operations(draft) : []),
    placeholderData: (before) => before,
    enabled: settled === wanted,
    gcTime: 60_000,
  });
}

interface Told {
  problems: Placed;
  refused: readonly Explained[];
}

function refusal(error: Error | null): Told {
  if (error === null) return { problems: NO_PROBLEMS, refused: [] };
  if (error instanceof ApiError && (error.status === 422 || error.status === 400)) {
    const problems = placed(error.messages, PLACES);
    return { problems, refused: problems.others.map((text) => ({ text, retryAfter: null })) };
  }
  if (error instanceof ApiError && error.kind === "PATCH") {
    const text = "Somebody else changed the same meanwhile. Look at what is different now, then save again.";
    return { problems: NO_PROBLEMS, refused: [{ text, retryAfter: null }] };
  }
  return { problems: NO_PROBLEMS, refused: [explain(error, "change")] };
}

function problemAt(field: string, problems: Placed, setup: Setup | undefined): string | undefined {
  const refused = problems.at.get(field)?.map(({ text }) => text).join(" ");
  if (refused !== undefined) return refused;
  const found = field.startsWith("Params/") ? setup?.Errors[field.slice("Params/".length)] : undefined;
  return found === undefined ? undefined : complaint(found);
}
