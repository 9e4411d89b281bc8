// The tab Terminal: whether terminals are allowed on the machine, the terminal itself, and what was recorded.
import { useMutation } from "@tanstack/react-query";
import { lazy, Suspense, useState } from "react";
import { api } from "../api";
import { isOnline, when } from "../age";
import { explain } from "../explain";
import { oneLine } from "../foreign";
import type { TabProps } from "../machines/detail/wire";
import { useNow } from "../time";
import { Boundary } from "../ui/Boundary";
import { ConfirmDialog } from "../ui/ConfirmDialog";
import { Toggle } from "../ui/fields";
import { Loading, Problem } from "../ui/parts";
import { stopTerminal, switchTerminal, useRefresh, useTerminalState } from "./api";
import { Recordings } from "./Recordings";
import type { TerminalOpen, TerminalState } from "./wire";
import "../styles/terminal.css";

// xterm.js is fetched when a terminal is opened or a recording played.
const TerminalView = lazy(async () => ({ default: (await import("./TerminalView")).TerminalView }));

/** The tab. */
export function TerminalTab({ machine }: TabProps) {
  const state = useTerminalState(machine.Uuid);
  if (state.isPending) return <Loading what="Asking how the terminal stands" />;
  if (state.isError) {
    return <Problem error={explain(state.error, "load")} again={{ label: "Try again", act: () => void state.refetch() }} />;
  }
  return (
    <>
      <Switch machine={machine} state={state.data} />
      <Terminal machine={machine} state={state.data} />
      <Recordings machine={machine} />
    </>
  );
}

function Switch({ machine, state }: TabProps & { state: TerminalState }) {
  const now = useNow(60_000);
  const refresh = useRefresh(machine.Uuid);
  const change = useMutation({
    mutationFn: (enabled: boolean) => switchTerminal(machine.Uuid, enabled),
    onSettled: refresh,
  });
  const hint = state.Enabled
    ? `Allowed by ${oneLine(state.EnabledBy)}, ${when(state.EnabledAt, now)}. Whoever has the right machines:terminal may open one after entering the password. Everything that is shown is recorded.`
    : "Off, as for every machine until somebody allows it. A terminal is root's shell on the machine; it takes the right machines:terminal and your password, and everything that is shown is recorded.";
  return (
    <section className="card">
      <h2>Terminal</h2>
      <Toggle
        label={`Allow terminals on ${machine.Name}`}
        hint={hint}
        value={state.Enabled}
        onChange={(enabled) => change.mutate(enabled)}
        {...(change.isPending ? { locked: "being changed" } : {})}
      />
      {change.isError && <Problem error={explain(change.error, "change")} />}
    </section>
  );
}

function Terminal({ machine, state }: TabProps & { state: TerminalState }) {
  // Each opening is another terminal.
  const [opening, setOpening] = useState(0);
  const now = useNow(10_000);
  const refresh = useRefresh(machine.Uuid);
  if (opening > 0) {
    return (
      <Boundary key={opening} what="the terminal">
        <Suspense fallback={<Loading what="Fetching the terminal" />}>
          <TerminalView
            machine={machine.Uuid}
            name={machine.Name}
            proof={api.proof()}
            again={() => setOpening(opening + 1)}
            close={() => {
              setOpening(0);
              refresh();
            }}
          />
        </Suspense>
      </Boundary>
    );
  }
  if (!state.Enabled) return null;
  if (state.Open !== null) return <Taken machine={machine} open={state.Open} />;
  const online = isOnline(machine, now);
  return (
    <section className="card terminal-closed">
      {online ? (
        <p>The machine is online. Its agent brings root&rsquo;s shell as soon as it hears of it.</p>
      ) : (
        <p>The machine is offline: its agent must be heard of before a terminal can be opened.</p>
      )}
      <button type="button" className="button button-primary" disabled={!online} onClick={() => setOpening(1)}>
        Open a terminal
      </button>
    </section>
  );
}

function Taken({ machine, open }: TabProps & { open: TerminalOpen }) {
  const [asking, setAsking] = useState(false);
  const now = useNow(60_000);
  const refresh = useRefresh(machine.Uuid);
  return (
    <section className="card terminal-closed">
      <p>
        {oneLine(open.User)} has a terminal open since {when(open.OpenedAt, now)}, from{" "}
        <code>{open.Source}</code>. A machine has one at a time.
      </p>
      <button type="button" className="button button-danger" onClick={() => setAsking(true)}>
        End it
      </button>
      <ConfirmDialog
        open={asking}
        close={() => setAsking(false)}
        title={`End the terminal of ${oneLine(open.User)}?`}
        act={{ label: "End it", busy: "Ending it" }}
        run={() => stopTerminal(machine.Uuid).finally(refresh)}
        doing="change"
      >
        <p>Its shell hangs up, and what runs in front of it ends. What was shown so far is recorded.</p>
      </ConfirmDialog>
    </section>
  );
}
