// The preferences, to read and to set: what was changed is sent together, all of it or nothing.
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState, type FormEvent } from "react";
import { explain } from "../explain";
import { useNames } from "../names";
import { setPrefs, usePrefs } from "../prefs";
import { SelectField, TextField } from "../ui/fields";
import { notify } from "../ui/Notice";
import { Loading, Problem } from "../ui/parts";
import { LEVELS, PREF_GROUPS, prefProblem, type PrefWords } from "./prefs";

type Changes = Readonly<Record<string, string>>;
const NONE: Changes = {};

/** The section. */
export function PrefSettings() {
  const prefs = usePrefs();
  if (prefs.error !== null) return <Problem error={explain(prefs.error, "load")} />;
  if (prefs.data === undefined) return <Loading what="Loading preferences" />;
  return <PrefForm prefs={prefs.data} />;
}

function PrefForm({ prefs }: { prefs: Readonly<Record<string, string>> }) {
  const client = useQueryClient();
  const [changes, setChanges] = useState(NONE);
  const saving = useMutation({
    gcTime: 0,
    mutationFn: () => setPrefs(client, changes),
    onSuccess: () => {
      setChanges(NONE);
      notify("The preferences are saved.");
    },
  });
  const change = (name: string, value: string) => {
    saving.reset();
    const { [name]: _before, ...others } = changes;
    setChanges(value === (prefs[name] ?? "") ? others : { ...others, [name]: value });
  };
  const wrong = PREF_GROUPS.some(({ prefs: group }) =>
    Object.entries(group).some(([name, { way }]) => name in changes && prefProblem(way, changes[name] ?? "") !== undefined),
  );
  const count = Object.keys(changes).length;
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (count > 0 && !wrong && !saving.isPending) saving.mutate();
  };
  return (
    <form onSubmit={submit}>
      {PREF_GROUPS.map(({ name, prefs: group }) => (
        <section key={name} className="card" aria-label={name}>
          <h2>{name}</h2>
          <div className="prefs">
            {Object.entries(group).map(([pref, words]) => (
              <PrefField
                key={pref}
                words={words}
                value={changes[pref] ?? prefs[pref] ?? ""}
                onChange={(value) => change(pref, value)}
              />
            ))}
          </div>
        </section>
      ))}
      {saving.error !== null && <Problem error={explain(saving.error, "change")} />}
      {count > 0 && (
        <div className="save-bar">
          <p role="status">{count === 1 ? "1 preference is changed." : `${count} preferences are changed.`}</p>
          <button type="button" className="button" disabled={saving.isPending} onClick={() => setChanges(NONE)}>
            Discard
          </button>
          <button type="submit" className="button button-primary" disabled={wrong || saving.isPending}>
            {saving.isPending ? "Saving\u2026" : "Save"}
          </button>
        </div>
      )}
    </form>
  );
}

interface PrefFieldProps {
  words: PrefWords;
  value: string;
  onChange(value: string): void;
}

function PrefField({ words: { label, hint, way }, value, onChange }: PrefFieldProps) {
  const shared = { label, hint, value, onChange };
  switch (way.as) {
    case "name":
      return <NameField {...shared} collection={way.collection} empty={way.empty} />;
    case "level":
      return <SelectField {...shared} choices={LEVELS.map((level) => ({ value: level }))} />;
    case "seconds":
      return <TextField {...shared} problem={prefProblem(way, value)} />;
    case "secret":
      return (
        <TextField
          {...shared}
          type="password"
          autoComplete="new-password"
          placeholder="Unchanged"
          problem={prefProblem(way, value)}
        />
      );
    case "text":
      return <TextField {...shared} mono lines={2} {...(way.placeholder === undefined ? {} : { placeholder: way.placeholder })} />;
  }
}

type NameFieldProps = Omit<PrefFieldProps, "words"> & {
  label: string;
  hint: string;
  collection: string;
  empty: string | undefined;
};

function NameField({ collection, empty, ...shared }: NameFieldProps) {
  const names = useNames(collection);
  const choices = (names.data ?? (shared.value === "" ? [] : [shared.value])).map((value) => ({ value }));
  return <SelectField {...shared} choices={choices} {...(empty === undefined ? {} : { empty })} />;
}
