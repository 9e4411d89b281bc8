// Whether a bootstrap token still registers machines, as a label.
import type { TokenState } from "./wire";

const WORDS: Record<TokenState, string> = { live: "Live", expired: "Expired", revoked: "Revoked", used_up: "Used up" };

/** The label. */
export function Stated({ state }: { state: TokenState }) {
  return <span className={state === "live" ? "label label-good" : "label"}>{WORDS[state]}</span>;
}
