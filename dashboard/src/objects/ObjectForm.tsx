// The form of an object, made from its kind's description.
import type { CodeProblem } from "../ui/CodeEditor";
import { Field, NumberField, SelectField, TextField, Toggle } from "../ui/fields";
import { Tags } from "../ui/Tags";
import { useObjects } from "./api";
import { HiddenField } from "./fields/HiddenField";
import { JsonField } from "./fields/JsonField";
import { ListField } from "./fields/ListField";
import { ParamsField } from "./fields/ParamsField";
import { TemplatesField } from "./fields/TemplatesField";
import { WordedEditor } from "./fields/WordedEditor";
import { flagAt, isObj, textAt, textsAt, valueAt, type Json, type Obj, type Path } from "./json";
import { keyOf, type FieldSpec, type KindName, type KindSpec } from "./kind";
import { KINDS } from "./kinds";
import { at } from "../api";

interface ObjectFormProps {
  kind: KindSpec;
  /** As it is to be. */
  object: Obj;
  /** As the server has it; nothing as yet for a new one. */
  seen: Obj | null;
  problems: ReadonlyMap<string, readonly CodeProblem[]>;
  /** Why nothing can be changed. */
  locked: string | undefined;
  set(path: Path, value: Json | undefined): void;
}

/** Name and description, and what else the kind has. */
export function ObjectForm({ kind, object, seen, problems, locked, set }: ObjectFormProps) {
  const shared = { kind, object, seen, problems, locked, set };
  const named: FieldSpec = { at: [kind.key], label: "Name", as: "text", required: true };
  const fixed = locked ?? (seen === null ? undefined : "A name cannot be changed. Clone it to have it under another one.");
  return (
    <div className="object-form">
      <section className="form-group">
        <FormField {...shared} spec={named} locked={fixed} />
        <FormField {...shared} spec={{ at: ["Description"], label: "Description", as: "text", hint: "One line for people." }} />
      </section>
      {kind.groups.map(({ title, note, fields }, index) => (
        <section key={index} className="form-group">
          {title !== undefined && <h2>{title}</h2>}
          {note !== undefined && <p className="hint">{note}</p>}
          {fields.map((spec) => (
            <FormField key={spec.at.join("/") + spec.as} {...shared} spec={spec} />
          ))}
        </section>
      ))}
    </div>
  );
}

type FormFieldProps = ObjectFormProps & { spec: FieldSpec };

function FormField({ kind, object, seen, spec, problems, locked, set }: FormFieldProps) {
  const { at: path, label } = spec;
  const found = problems.get(path.join("/")) ?? [];
  const problem = found.length === 0 ? undefined : found.map(({ text }) => text).join(" ");
  const base = { label, locked, problem, ...(spec.hint === undefined ? {} : { hint: spec.hint }) };
  const text = textAt(object, ...path);
  // A param that is empty is one that is not set.
  const change = (value: Json) => set(path, value === "" && path.length > 1 && path[0] !== "OS" ? undefined : value);
  switch (spec.as) {
    case "text": {
      const { required, mono, lines, placeholder } = spec;
      return <TextField {...base} {...given({ required, mono, lines, placeholder })} value={text} onChange={change} />;
    }
    case "hidden":
      return (
        <HiddenField
          {...base}
          value={text}
          onChange={change}
          set={seen !== null && flagAt(seen, spec.has)}
          multiline={spec.multiline === true}
        />
      );
    case "number": {
      const value = valueAt(object, path);
      const { min, max } = spec;
      return (
        <NumberField
          {...base}
          {...given({ min, max, placeholder: spec.none })}
          value={typeof value === "number" ? value : null}
          onChange={(number) => set(path, number ?? (spec.none === undefined ? 0 : undefined))}
        />
      );
    }
    case "toggle":
      return <Toggle {...base} value={flagAt(object, ...path)} onChange={(value) => set(path, value)} />;
    case "select":
      return <SelectField {...base} choices={spec.choices} value={text} onChange={change} />;
    case "one":
      return <OneField {...base} kind={spec.kind} empty={spec.empty} value={text} onChange={change} />;
    case "some":
      return (
        <SomeField
          {...base}
          kind={spec.kind}
          one={spec.one}
          free={spec.free === true}
          values={textsAt(object, ...path)}
          but={kind.name === spec.kind ? keyOf(kind, object) : ""}
          onChange={(values) => set(path, values)}
        />
      );
    case "list":
      return (
        <ListField
          {...base}
          one={spec.one}
          kind={spec.kind === undefined ? null : KINDS[spec.kind]}
          values={textsAt(object, ...path)}
          onChange={(values) => set(path, values)}
        />
      );
    case "code":
      return <WordedEditor {...base} spec={spec} problems={found} value={text} onChange={change} />;
    case "json":
      return (
        <JsonField {...base} value={valueAt(object, path)} lines={spec.lines ?? 10} onChange={(value) => set(path, value)} />
      );
    case "templates":
      return (
        <TemplatesField
          {...base}
          problems={found}
          pathNeeded={spec.pathNeeded}
          value={valueAt(object, path)}
          onChange={(value) => set(path, value)}
        />
      );
    case "own": {
      const Own = spec.field;
      return <Own value={valueAt(object, path)} object={object} seen={seen} problem={problem} locked={locked} onChange={(value) => set(path, value)} />;
    }
    case "params": {
      const params = valueAt(object, path);
      return (
        <ParamsField
          {...base}
          params={isObj(params) ? params : {}}
          but={spec.but ?? []}
          set={(name, value) => set([...path, name], value)}
        />
      );
    }
  }
}

/** Only what is there: absent and undefined are not the same to React's types. */
function given<T extends object>(values: T): { [Name in keyof T]?: Exclude<T[Name], undefined> } {
  const known: { [Name in keyof T]?: Exclude<T[Name], undefined> } = {};
  for (const name in values) {
    const value = values[name];
    if (isGiven(value)) known[name] = value;
  }
  return known;
}

function isGiven<T>(value: T): value is Exclude<T, undefined> {
  return value !== undefined;
}

interface Labelled {
  label: string;
  hint?: string;
  problem: string | undefined;
  locked: string | undefined;
}

interface OneFieldProps extends Labelled {
  kind: KindName;
  empty: string;
  value: string;
  onChange(value: string): void;
}

/** One object of a kind, or none. */
function OneField({ kind: name, ...rest }: OneFieldProps) {
  const kind = KINDS[name];
  const all = useObjects(kind);
  // Until the list is there, what is chosen is not said to be missing.
  const keys = all.data?.map((object) => keyOf(kind, object)) ?? [rest.value].filter(Boolean);
  return <SelectField {...rest} choices={keys.map((value) => ({ value }))} />;
}

interface SomeFieldProps extends Labelled {
  kind: KindName;
  one: string;
  free: boolean;
  values: readonly string[];
  /** An object that cannot be chosen: itself. */
  but: string;
  onChange(values: string[]): void;
}

/** Objects of a kind, in no order. */
function SomeField({ kind: name, one, free, values, but, label, hint, problem, locked, onChange }: SomeFieldProps) {
  const kind = KINDS[name];
  const all = useObjects(kind);
  const options = (all.data ?? [])
    .map((object) => keyOf(kind, object))
    .filter((value) => value !== but)
    .map((value) => ({ value, to: kind.path + at(value) }));
  return (
    <Field label={label} problem={problem} {...(hint === undefined ? {} : { hint })} group>
      {() => (
        <Tags
          label={label}
          one={one}
          values={values}
          options={options}
          free={free}
          onChange={onChange}
          {...(locked === undefined ? {} : { locked })}
        />
      )}
    </Field>
  );
}
