// A new password, entered twice.
import { TextField } from "../ui/fields";

/** Shortest password the server takes, in characters. */
const SHORTEST = 12;

export interface NewPassword {
  password: string;
  again: string;
}

export const NO_PASSWORD: NewPassword = { password: "", again: "" };

/** Whether it may be sent. */
export function isWhole({ password, again }: NewPassword): boolean {
  return [...password].length >= SHORTEST && password === again;
}

/** The two fields. What is wrong is said once there is something to say it about. */
export function PasswordFields({ value, onChange }: { value: NewPassword; onChange(value: NewPassword): void }) {
  const { password, again } = value;
  const short = password !== "" && [...password].length < SHORTEST;
  return (
    <div className="form-two">
      <TextField
        label="New password"
        type="password"
        autoComplete="new-password"
        value={password}
        onChange={(next) => onChange({ ...value, password: next })}
        hint={`${SHORTEST} characters or more; length is the only rule.`}
        problem={short ? `It needs ${SHORTEST - [...password].length} more.` : undefined}
      />
      <TextField
        label="Once more"
        type="password"
        autoComplete="new-password"
        value={again}
        onChange={(next) => onChange({ ...value, again: next })}
        problem={again !== "" && again !== password ? "The two are not the same." : undefined}
      />
    </div>
  );
}
