// A value that is written and never shown again: what is there is replaced, or kept.
import { useState } from "react";
import { Field, TextField } from "../../ui/fields";

interface HiddenFieldProps {
  label: string;
  hint?: string;
  problem: string | undefined;
  locked: string | undefined;
  /** Whether the server has one. */
  set: boolean;
  /** What was typed here, and nothing else. */
  value: string;
  onChange(value: string): void;
  /** Whether it may have several lines: keys have. */
  multiline: boolean;
}

/** Says that there is a value; a button opens the field for another one. */
export function HiddenField(props: HiddenFieldProps) {
  const { label, problem, locked, set, value, onChange, multiline } = props;
  const [replacing, setReplacing] = useState(false);
  const [shown, setShown] = useState(false);
  if (set && !replacing && value === "") {
    return (
      <div className="field">
        <span className="field-label">{label}</span>
        <p className="hidden-value">
          <span className="hint">There is one. It is never shown.</span>
          {locked === undefined && (
            <button type="button" className="button button-small" onClick={() => setReplacing(true)}>
              Replace
            </button>
          )}
        </p>
      </div>
    );
  }
  const keep = () => {
    onChange("");
    setReplacing(false);
    setShown(false);
  };
  return (
    <div className="hidden-field">
      {multiline ? (
        <Field label={label} problem={problem} hint="It is sealed when it is stored. May have several lines.">
          {(wiring) => (
            <textarea
              {...wiring}
              className={shown ? "input input-mono" : "input input-mono masked"}
              rows={3}
              value={value}
              autoFocus={replacing}
              readOnly={locked !== undefined}
              autoComplete="off"
              spellCheck={false}
              onChange={(event) => onChange(event.target.value)}
            />
          )}
        </Field>
      ) : (
        <TextField
          label={label}
          problem={problem}
          locked={locked}
          hint="It is sealed when it is stored."
          type={shown ? "text" : "password"}
          autoComplete="new-password"
          value={value}
          onChange={onChange}
        />
      )}
      <p className="actions">
        <button type="button" className="link" aria-pressed={shown} onClick={() => setShown(!shown)}>
          {shown ? "Hide what I type" : "Show what I type"}
        </button>
        {set && (
          <button type="button" className="link" onClick={keep}>
            Keep the one that is there
          </button>
        )}
      </p>
    </div>
  );
}
