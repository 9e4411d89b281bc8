// One object to look at and to change: the form, the whole of it as JSON, and the kind's further views. What it
// belongs to (an object that there is, or a new one) decides what saving means.
import { useEffect, useMemo, useRef, useState, type FormEvent, type KeyboardEvent, type ReactNode } from "react";
import type { CodeProblem } from "../ui/CodeEditor";
import { LeaveGuard } from "../ui/LeaveGuard";
import { Problem } from "../ui/parts";
import { Tabs, type Tab } from "../ui/Tabs";
import type { Explained } from "../explain";
import { useFaults } from "./faults";
import { withValue, type Json, type Obj, type Path } from "./json";
import { JsonView } from "./JsonView";
import type { KindSpec } from "./kind";
import { ObjectForm } from "./ObjectForm";
import type { Placed } from "./problems";

interface EditorProps {
  kind: KindSpec;
  /** As it is to be. */
  wanted: Obj;
  /** As the server has it; nothing as yet for a new one. */
  seen: Obj | null;
  change(wanted: Obj): void;
  /** Whether there is something to save. */
  changed: boolean;
  /** What the server said of the last try. */
  problems: Placed;
  /** Why the last try failed, when not for its fields. */
  failure: Explained | null;
  /** Why nothing can be changed. */
  locked: string | undefined;
  /** Why it cannot be saved now, though it may be changed. */
  held: string | null;
  saving: boolean;
  save(): void;
  discard(): void;
  /** Further views, beside the form and the JSON. */
  views: readonly Tab[];
  children?: ReactNode;
}

/** The editor. */
export function Editor(props: EditorProps) {
  const { kind, wanted, seen, change, changed, problems, failure, locked, held, saving, save, views, children } = props;
  const { faults, gather } = useFaults();
  const [view, setView] = useState("form");
  const set = (path: Path, value: Json | undefined) => change(withValue(wanted, path, value));
  const why = held ?? faults[0] ?? null;
  const form = useRef<HTMLFormElement>(null);
  useEffect(() => {
    // Where something is to be mended, the cursor is already.
    if (problems.at.size > 0) form.current?.querySelector<HTMLElement>('[aria-invalid="true"]')?.focus();
  }, [problems]);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    // Dialogs that the editor opens have forms of their own, whose events come by here.
    if (event.target !== event.currentTarget) return;
    if (!saving && why === null && locked === undefined && (changed || seen === null)) save();
  };
  const heed = (event: KeyboardEvent) => {
    if (!(event.ctrlKey || event.metaKey) || event.key !== "s") return;
    event.preventDefault();
    form.current?.requestSubmit();
  };
  const shown = { kind, object: wanted, seen, problems: problems.at, locked, set };
  const tabs: Tab[] = [
    { id: "form", name: "Configuration", body: <ObjectForm {...shown} /> },
    ...views,
    { id: "json", name: "JSON", body: <JsonView kind={kind} object={wanted} locked={locked} change={change} /> },
  ];
  return (
    <form ref={form} className="editor" onSubmit={submit} onKeyDown={heed} noValidate autoComplete="off">
      {children}
      <OtherProblems problems={problems} failure={failure} hidden={view !== "form"} />
      {gather(<Tabs label={`Views of the ${kind.one}`} tabs={tabs} chosen={view} onChoose={setView} />)}
      {locked === undefined && (changed || seen === null) && (
        <SaveBar {...props} why={why} isNew={seen === null} />
      )}
      <LeaveGuard active={changed && !saving} what={seen === null ? `the new ${kind.one}` : `this ${kind.one}`} />
    </form>
  );
}

interface OtherProblemsProps {
  problems: Placed;
  failure: Explained | null;
  /** Whether the fields with their problems are out of sight. */
  hidden: boolean;
}

/** What is wrong and has no field, or none that can be seen. */
function OtherProblems({ problems, failure, hidden }: OtherProblemsProps) {
  const texts = useMemo(() => {
    const ofFields: CodeProblem[] = hidden ? [...problems.at.values()].flat() : [];
    return [...problems.others, ...ofFields.map(({ text }) => text)];
  }, [problems, hidden]);
  return (
    <>
      {failure !== null && <Problem error={failure} />}
      {texts.length > 0 && <Problem error={{ text: texts.join(" "), retryAfter: null }} />}
      {problems.at.size > 0 && !hidden && (
        <p className="visually-hidden" role="alert">
          It is not saved: {problems.at.size === 1 ? "a field is" : `${problems.at.size} fields are`} wrong.
        </p>
      )}
    </>
  );
}

function SaveBar({ kind, changed, saving, discard, why, isNew }: EditorProps & { why: string | null; isNew: boolean }) {
  return (
    <div className="save-bar">
      <p role="status">{why ?? (isNew ? `A new ${kind.one}` : "Unsaved changes")}</p>
      <button type="button" className="button" disabled={saving} onClick={discard}>
        {isNew ? "Cancel" : "Discard"}
      </button>
      <button type="submit" className="button button-primary" disabled={saving || why !== null || !(changed || isNew)}>
        {saving ? "Saving\u2026" : isNew ? `Create ${kind.one}` : "Save"}
      </button>
    </div>
  );
}
