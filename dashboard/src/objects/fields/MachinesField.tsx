// Machines that an object names by UUID or by name, known and shown by their names.
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { api } from "../../api";
import { explain } from "../../explain";
import { isUuid, machinePath } from "../../route";
import { useDebounced } from "../../time";
import { Field } from "../../ui/fields";
import { Problem } from "../../ui/parts";
import { Tags } from "../../ui/Tags";
import type { Machine } from "../../wire";

type Named = Pick<Machine, "Uuid" | "Name">;

/** What of a machine its name does without. */
const SLIM = "Inventory,Tasks,Params,Profiles,Meta";
/** Most that are offered at a time. */
const OFFERED = 20;

interface MachinesFieldProps {
  label: string;
  hint?: string;
  problem: string | undefined;
  locked: string | undefined;
  values: readonly string[];
  /** A filter of those that may be chosen: `MeshNetwork=home`. */
  among: string;
  onChange(values: string[]): void;
}

/** The chosen ones, and a search for others. */
export function MachinesField({ label, hint, problem, locked, values, among, onChange }: MachinesFieldProps) {
  const [text, setText] = useState("");
  const search = useDebounced(text, 150);
  const found = useNamed(`${among}&q=${encodeURIComponent(search)}&sort=NaturalName&limit=${OFFERED}`, locked === undefined);
  // Whoever wrote it may have named machines by either.
  const [uuids, names] = [values.filter(isUuid), values.filter((value) => !isUuid(value))];
  const byUuid = useNamed(`Uuid=In(${uuids.join(",")})`, uuids.length > 0);
  const byName = useNamed(`Name=In(${names.map(encodeURIComponent).join(",")})`, names.length > 0);
  const failed = found.error ?? byUuid.error ?? byName.error;
  const known = new Map<string, Named>();
  for (const each of byUuid.data ?? []) known.set(each.Uuid, each);
  for (const each of byName.data ?? []) known.set(each.Name, each);
  const taken = new Set([...known.values()].map(({ Uuid }) => Uuid));
  for (const each of found.data ?? []) if (!taken.has(each.Uuid)) known.set(each.Uuid, each);
  return (
    <Field label={label} problem={problem} {...(hint === undefined ? {} : { hint })} group>
      {() => (
        <>
          <Tags
            label={label}
            one="machine"
            values={values}
            options={[...known].map(([value, { Uuid, Name }]) => ({ value, name: Name, to: machinePath(Uuid) }))}
            onType={setText}
            onChange={onChange}
            {...(locked === undefined ? {} : { locked })}
          />
          {failed !== null && <Problem error={explain(failed, "load")} />}
        </>
      )}
    </Field>
  );
}

function useNamed(filter: string, wanted: boolean) {
  return useQuery({
    queryKey: ["objects", "machines", "named", filter],
    queryFn: () => api.get<Named[]>(`/machines?${filter}&slim=${SLIM}`),
    enabled: wanted,
    placeholderData: (before) => before,
  });
}
