// Texts in an order that counts, moved by buttons or by Alt and the arrow keys.
import { useRef, useState, type KeyboardEvent } from "react";
import { Link } from "wouter";
import { at } from "../../api";
import { CloseIcon, PlusIcon } from "../../ui/icons";
import { Adder } from "../../ui/Tags";
import { useObjects } from "../api";
import { keyOf, type KindSpec } from "../kind";
import { movedItem } from "../order";
import { Mover } from "./Mover";

interface ListFieldProps {
  label: string;
  hint?: string;
  problem: string | undefined;
  locked: string | undefined;
  /** One of them: `stage`. */
  one: string;
  /** What the entries name, where they name objects. */
  kind: KindSpec | null;
  values: readonly string[];
  onChange(values: string[]): void;
}

/** The list and a way to add to its end. */
export function ListField(props: ListFieldProps) {
  return props.kind === null ? <Listed {...props} names={null} /> : <ListedObjects {...props} kind={props.kind} />;
}

function ListedObjects(props: ListFieldProps & { kind: KindSpec }) {
  const all = useObjects(props.kind);
  return <Listed {...props} names={all.data?.map((object) => keyOf(props.kind, object)) ?? null} />;
}

/** `names`: of the objects that there are; null when nobody knows. */
function Listed({ label, hint, problem, locked, one, kind, values, onChange, names }: ListFieldProps & { names: readonly string[] | null }) {
  const [adding, setAdding] = useState(false);
  const [told, setTold] = useState("");
  const list = useRef<HTMLOListElement>(null);
  const move = (index: number, step: 1 | -1) => {
    const next = movedItem(values, index, step);
    if (next === null) return;
    onChange(next);
    setTold(`${values[index] ?? ""} is number ${index + step + 1} of ${values.length} now.`);
    focusSoon(list, index + step);
  };
  const heed = (event: KeyboardEvent, index: number) => {
    if (!event.altKey || (event.key !== "ArrowUp" && event.key !== "ArrowDown") || locked !== undefined) return;
    event.preventDefault();
    move(index, event.key === "ArrowDown" ? 1 : -1);
  };
  return (
    <div className="field" role="group" aria-label={label}>
      <span className="field-label">{label}</span>
      {values.length === 0 && !adding && <p className="none">None</p>}
      <ol className="ordered" ref={list}>
        {values.map((value, index) => (
          <li key={`${value} ${index}`} onKeyDown={(event) => heed(event, index)}>
            <span className="ordered-place" aria-hidden="true">
              {index + 1}
            </span>
            <Entry value={value} kind={kind} missing={names !== null && !value.includes(":") && !names.includes(value)} />
            {locked === undefined && (
              <span className="ordered-acts">
                <Mover of={value} first={index === 0} last={index === values.length - 1} move={(step) => move(index, step)} />
                <button
                  type="button"
                  className="button button-icon"
                  aria-label={`Remove ${value}`}
                  onClick={() => onChange(values.filter((_, each) => each !== index))}
                >
                  <CloseIcon />
                </button>
              </span>
            )}
          </li>
        ))}
      </ol>
      <p className="visually-hidden" role="status">
        {told}
      </p>
      {locked === undefined &&
        (adding ? (
          <Adder
            one={one}
            options={(names ?? []).map((value) => ({ value }))}
            free
            add={(value) => onChange([...values, value])}
            done={() => setAdding(false)}
            leave={() => setAdding(false)}
          />
        ) : (
          <p>
            <button type="button" className="button button-small" onClick={() => setAdding(true)}>
              <PlusIcon />
              Add {one}
            </button>
          </p>
        ))}
      {problem !== undefined && <p className="field-problem">{problem}</p>}
      {hint !== undefined && <p className="field-hint">{hint}</p>}
    </div>
  );
}

function Entry({ value, kind, missing }: { value: string; kind: KindSpec | null; missing: boolean }) {
  return (
    <span className="ordered-name">
      {kind === null || value.includes(":") ? <code>{value}</code> : <Link to={kind.path + at(value)}>{value}</Link>}
      {missing && <span className="badge badge-problem">Does not exist</span>}
    </span>
  );
}

/** The focus goes with what was moved. */
function focusSoon(list: React.RefObject<HTMLOListElement | null>, index: number): void {
  requestAnimationFrame(() => {
    const button = list.current?.children[index]?.querySelector<HTMLButtonElement>("button:not(:disabled)");
    button?.focus();
  });
}
