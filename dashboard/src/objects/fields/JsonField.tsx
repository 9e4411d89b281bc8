// A value of any shape, as JSON. What is no JSON is kept as a text and told, and changes nothing.
import { useState } from "react";
import { CodeEditor } from "../../ui/CodeEditor";
import { useFault } from "../faults";
import { pretty, same, type Json } from "../json";
import { readJson, readObject, type Read } from "../jsonText";

interface JsonFieldProps {
  label: string;
  hint?: string;
  problem?: string | undefined;
  locked: string | undefined;
  value: Json | undefined;
  lines: number;
  /** What it has to be; anything, when it is not said. */
  shape?: "object";
  /** Nothing, when the field is emptied. */
  onChange(value: Json | undefined): void;
}

/** The text and what it says; follows a value that others change. */
export function JsonField({ label, hint, problem, locked, value, lines, shape, onChange }: JsonFieldProps) {
  const [text, setText] = useState(() => written(value));
  const understand = (typed: string): Read<Json> | { value: undefined } =>
    shape === "object" ? readObject(typed) : typed.trim() === "" ? { value: undefined } : readJson(typed);
  const read = understand(text);
  const fault = "line" in read ? read : null;
  useFault(label, fault === null ? null : `${label}, line ${fault.line}: ${fault.text}`);
  if (fault === null && "value" in read && !same(read.value, value)) setText(written(value));
  const type = (next: string) => {
    setText(next);
    const said = understand(next);
    if ("value" in said) onChange(said.value);
  };
  return (
    <CodeEditor
      label={label}
      value={text}
      locked={locked}
      lines={{ min: lines, max: 24 }}
      problems={fault === null ? (problem === undefined ? [] : [{ text: problem }]) : [fault]}
      {...(hint === undefined ? {} : { hint })}
      onChange={type}
    />
  );
}

function written(value: Json | undefined): string {
  return value === undefined ? "" : pretty(value);
}
