// Fields of forms: a label, what may be entered, a hint, and what is wrong with it.
import { useId, type ReactNode } from "react";
import "../styles/fields.css";

interface FieldProps {
  label: string;
  /** What belongs here, in a sentence. */
  hint?: ReactNode;
  /** What is wrong with the value: shown at the field and read out with it. */
  problem?: string | undefined;
  /** Why it cannot be changed. */
  locked?: string | undefined;
  required?: boolean;
}

interface Wiring {
  id: string;
  "aria-describedby"?: string;
  "aria-invalid"?: true;
}

interface FieldFrameProps extends FieldProps {
  /** Whether the control is made of several, and has its name by itself. */
  group?: boolean;
  children(wiring: Wiring): ReactNode;
}

/** A label, a control, its hint and its problem, tied together for screen readers. */
export function Field({ label, hint, problem, locked, required, group = false, children }: FieldFrameProps) {
  const id = useId();
  const described = [hint === undefined ? "" : `${id}-hint`, problem === undefined ? "" : `${id}-problem`].filter(Boolean);
  return (
    <div className="field">
      {group ? (
        <span className="field-label">{label}</span>
      ) : (
        <label htmlFor={id} className="field-label">
          {label}
          {required === true && locked === undefined && <span className="field-needed">required</span>}
        </label>
      )}
      {children({
        id,
        ...(described.length === 0 ? {} : { "aria-describedby": described.join(" ") }),
        ...(problem === undefined ? {} : { "aria-invalid": true }),
      })}
      {problem !== undefined && (
        <p className="field-problem" id={`${id}-problem`}>
          {problem}
        </p>
      )}
      {hint !== undefined && (
        <p className="field-hint" id={`${id}-hint`}>
          {hint}
        </p>
      )}
    </div>
  );
}

interface TextFieldProps extends FieldProps {
  value: string;
  onChange(value: string): void;
  type?: "text" | "password" | "url" | "search";
  placeholder?: string;
  /** For names, addresses and the like: letters of one width. */
  mono?: boolean;
  /** Several lines; how many are shown. */
  lines?: number;
  /** Values to choose from; others may be typed. */
  choices?: readonly string[];
  autoComplete?: string;
}

/** A text, in one line or several. */
export function TextField(props: TextFieldProps) {
  const { value, onChange, type = "text", placeholder, mono, lines, choices, locked, autoComplete = "off" } = props;
  return (
    <Field {...props}>
      {(wiring) => {
        const shared = {
          ...wiring,
          className: mono === true ? "input input-mono" : "input",
          value,
          readOnly: locked !== undefined,
          title: locked,
          placeholder,
          required: props.required,
          autoComplete,
          autoCapitalize: "off",
          spellCheck: false,
        };
        if (lines !== undefined) {
          return <textarea {...shared} rows={lines} onChange={(event) => onChange(event.target.value)} />;
        }
        return (
          <>
            <input
              {...shared}
              type={type}
              {...(choices === undefined ? {} : { list: `${wiring.id}-choices` })}
              onChange={(event) => onChange(event.target.value)}
            />
            {choices !== undefined && (
              <datalist id={`${wiring.id}-choices`}>
                {choices.map((choice) => (
                  <option key={choice} value={choice} />
                ))}
              </datalist>
            )}
          </>
        );
      }}
    </Field>
  );
}

interface NumberFieldProps extends FieldProps {
  value: number | null;
  /** Null while the field is empty. */
  onChange(value: number | null): void;
  min?: number;
  max?: number;
  /** What counts while the field is empty. */
  placeholder?: string;
}

/** A whole number. */
export function NumberField(props: NumberFieldProps) {
  const { value, onChange, min, max, placeholder, locked } = props;
  return (
    <Field {...props}>
      {(wiring) => (
        <input
          {...wiring}
          className="input input-number"
          type="number"
          step={1}
          value={value ?? ""}
          min={min}
          max={max}
          placeholder={placeholder}
          readOnly={locked !== undefined}
          title={locked}
          required={props.required}
          onChange={(event) => onChange(event.target.value === "" ? null : Math.trunc(event.target.valueAsNumber))}
        />
      )}
    </Field>
  );
}

/** One of a select's values. */
export interface Choice {
  value: string;
  /** What it is called, when not by its value. */
  name?: string;
}

interface SelectFieldProps extends FieldProps {
  value: string;
  onChange(value: string): void;
  choices: readonly Choice[];
  /** What the empty value means: `None`, `The preference's`. Without it there is none. */
  empty?: string;
}

/** One of several. A value that is not among them stays, and is said to be missing. */
export function SelectField(props: SelectFieldProps) {
  const { value, onChange, choices, empty, locked } = props;
  const known = choices.some((choice) => choice.value === value);
  const none = empty ?? (value === "" && !known ? "Choose\u2026" : null);
  return (
    <Field {...props}>
      {(wiring) => (
        <select
          {...wiring}
          className="input"
          value={value}
          disabled={locked !== undefined}
          title={locked}
          onChange={(event) => onChange(event.target.value)}
        >
          {none !== null && <option value="">{none}</option>}
          {!known && value !== "" && <option value={value}>{value} (not there)</option>}
          {choices.map((choice) => (
            <option key={choice.value} value={choice.value}>
              {choice.name ?? choice.value}
            </option>
          ))}
        </select>
      )}
    </Field>
  );
}

interface ToggleProps {
  label: string;
  /** What it does when it is on. */
  hint?: ReactNode;
  value: boolean;
  onChange(value: boolean): void;
  locked?: string | undefined;
}

/** On or off. */
export function Toggle({ label, hint, value, onChange, locked }: ToggleProps) {
  const id = useId();
  return (
    <div className="toggle">
      <button
        type="button"
        role="switch"
        id={id}
        className="toggle-switch"
        aria-checked={value}
        aria-labelledby={`${id}-label`}
        {...(hint === undefined ? {} : { "aria-describedby": `${id}-hint` })}
        disabled={locked !== undefined}
        title={locked}
        onClick={() => onChange(!value)}
      />
      <div>
        <label id={`${id}-label`} htmlFor={id}>
          {label}
        </label>
        {hint !== undefined && (
          <p className="field-hint" id={`${id}-hint`}>
            {hint}
          </p>
        )}
      </div>
    </div>
  );
}
