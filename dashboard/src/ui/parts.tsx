// Small pieces that several pages share.
import { useEffect, useState, type ReactNode } from "react";
import { ageLabel, ageWords, clock, isOnline, secondsSince, type Presence } from "../age";
import type { Explained } from "../explain";
import { useCountdown } from "../time";
import type { Machine, ProvisionState } from "../wire";
import { CheckIcon, CopyIcon, WarningIcon } from "./icons";

/** The coloured dot, with the age of the last heartbeat when the machine is offline. */
export function Liveness({ machine, now }: { machine: Presence; now: number }) {
  if (isOnline(machine, now)) return <span className="dot dot-online" role="img" aria-label="Online" title="Online" />;
  const age = secondsSince(machine.LastSeenAt, now);
  const words = age === null ? "Offline, never seen" : `Offline, last seen ${ageWords(age)} ago`;
  return <span className="dot dot-offline" role="img" aria-label={words} title={words} />;
}

/** How long ago an offline machine was last seen: `4d`. */
export function Age({ machine, now }: { machine: Presence; now: number }) {
  if (isOnline(machine, now)) return null;
  const age = secondsSince(machine.LastSeenAt, now);
  return (
    <span className="age" aria-hidden="true">
      {age === null ? "never" : ageLabel(age)}
    </span>
  );
}

/** What a machine's agent and settings say about it. */
export function Badges({ machine }: { machine: Pick<Machine, "Ebpf" | "PendingChanges"> }) {
  return (
    <>
      {machine.Ebpf && (
        <span className="badge" title="The kernel offers BTF and the bpf system call">
          eBPF
        </span>
      )}
      {machine.PendingChanges && (
        <span className="badge badge-pending" title="Settings differ from the last completed run">
          Pending changes
        </span>
      )}
    </>
  );
}

const STATE_CLASS: Record<ProvisionState, string> = {
  "Discovery mode": "discovery",
  "Install pending": "pending",
  Installing: "installing",
  Installed: "installed",
  Failed: "failed",
};

/** The Provision column. */
export function Provision({ state }: { state: ProvisionState }) {
  return <span className={`state state-${STATE_CLASS[state]}`}>{state}</span>;
}

interface ProblemProps {
  error: Explained;
  /** Another try, offered when the wait is over. */
  again?: { label: string; act(): void };
  children?: ReactNode;
}

/** An error with its remedy; counts down when the server named a wait. */
export function Problem({ error, again, children }: ProblemProps) {
  const left = useCountdown(error);
  return (
    <div className="note note-problem" role="alert">
      <WarningIcon />
      <div>
        <p>{error.text}</p>
        {error.retryAfter !== null && (
          <p aria-live="off">{left > 0 ? `Try again in ${clock(left)}.` : "You can try again now."}</p>
        )}
        {again !== undefined && (
          <p className="actions">
            <button type="button" className="button button-small" disabled={left > 0} onClick={again.act}>
              {again.label}
            </button>
          </p>
        )}
        {children}
      </div>
    </div>
  );
}

/** Copies a text; says so, or says how to do it by hand. */
export function CopyButton({ text, label = "Copy" }: { text: string; label?: string }) {
  const [state, setState] = useState<"idle" | "copied" | "refused">("idle");
  useEffect(() => {
    if (state === "idle") return undefined;
    const timer = setTimeout(() => setState("idle"), 2_500);
    return () => clearTimeout(timer);
  }, [state]);
  const copy = () => {
    navigator.clipboard.writeText(text).then(
      () => setState("copied"),
      () => setState("refused"),
    );
  };
  return (
    <button type="button" className="button button-small" onClick={copy}>
      {state === "copied" ? <CheckIcon /> : <CopyIcon />}
      <span aria-live="polite">
        {state === "idle" ? label : state === "copied" ? "Copied" : "Not allowed: select and copy"}
      </span>
    </button>
  );
}

/** A text to copy as it stands. */
export function CopyText({ text, label, name }: { text: string; label?: string; name: string }) {
  return (
    <div className="copy-text">
      <pre tabIndex={0} aria-label={name}>
        {text}
      </pre>
      <CopyButton text={text} {...(label === undefined ? {} : { label })} />
    </div>
  );
}

/** A label and its value; nothing when there is no value. */
export function Fact({ name, children }: { name: string; children: ReactNode }) {
  if (children === "" || children === null || children === false) return null;
  return (
    <div className="fact">
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

/** An empty cell. */
export function Nothing() {
  return (
    <span className="none">
      <span aria-hidden="true">&ndash;</span>
      <span className="visually-hidden">None</span>
    </span>
  );
}

/** Says that something is under way. */
export function Loading({ what }: { what: string }) {
  return (
    <p className="loading" role="status">
      <span className="spinner" aria-hidden="true" />
      {what}
    </p>
  );
}
