// Terminals that were open on a machine, newest first: who, when, how they ended; each is played in place.
import { useMutation } from "@tanstack/react-query";
import { lazy, Suspense, useMemo, useState } from "react";
import { duration, when } from "../age";
import { asSentence, explain } from "../explain";
import { oneLine } from "../foreign";
import type { TabProps } from "../machines/detail/wire";
import { memorySize } from "../size";
import { useNow } from "../time";
import { Boundary } from "../ui/Boundary";
import { DataTable, type Column } from "../ui/DataTable";
import { Modal } from "../ui/Modal";
import { Loading, Problem } from "../ui/parts";
import { RowMenu } from "../ui/RowMenu";
import { recording, useTerminals } from "./api";
import type { TerminalKept } from "./wire";

const Player = lazy(async () => ({ default: (await import("./Player")).Player }));

/** The list. */
export function Recordings({ machine }: TabProps) {
  const kept = useTerminals(machine.Uuid);
  const [chosen, setChosen] = useState<TerminalKept | null>(null);
  const now = useNow(60_000);
  const columns = useMemo(() => columnsAt(now), [now]);
  const download = useMutation({ mutationFn: (terminal: TerminalKept) => save(terminal) });
  if (kept.isPending) return <Loading what="Fetching the recordings" />;
  if (kept.isError) {
    return <Problem error={explain(kept.error, "load")} again={{ label: "Try again", act: () => void kept.refetch() }} />;
  }
  const menu = (terminal: TerminalKept) => (
    <RowMenu
      of={`the terminal of ${oneLine(terminal.User)}`}
      acts={[
        { name: "Play", ...locked(terminal), act: () => setChosen(terminal) },
        { name: "Download", ...locked(terminal), act: () => download.mutate(terminal) },
      ]}
    />
  );
  return (
    <section className="card">
      <h2>Recordings</h2>
      {kept.data.length === 0 ? (
        <p>No terminal was opened on this machine in the last 90 days.</p>
      ) : (
        <DataTable caption="Terminals of this machine" things={kept.data} columns={columns} keyOf={(each) => each.Uuid} menu={menu} />
      )}
      {download.isError && <Problem error={explain(download.error, "load")} />}
      <Modal
        open={chosen !== null}
        onOpenChange={(open) => !open && setChosen(null)}
        title="Recording"
        description={chosen === null ? "" : `${oneLine(chosen.User)} on ${machine.Name}, ${when(chosen.OpenedAt, now)}`}
      >
        {chosen !== null && (
          <Boundary what="the recording">
            <Suspense fallback={<Loading what="Fetching the player" />}>
              <Player terminal={chosen.Uuid} />
            </Suspense>
          </Boundary>
        )}
      </Modal>
    </section>
  );
}

function locked(terminal: TerminalKept): { locked?: string } {
  return terminal.Recorded ? {} : { locked: "its recording was dropped" };
}

function columnsAt(now: number): Column<TerminalKept>[] {
  return [
    { id: "opened", name: "Opened", value: (each) => each.OpenedAt, cell: (each) => when(each.OpenedAt, now) },
    { id: "user", name: "By", value: (each) => oneLine(each.User) },
    { id: "source", name: "From", value: (each) => each.Source, cell: (each) => <code>{each.Source}</code> },
    { id: "seconds", name: "Lasted", value: (each) => each.Seconds, cell: (each) => (each.End === null ? "" : duration(each.Seconds)), width: "narrow" },
    { id: "bytes", name: "Shown", value: (each) => each.Bytes, cell: (each) => memorySize(each.Bytes), width: "narrow" },
    { id: "end", name: "Ended", value: (each) => ending(each), width: "wide" },
  ];
}

function ending(terminal: TerminalKept): string {
  return terminal.End === null ? "It is open." : asSentence(oneLine(terminal.Message));
}

async function save(terminal: TerminalKept): Promise<void> {
  const url = URL.createObjectURL(new Blob([await recording(terminal.Uuid)], { type: "application/x-asciicast" }));
  const link = document.createElement("a");
  link.href = url;
  link.download = `${terminal.Uuid}.cast`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
