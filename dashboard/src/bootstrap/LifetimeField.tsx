// How long a bootstrap token lives, for both methods that make one.

const DAY = 86_400;

/** The lifetimes there are, as `protocol/src/rest/token.rs` has them. */
const LIFETIMES: readonly { seconds: number; label: string }[] = [
  { seconds: 600, label: "10 minutes" },
  { seconds: DAY, label: "1 day" },
  { seconds: 7 * DAY, label: "7 days" },
  { seconds: 30 * DAY, label: "30 days" },
  { seconds: 90 * DAY, label: "90 days" },
  { seconds: 365 * DAY, label: "365 days" },
];

/** The Token Lifetime menu. */
export function LifetimeField({ lifetime, change }: { lifetime: number; change(seconds: number): void }) {
  return (
    <label className="field">
      <span>Token Lifetime</span>
      <select
        className="input"
        name="token-lifetime"
        value={lifetime}
        onChange={(event) => change(Number(event.target.value))}
      >
        {LIFETIMES.map(({ seconds, label }) => (
          <option key={seconds} value={seconds}>
            {label}
          </option>
        ))}
      </select>
    </label>
  );
}
