// The tab Profiles: which ones a machine has, in the order in which they win, and what each gives.
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { Link } from "wouter";
import { ApiError, at, type Operation } from "../../api";
import { explain } from "../../explain";
import { machineKey, useEvents } from "../../live";
import { same } from "../../objects/json";
import { ListField } from "../../objects/fields/ListField";
import { PROFILES as PROFILE_KIND } from "../../objects/kinds/work";
import { isRole } from "../../objects/roles";
import { LeaveGuard } from "../../ui/LeaveGuard";
import { notify } from "../../ui/Notice";
import { Loading, Problem } from "../../ui/parts";
import { patchMachine, PROFILES, useProfiles } from "./api";
import type { MachineFull, Profile, TabProps } from "./wire";
import "../../styles/objects.css";
import "../../styles/params.css";

/** The tab. */
export function Profiles({ machine }: TabProps) {
  const client = useQueryClient();
  const profiles = useProfiles();
  useEvents("profiles.*.*", () => void client.invalidateQueries({ queryKey: PROFILES }));
  // Null: as stored.
  const [wanted, setWanted] = useState<readonly string[] | null>(null);
  const list = wanted ?? machine.Profiles;
  const changed = wanted !== null && !same(wanted, machine.Profiles);
  const save = useSave(machine, list, () => setWanted(null));
  const locked = machine.Locked ? `${machine.Name} is locked. Unlock it to change its profiles.` : undefined;
  return (
    <>
      {locked !== undefined && <p className="note note-warning locked-note">{locked}</p>}
      <section className="card fields">
        <h2>Profiles</h2>
        <p className="hint">
          Where profiles say different things, the first one wins. Machine roles are profiles too: for settings of the
          installation they count by their merge priority.
        </p>
        <ListField
          label="Profiles in order"
          one="profile"
          kind={PROFILE_KIND}
          values={list}
          locked={locked}
          problem={save.error === null ? undefined : whyNot(save.error)}
          onChange={(next) => {
            save.reset();
            setWanted(next);
          }}
        />
        <LeaveGuard active={changed} what="these profiles" />
        {changed && (
          <div className="actions">
            <button type="button" className="button" disabled={save.isPending} onClick={() => setWanted(null)}>
              Discard
            </button>
            <button type="button" className="button button-primary" disabled={save.isPending} onClick={() => save.mutate()}>
              {save.isPending ? "Saving\u2026" : "Save the order"}
            </button>
          </div>
        )}
      </section>
      {profiles.isPending && <Loading what="Loading the profiles" />}
      {profiles.error !== null && <Problem error={explain(profiles.error, "load")} />}
      {profiles.data !== undefined && list.map((name) => <Given key={name} name={name} profiles={profiles.data} />)}
    </>
  );
}

function useSave(machine: MachineFull, list: readonly string[], done: () => void) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: () => {
      const operations: Operation[] = [
        { op: "test", path: "/Profiles", value: machine.Profiles },
        { op: "replace", path: "/Profiles", value: list },
      ];
      return patchMachine(machine.Uuid, operations);
    },
    onSuccess: (saved) => {
      client.setQueryData(machineKey(machine.Uuid), saved);
      done();
      notify(`The profiles of ${saved.Name} are saved.`);
    },
  });
}

function whyNot(error: Error): string {
  if (error instanceof ApiError && error.kind === "PATCH") {
    return "Somebody else changed the profiles meanwhile. Discard your changes to see them.";
  }
  return explain(error, "change").text;
}

/** What one of them gives. */
function Given({ name, profiles }: { name: string; profiles: readonly Profile[] }) {
  const profile = profiles.find((each) => each.Name === name);
  if (profile === undefined) {
    return <p className="note note-warning">There is no profile {name} any more. Remove it, or make it again.</p>;
  }
  const role = isRole(profile);
  const names = Object.keys(profile.Params).sort();
  return (
    <section className="card">
      <div className="card-head">
        <h2>
          <Link to={role ? `/roles${at(name)}` : `/profiles${at(name)}`}>{name}</Link>
        </h2>
        <span className="hint">
          {role ? "Machine role" : "Profile"}, {names.length} param{names.length === 1 ? "" : "s"}
        </span>
      </div>
      {profile.Description !== "" && <p>{profile.Description}</p>}
      <ul className="given">
        {names.map((param) => (
          <li key={param}>
            <code>{param}</code>
          </li>
        ))}
      </ul>
    </section>
  );
}
