// Asking for a bootstrap token, in both methods that hand one out. The token is a secret: it lives in the method's
// component and nowhere else.
import { useState, type ReactNode } from "react";
import { useMutation } from "@tanstack/react-query";
import { api } from "../api";
import { when } from "../age";
import { explain } from "../explain";
import { Problem } from "../ui/parts";
import type { TokenCreate, TokenCreated } from "../wire";
import { asTerms, limitProblems, NO_LIMITS, type Limits } from "./limits";
import { TokenLimits } from "./TokenLimits";

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

/** A token's creation. Kept out of every cache (`gcTime` 0), and gone when the dialog closes. */
export function useTokenCreation() {
  return useMutation({ mutationFn: (token: TokenCreate) => api.createToken(token), gcTime: 0 });
}

interface TokenFormProps {
  creation: ReturnType<typeof useTokenCreation>;
  /** What is asked for beside the lifetime. */
  more?: Omit<TokenCreate, "Lifetime">;
  /** What the button generates. */
  what: string;
  children(token: TokenCreated): ReactNode;
}

/** The Token Lifetime menu, what else is agreed on, the button, and what comes of it. */
export function TokenForm({ creation, more, what, children }: TokenFormProps) {
  const [lifetime, setLifetime] = useState(600);
  const [limits, setLimits] = useState(NO_LIMITS);
  const problems = limitProblems(limits);
  const choose = (seconds: number) => {
    setLifetime(seconds);
    creation.reset();
  };
  const limit = (changed: Limits) => {
    setLimits(changed);
    creation.reset();
  };
  return (
    <>
      <div className="token-form">
        <LifetimeField lifetime={lifetime} change={choose} />
        <button
          type="button"
          className="button button-strong"
          disabled={creation.isPending || Object.keys(problems).length > 0}
          onClick={() => creation.mutate({ Lifetime: lifetime, ...asTerms(limits), ...more })}
        >
          {creation.isPending ? "Generating\u2026" : `Generate ${what}`}
        </button>
      </div>
      <TokenLimits limits={limits} problems={problems} change={limit} />
      {creation.error !== null && <Problem error={explain(creation.error, "token")} />}
      {creation.data !== undefined && (
        <>
          <p>
            It expires {when(creation.data.ExpiresAt, api.now())} and is not shown again once this
            dialog closes.
          </p>
          {children(creation.data)}
        </>
      )}
    </>
  );
}

function LifetimeField({ lifetime, change }: { lifetime: number; change(seconds: number): void }) {
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
