// The templates of a boot environment, stage or task: each a text of its own, one of the shared templates, or a link.
import { useState } from "react";
import { CodeEditor, type CodeProblem } from "../../ui/CodeEditor";
import { SelectField, TextField } from "../../ui/fields";
import { CloseIcon, PlusIcon } from "../../ui/icons";
import { useObjects } from "../api";
import { isList, isObj, textAt, withValue, type Json, type Obj } from "../json";
import { TEMPLATES } from "../kinds/boot";
import { movedItem } from "../order";
import { Mover } from "./Mover";

interface TemplatesFieldProps {
  label: string;
  hint?: string;
  locked: string | undefined;
  problems: readonly CodeProblem[];
  /** Whether each needs a path. */
  pathNeeded: boolean;
  value: Json | undefined;
  onChange(value: Json): void;
}

const BLANK: Obj = { Name: "", Path: "", ID: "", Contents: "", Link: "", Meta: {}, StartDelimiter: "", EndDelimiter: "" };

/** All of them, in their order. */
export function TemplatesField({ label, locked, problems, pathNeeded, value, onChange }: TemplatesFieldProps) {
  const infos = isList(value) ? value.filter(isObj) : [];
  const put = (index: number, info: Obj) => onChange(infos.map((each, at) => (at === index ? info : each)));
  return (
    <div className="templates" role="group" aria-label={label}>
      {infos.length === 0 && <p className="none">None</p>}
      {infos.map((info, index) => (
        <TemplateCard
          key={index}
          info={info}
          place={index + 1}
          pathNeeded={pathNeeded}
          locked={locked}
          set={(field, text) => put(index, withValue(info, field, text))}
          acts={
            <>
              <Mover
                of={textAt(info, "Name") || `template ${index + 1}`}
                first={index === 0}
                last={index === infos.length - 1}
                move={(step) => {
                  const next = movedItem(infos, index, step);
                  if (next !== null) onChange(next);
                }}
              />
              <button
                type="button"
                className="button button-icon"
                aria-label={`Remove ${textAt(info, "Name") || `template ${index + 1}`}`}
                onClick={() => onChange(infos.filter((_, at) => at !== index))}
              >
                <CloseIcon />
              </button>
            </>
          }
        />
      ))}
      {problems.map(({ text }, index) => (
        <p key={index} className="field-problem" role="alert">
          {text}
        </p>
      ))}
      {locked === undefined && (
        <p>
          <button type="button" className="button button-small" onClick={() => onChange([...infos, BLANK])}>
            <PlusIcon />
            Add template
          </button>
        </p>
      )}
    </div>
  );
}

type Way = "Contents" | "ID" | "Link";
const WAYS = [
  { value: "Contents", name: "A text here" },
  { value: "ID", name: "A shared template" },
  { value: "Link", name: "A file by URL" },
] as const;

interface TemplateCardProps {
  info: Obj;
  place: number;
  pathNeeded: boolean;
  locked: string | undefined;
  /** Nothing takes it away. */
  set(field: string[], text: string | undefined): void;
  acts: React.ReactNode;
}

function TemplateCard({ info, place, pathNeeded, locked, set, acts }: TemplateCardProps) {
  const [chosen, setWay] = useState<Way | null>(null);
  // What is there says it; what was chosen counts only while nothing is there.
  const way = WAYS.find(({ value }) => textAt(info, value) !== "")?.value ?? chosen ?? "Contents";
  const choose = (value: string) => {
    const next = WAYS.find((each) => each.value === value)?.value;
    if (next === undefined) return;
    // One of the three at most: what was there goes with its way.
    set([way], "");
    setWay(next);
  };
  const name = textAt(info, "Name");
  return (
    <fieldset className="template-card">
      <legend className="visually-hidden">Template {name || place}</legend>
      {locked === undefined && <span className="ordered-acts">{acts}</span>}
      <div className="form-row">
        <TextField label="Name" value={name} locked={locked} required onChange={(text) => set(["Name"], text)} />
        <TextField
          label="Path"
          mono
          value={textAt(info, "Path")}
          locked={locked}
          required={pathNeeded}
          {...(pathNeeded ? {} : { placeholder: "none: a script that is run" })}
          onChange={(text) => set(["Path"], text)}
        />
        {!pathNeeded && (
          <TextField
            label="Operating systems"
            value={textAt(info, "Meta", "OS")}
            locked={locked}
            placeholder="any, or linux, windows"
            onChange={(text) => set(["Meta", "OS"], text === "" ? undefined : text)}
          />
        )}
        <SelectField label="Comes from" value={way} choices={WAYS} locked={locked} onChange={choose} />
      </div>
      {way === "Contents" && (
        <CodeEditor
          label={`Text of ${name || `template ${place}`}`}
          labelShown={false}
          value={textAt(info, "Contents")}
          locked={locked}
          lines={{ min: 3, max: 24 }}
          onChange={(text) => set(["Contents"], text)}
        />
      )}
      {way === "ID" && <Shared value={textAt(info, "ID")} locked={locked} onChange={(text) => set(["ID"], text)} />}
      {way === "Link" && (
        <TextField label="URL" mono value={textAt(info, "Link")} locked={locked} onChange={(text) => set(["Link"], text)} />
      )}
    </fieldset>
  );
}

function Shared({ value, locked, onChange }: { value: string; locked: string | undefined; onChange(value: string): void }) {
  const all = useObjects(TEMPLATES);
  const known = all.data?.map((template) => textAt(template, "ID")) ?? [value].filter(Boolean);
  return <SelectField label="Template" value={value} locked={locked} choices={known.map((each) => ({ value: each }))} onChange={onChange} />;
}
