// Params by name, each entered as its schema says: a switch, a number, one of several, a text, or JSON.
import { useState } from "react";
import { Link } from "wouter";
import { at } from "../../api";
import { CloseIcon, PlusIcon } from "../../ui/icons";
import { Adder } from "../../ui/Tags";
import { useObjects } from "../api";
import { textAt, type Json, type Obj } from "../json";
import { PARAMS } from "../kinds/work";
import { startOf } from "../params";
import { ParamValue } from "./ParamValue";

interface ParamsFieldProps {
  label: string;
  hint?: string;
  problem: string | undefined;
  locked: string | undefined;
  params: Obj;
  /** Those that are shown elsewhere. */
  but: readonly string[];
  /** Nothing takes a param away. */
  set(name: string, value: Json | undefined): void;
}

/** Those that are set, and a way to set more. */
export function ParamsField({ label, hint, problem, locked, params, but, set }: ParamsFieldProps) {
  const [adding, setAdding] = useState(false);
  const all = useObjects(PARAMS);
  const known = new Map((all.data ?? []).map((param) => [textAt(param, "Name"), param]));
  const names = Object.keys(params).filter((name) => !but.includes(name)).sort();
  const options = [...known.values()]
    .map((param) => ({ value: textAt(param, "Name"), note: textAt(param, "Description") }))
    .filter(({ value }) => !(value in params) && !but.includes(value));
  return (
    <div className="field" role="group" aria-label={label}>
      <span className="field-label">{label}</span>
      {hint !== undefined && <p className="field-hint">{hint}</p>}
      {names.length === 0 && !adding && <p className="none">None</p>}
      {names.map((name) => (
        <div key={name} className="param">
          <div className="param-head">
            {known.has(name) ? <Link to={PARAMS.path + at(name)}>{name}</Link> : <span>{name}</span>}
            {locked === undefined && (
              <button type="button" className="button button-icon" aria-label={`Remove ${name}`} onClick={() => set(name, undefined)}>
                <CloseIcon />
              </button>
            )}
          </div>
          <ParamValue
            name={name}
            schema={known.get(name)?.["Schema"] ?? null}
            note={textAt(known.get(name) ?? {}, "Description")}
            value={params[name] ?? null}
            locked={locked}
            onChange={(value) => set(name, value)}
          />
        </div>
      ))}
      {problem !== undefined && (
        <p className="field-problem" role="alert">
          {problem}
        </p>
      )}
      {locked === undefined &&
        (adding ? (
          <Adder
            one="param"
            options={options}
            free
            add={(name) => {
              set(name, startOf(known.get(name)?.["Schema"] ?? null));
              setAdding(false);
            }}
            done={() => setAdding(false)}
            leave={() => setAdding(false)}
          />
        ) : (
          <p>
            <button type="button" className="button button-small" onClick={() => setAdding(true)}>
              <PlusIcon />
              Add param
            </button>
          </p>
        ))}
    </div>
  );
}
