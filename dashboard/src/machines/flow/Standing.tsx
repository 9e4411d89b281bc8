// Where the machine stands with its work, and what somebody can do about it: pause, run, begin again,
// another workflow or stage.
import { useEffect, useState } from "react";
import { Link } from "wouter";
import { at } from "../../api";
import { ConfirmDialog } from "../../ui/ConfirmDialog";
import { SelectField } from "../../ui/fields";
import type { MachineFull } from "../detail/wire";
import { SAID_IN_THE_CORNER, useChoices, useStep } from "./api";
import { Errors } from "./Errors";
import { standOf } from "./tasks";

const LOCKED = "The machine is locked: unlock it first.";

/** The card at the top of the tab. */
export function Standing({ machine }: { machine: MachineFull }) {
  const stand = standOf(machine);
  return (
    <section className={`card stand stand-${stand.tone}`} aria-labelledby="flow-stand">
      <div className="stand-words" aria-live="polite">
        <h2 id="flow-stand">
          <bdi>{stand.title}</bdi>
        </h2>
        {stand.text !== "" && <p>{stand.text}</p>}
        <Errors errors={stand.errors} />
        <Place machine={machine} />
      </div>
      <Acts machine={machine} failed={stand.tone === "bad"} />
      <Work machine={machine} />
    </section>
  );
}

/** Which workflow, stage and environment these are, as links. */
function Place({ machine }: { machine: MachineFull }) {
  const places = [
    { what: "Workflow", kind: "workflows", name: machine.Workflow },
    { what: "Stage", kind: "stages", name: machine.Stage },
    { what: "Boot environment", kind: "bootenvs", name: machine.BootEnv },
  ];
  return (
    <dl className="stand-place">
      {places.map(({ what, kind, name }) => (
        <div key={kind}>
          <dt>{what}</dt>
          <dd>{name === "" ? <span className="none">none</span> : <Link to={at(kind, name)}>{name}</Link>}</dd>
        </div>
      ))}
    </dl>
  );
}

/** Pause or run, and from the beginning. */
function Acts({ machine, failed }: { machine: MachineFull; failed: boolean }) {
  const step = useStep(machine);
  const [again, setAgain] = useState(false);
  const disabled = step.isPending || machine.Locked;
  const run = (runnable: boolean, said: string) => () =>
    step.mutate({ operations: [{ op: "replace", path: "/Runnable", value: runnable }], said }, SAID_IN_THE_CORNER);
  return (
    <div className="stand-acts">
      {machine.Runnable ? (
        <button
          type="button"
          className="button"
          disabled={disabled}
          title={machine.Locked ? LOCKED : "Finish the task that runs, and begin no other"}
          onClick={run(false, `${machine.Name} is paused: it begins no other task.`)}
        >
          Pause
        </button>
      ) : (
        <button
          type="button"
          className="button button-primary"
          disabled={disabled}
          title={machine.Locked ? LOCKED : undefined}
          onClick={run(true, failed ? `${machine.Name} tries its task again.` : `${machine.Name} goes on.`)}
        >
          {failed ? "Run again" : "Run"}
        </button>
      )}
      {machine.Workflow !== "" && (
        <button type="button" className="button" disabled={disabled} onClick={() => setAgain(true)}>
          Start over&hellip;
        </button>
      )}
      <ConfirmDialog
        open={again}
        close={() => setAgain(false)}
        title={`Start ${machine.Workflow} over?`}
        act={{ label: "Start over", busy: "Starting over\u2026" }}
        danger={false}
        doing="change"
        run={() =>
          step.mutateAsync({
            operations: [{ op: "replace", path: "/Workflow", value: machine.Workflow }],
            said: `${machine.Name} begins ${machine.Workflow} again.`,
            start: true,
          })
        }
      >
        <p>Every task of the workflow runs again, from the first one. A task that runs now is given up.</p>
      </ConfirmDialog>
    </div>
  );
}

/** Another workflow; without one, another stage. */
function Work({ machine }: { machine: MachineFull }) {
  return (
    <div className="stand-work">
      <Setting machine={machine} field="Workflow" kind="workflows" empty="None" />
      {machine.Workflow === "" && <Setting machine={machine} field="Stage" kind="stages" />}
    </div>
  );
}

interface SettingProps {
  machine: MachineFull;
  field: "Workflow" | "Stage" | "BootEnv";
  kind: "workflows" | "stages" | "bootenvs";
  /** What the empty value is called, where there may be none. */
  empty?: string;
  label?: string;
}

/** A choice with a button of its own, since a machine begins to work at once. */
export function Setting({ machine, field, kind, empty, label = field }: SettingProps) {
  const choices = useChoices(kind);
  const step = useStep(machine);
  const [value, setValue] = useState(machine[field]);
  useEffect(() => setValue(machine[field]), [machine, field]);
  const other = value !== machine[field];
  return (
    <form
      className="setting"
      onSubmit={(event) => {
        event.preventDefault();
        const said = value === "" ? `${machine.Name} has no ${label.toLowerCase()} any more.` : `${label} of ${machine.Name} is ${value}.`;
        step.mutate({ operations: [{ op: "replace", path: `/${field}`, value }], said }, SAID_IN_THE_CORNER);
      }}
    >
      <SelectField
        label={label}
        value={value}
        onChange={setValue}
        choices={choices.data ?? [{ value: machine[field] }]}
        {...(empty === undefined ? {} : { empty })}
        locked={machine.Locked ? LOCKED : undefined}
      />
      <button type="submit" className="button" disabled={!other || step.isPending}>
        {step.isPending ? "Setting\u2026" : `Set ${label.toLowerCase()}`}
      </button>
    </form>
  );
}
