// The value of one param.
import { NumberField, SelectField, TextField, Toggle } from "../../ui/fields";
import type { Json } from "../json";
import { entryOf } from "../params";
import { JsonField } from "./JsonField";

interface ParamValueProps {
  name: string;
  /** Its JSON Schema, or null. */
  schema: Json;
  /** What it is for. */
  note: string;
  value: Json;
  problem?: string | undefined;
  locked: string | undefined;
  onChange(value: Json): void;
}

/** A control that fits. */
export function ParamValue({ name, schema, note, value, problem, locked, onChange }: ParamValueProps) {
  const entry = entryOf(schema, value);
  const base = { label: `Value of ${name}`, locked, problem, ...(note === "" ? {} : { hint: note }) };
  switch (entry.as) {
    case "switch":
      return <Toggle {...base} value={value === true} onChange={onChange} />;
    case "whole":
      return (
        <NumberField
          {...base}
          {...(entry.min === undefined ? {} : { min: entry.min })}
          {...(entry.max === undefined ? {} : { max: entry.max })}
          value={typeof value === "number" ? value : null}
          onChange={(number) => onChange(number ?? 0)}
        />
      );
    case "choice":
      return (
        <SelectField {...base} choices={entry.choices.map((each) => ({ value: each }))} value={String(value)} onChange={onChange} />
      );
    case "text": {
      const text = String(value);
      return <TextField {...base} mono {...(text.includes("\n") || text.length > 80 ? { lines: 5 } : {})} value={text} onChange={onChange} />;
    }
    case "json":
      return <JsonField {...base} lines={4} value={value} onChange={(next) => onChange(next ?? null)} />;
  }
}
