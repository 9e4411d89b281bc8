// One action for many machines: what it means, what to choose, how far it is, and what came of each.
import { useEffect, useRef, useState } from "react";
import { explain } from "../explain";
import { MeshSelect } from "../meshes/MeshSelect";
import { isRole } from "../objects/roles";
import { TypedWord } from "../ui/ConfirmDialog";
import { Modal } from "../ui/Modal";
import { Tags } from "../ui/Tags";
import { useProfiles } from "./detail/api";
import { runAll, tally, type Result, type Target } from "./bulk";
import type { BulkAct, Choices } from "./bulkActs";

interface BulkDialogProps {
  act: BulkAct;
  targets: readonly Target[];
  close(): void;
  /** Hears which machines it is done with. */
  done(targets: readonly Target[]): void;
}

type Step = "asking" | "running" | "over";

const NONE: Choices = { addRoles: [], removeRoles: [], mesh: "" };

/** The dialog. */
export function BulkDialog({ act, targets, close, done }: BulkDialogProps) {
  // Those of the beginning: the selection shrinks as machines are done.
  const [all] = useState(targets);
  const [step, setStep] = useState<Step>("asking");
  const [choices, setChoices] = useState(NONE);
  const work = useBulk();
  const begin = async (some: readonly Target[]) => {
    setStep("running");
    const finished = await work.start(some, (target) => act.run(target, choices));
    done(finished);
    setStep("over");
  };
  const title = `${act.name.replace("\u2026", "")}: ${count(all.length)}`;
  const begun = all.filter(({ Uuid }) => work.results.has(Uuid));
  const failed = all.filter(({ Uuid }) => work.results.get(Uuid)?.state === "failed");
  return (
    <Modal open onOpenChange={(open) => !open && step !== "running" && close()} title={title} description={act.means}>
      {step === "asking" ? (
        <Asking act={act} targets={all} choices={choices} choose={setChoices} begin={(some) => void begin(some)} close={close} />
      ) : (
        <>
          <Progress results={work.results} total={begun.length} over={step === "over"} />
          <ResultList act={act} targets={begun} results={work.results} />
          <div className="modal-actions">
            {step === "running" ? (
              <button type="button" className="button" onClick={work.stop}>
                Stop
              </button>
            ) : (
              <>
                {failed.length > 0 && (
                  <button type="button" className="button" onClick={() => void begin(failed)}>
                    Try the {failed.length === 1 ? "one" : failed.length} that failed again
                  </button>
                )}
                <button type="button" className="button button-primary" onClick={close}>
                  Close
                </button>
              </>
            )}
          </div>
        </>
      )}
    </Modal>
  );
}

function count(machines: number): string {
  return machines === 1 ? "1 machine" : `${machines} machines`;
}

/** The results of a run, as they come. */
function useBulk() {
  const [results, setResults] = useState<ReadonlyMap<string, Result>>(new Map());
  const stopper = useRef(new AbortController());
  useEffect(() => () => stopper.current.abort(), []);
  const start = async (targets: readonly Target[], act: (target: Target) => Promise<string | undefined>) => {
    stopper.current = new AbortController();
    const finished: Target[] = [];
    setResults((known) => new Map([...known, ...targets.map(({ Uuid }): [string, Result] => [Uuid, { state: "waiting" }])]));
    await runAll(
      targets,
      act,
      (error) => whyNot(error),
      (target, result) => {
        if (result.state === "done") finished.push(target);
        setResults((known) => new Map(known).set(target.Uuid, result));
      },
      stopper.current.signal,
    );
    return finished;
  };
  return { results, start, stop: () => stopper.current.abort() };
}

function whyNot(error: unknown): string {
  // A plan that says why it cannot be is no failed call.
  return error instanceof Error && error.name === "Error" ? error.message : explain(error, "change").text;
}

interface AskingProps {
  act: BulkAct;
  targets: readonly Target[];
  choices: Choices;
  choose(choices: Choices): void;
  begin(targets: readonly Target[]): void;
  close(): void;
}

function Asking({ act, targets, choices, choose, begin, close }: AskingProps) {
  const [typed, setTyped] = useState("");
  const looked = usePreviews(act, targets);
  // Those that cannot be done are left out, and told why.
  const possible = targets.filter(({ Uuid }) => looked.results.get(Uuid)?.state !== "failed");
  const phrase = count(possible.length);
  const chosen = act.id !== "roles" || choices.addRoles.length + choices.removeRoles.length > 0;
  const ready = chosen && looked.over && possible.length > 0 && (!act.typed || typed.trim() === phrase);
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        if (ready) begin(possible);
      }}
    >
      {act.id === "roles" && <RoleChoices choices={choices} choose={choose} />}
      {act.id === "mesh" && (
        <MeshSelect label="Mesh network" value={choices.mesh} onChange={(mesh) => choose({ ...choices, mesh })} />
      )}
      <ResultList act={act} targets={targets} results={looked.results} />
      {possible.length < targets.length && looked.over && (
        <p role="status">{count(targets.length - possible.length)} cannot be done and will be left out.</p>
      )}
      {act.typed && looked.over && possible.length > 0 && <TypedWord text={phrase} what="how many they are" value={typed} onChange={setTyped} />}
      <div className="modal-actions">
        <button type="button" className="button" onClick={close}>
          Cancel
        </button>
        <button type="submit" className={`button ${act.danger ? "button-danger" : "button-primary"}`} disabled={!ready}>
          {looked.over ? act.label : "Looking at the disks\u2026"}
        </button>
      </div>
    </form>
  );
}

/** What would happen to each, where that can be looked at. */
function usePreviews(act: BulkAct, targets: readonly Target[]): { results: ReadonlyMap<string, Result>; over: boolean } {
  const { results, start } = useBulk();
  const [over, setOver] = useState(act.preview === undefined);
  useEffect(() => {
    if (act.preview === undefined) return;
    void start(targets, act.preview).then(() => setOver(true));
    // Once, when the dialog opens.
  }, []);
  return { results, over };
}

function RoleChoices({ choices, choose }: { choices: Choices; choose(choices: Choices): void }) {
  const profiles = useProfiles();
  const options = (profiles.data ?? []).filter(isRole).map(({ Name }) => ({ value: Name }));
  return (
    <>
      <p className="field-label">Give</p>
      <Tags
        label="Roles to give"
        one="role to give"
        values={choices.addRoles}
        options={options.filter(({ value }) => !choices.removeRoles.includes(value))}
        onChange={(addRoles) => choose({ ...choices, addRoles })}
      />
      <p className="field-label">Take away</p>
      <Tags
        label="Roles to take away"
        one="role to take away"
        values={choices.removeRoles}
        options={options.filter(({ value }) => !choices.addRoles.includes(value))}
        onChange={(removeRoles) => choose({ ...choices, removeRoles })}
      />
    </>
  );
}

function Progress({ results, total, over }: { results: ReadonlyMap<string, Result>; total: number; over: boolean }) {
  const { done, failed, skipped } = tally(results.values());
  const said = [`${done} of ${total} done`, failed > 0 ? `${failed} failed` : "", skipped > 0 ? `${skipped} not begun` : ""];
  return (
    <>
      <progress className="bulk-progress" max={total} value={done + failed + skipped} aria-label="How far it is" />
      <p role="status">
        {said.filter((part) => part !== "").join(", ")}
        {over ? "." : "\u2026"}
      </p>
    </>
  );
}

interface ResultListProps {
  act: BulkAct;
  targets: readonly Target[];
  results: ReadonlyMap<string, Result>;
}

function ResultList({ act, targets, results }: ResultListProps) {
  return (
    <ul className="bulk-results" aria-label="Machines" tabIndex={0}>
      {targets.map(({ Uuid, Name }) => {
        const result = results.get(Uuid);
        return (
          <li key={Uuid} data-state={result?.state ?? "none"}>
            <strong>{Name}</strong>
            <span>{result === undefined ? "" : inWords(result, act)}</span>
          </li>
        );
      })}
    </ul>
  );
}

function inWords(result: Result, act: BulkAct): string {
  switch (result.state) {
    case "waiting":
      return "Waiting";
    case "running":
      return `${act.doing}\u2026`;
    case "done":
      return result.note ?? "Done";
    case "failed":
      return result.why;
    case "skipped":
      return "Not begun";
  }
}
