// The health check of a virtual address or route: what is tried, how often, and what decides.
import type { Json } from "../objects/json";
import type { OwnFieldProps } from "../objects/kind";
import { NumberField, SelectField, TextField } from "../ui/fields";
import { CHECKS, checkOf, moveWords, typeOf, USUAL, type Check } from "./words";

const NUMBERS = [
  { field: "Interval", label: "Interval, seconds", min: 1, max: 300 },
  { field: "Timeout", label: "Timeout, seconds", min: 1, max: 60 },
  { field: "HealthyThreshold", label: "Healthy after", min: 1, max: 100 },
  { field: "UnhealthyThreshold", label: "Unhealthy after", min: 1, max: 100 },
  { field: "Holdoff", label: "Hold off, seconds", min: 0, max: 3_600 },
] as const;

/** The fields of the check; those of its target depend on the type. */
export function CheckField({ value, problem, locked, onChange }: OwnFieldProps) {
  const check = checkOf(value);
  const type = CHECKS.find((each) => each.value === check.Type);
  const set = (part: Partial<Check>) => onChange({ ...check, ...part } satisfies Json);
  const of = (field: keyof Check) => problemOf(problem, field);
  return (
    <div className="check-field">
      <SelectField
        label="Health check"
        value={check.Type}
        locked={locked}
        problem={of("Type")}
        choices={CHECKS.map((each) => ({ value: each.value, name: each.name }))}
        onChange={(word) => set({ Type: typeOf(word), Target: "" })}
      />
      {type !== undefined && type.value !== "" && (
        <TextField
          label={type.target}
          mono
          required
          placeholder={type.placeholder}
          hint={type.hint}
          value={check.Target}
          locked={locked}
          problem={of("Target")}
          onChange={(Target) => set({ Target })}
        />
      )}
      <div className="form-row">
        {NUMBERS.map(({ field, label, min, max }) => (
          <NumberField
            key={field}
            label={label}
            min={min}
            max={max}
            value={check[field]}
            locked={locked}
            problem={of(field)}
            onChange={(number) => set({ [field]: number ?? USUAL[field] })}
          />
        ))}
      </div>
      <p className="hint" role="status">
        {moveWords(check)}
      </p>
    </div>
  );
}

/** A complaint names its field as `Check.Target`; one that names none is about the check as a whole. */
function problemOf(problem: string | undefined, field: keyof Check): string | undefined {
  if (problem === undefined) return undefined;
  const named = /\bCheck\.([A-Za-z]+)/u.exec(problem)?.[1] ?? "Type";
  return named === field ? problem : undefined;
}
