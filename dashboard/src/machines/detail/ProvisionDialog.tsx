// Asks for a provision run: what is installed, and what that erases, is shown before anything begins.
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { explain } from "../../explain";
import { useEvents } from "../../live";
import { useNames } from "../../names";
import { TypedWord } from "../../ui/ConfirmDialog";
import { SelectField } from "../../ui/fields";
import { Modal } from "../../ui/Modal";
import { notify } from "../../ui/Notice";
import { Loading, Problem } from "../../ui/parts";
import { provision, readCloudInit, readSetup, runsKey } from "./api";
import { DiskPlanView, losesSomething } from "./DiskPlan";
import { complaint, sourceInWords } from "./draft";
import type { Mode, ProvisionRequest, Run, SeedPreview, Setup } from "./wire";
import "../../styles/provision.css";

interface ProvisionDialogProps {
  machine: { uuid: string; name: string };
  open: boolean;
  onOpenChange(open: boolean): void;
}

const MODES: readonly { mode: Mode; name: string; text: string; act: string }[] = [
  { mode: "rebuild", name: "Rebuild", text: "Install its operating system and apply its configuration.", act: "Install" },
  { mode: "discover", name: "Discover", text: "Restart it into Discovery mode. Its disks stay as they are.", act: "Bring to Discovery mode" },
  { mode: "clear", name: "Clear", text: "Drop a run that was asked for and has not begun.", act: "Clear" },
];

/** The dialog. */
export function ProvisionDialog({ machine, open, onOpenChange }: ProvisionDialogProps) {
  return (
    <Modal
      open={open}
      onOpenChange={onOpenChange}
      title={`Provision ${machine.name}`}
      description="Look at what will happen, then begin."
    >
      <ProvisionForm machine={machine} close={() => onOpenChange(false)} />
    </Modal>
  );
}

// Its state lasts as long as the dialog is open: a name that was typed counts once.
function ProvisionForm({ machine, close }: { machine: ProvisionDialogProps["machine"]; close(): void }) {
  const client = useQueryClient();
  const [mode, setMode] = useState<Mode>("rebuild");
  const [choice, setChoice] = useState<Choice>({ Image: "", Workflow: "", Reboot: "firmware" });
  const [typed, setTyped] = useState("");
  const { setup, seed } = usePlan(machine.uuid);
  const chosen = MODES.find((each) => each.mode === mode);
  const loses = mode === "rebuild" && setup.data !== undefined && losesSomething(setup.data.DiskPlan);
  const run = useMutation({
    mutationFn: () => provision(machine.uuid, requestOf(mode, choice, loses ? typed.trim() : "")),
    onSuccess: (begun) => {
      void client.invalidateQueries({ queryKey: runsKey(machine.uuid) });
      notify(saidOf(machine.name, begun, mode));
      close();
    },
  });
  const ready =
    !run.isPending && (mode !== "rebuild" || (setup.data?.DiskPlan.Error === "" && (!loses || typed.trim() === machine.name)));
  return (
    <form
      className="method-form"
      onSubmit={(event) => {
        event.preventDefault();
        if (ready) run.mutate();
      }}
    >
      <div className="modal-body">
        <Modes mode={mode} choose={setMode} />
        {mode === "rebuild" && (
          <>
            {setup.isPending && <Loading what="Looking at what an installation would do" />}
            {setup.error !== null && <Problem error={explain(setup.error, "load")} />}
            {setup.data !== undefined && <Rebuild setup={setup.data} seed={seed.data} choice={choice} choose={setChoice} />}
            {loses && <TypedWord what="the machine's name" text={machine.name} value={typed} onChange={setTyped} />}
          </>
        )}
        {run.error !== null && <Problem error={explain(run.error, "change")} />}
      </div>
      <div className="modal-actions">
        <button type="button" className="button" disabled={run.isPending} onClick={close}>
          Cancel
        </button>
        <button type="submit" className={`button ${loses ? "button-danger" : "button-primary"}`} disabled={!ready}>
          {run.isPending ? "Asking\u2026" : loses ? "Erase and install" : chosen?.act}
        </button>
      </div>
    </form>
  );
}

type Choice = Required<Pick<ProvisionRequest, "Image" | "Workflow" | "Reboot">>;

function requestOf(mode: Mode, choice: Choice, confirm: string): ProvisionRequest {
  return mode === "rebuild" ? { Mode: mode, ...choice, Confirm: confirm } : { Mode: mode };
}

function saidOf(name: string, run: Run, mode: Mode): string {
  if (mode === "clear") return `The run of ${name} is dropped.`;
  if (run.Status === "render_failed") return `The run of ${name} cannot begin: its configuration cannot be made. See Provisions.`;
  return mode === "discover" ? `${name} is on its way to Discovery mode.` : `The installation of ${name} is asked for.`;
}

/** The plan, and what is wrong with the configuration; kept as it is while the dialog is open. */
function usePlan(uuid: string) {
  const client = useQueryClient();
  useEvents(`machines.*.${uuid}`, () => void client.invalidateQueries({ queryKey: ["setup", uuid] }));
  const setup = useQuery({ queryKey: ["setup", uuid, "provision"], queryFn: () => readSetup(uuid, []), gcTime: 0 });
  const seed = useQuery({ queryKey: ["cloud-init", uuid, ""], queryFn: () => readCloudInit(uuid, []), gcTime: 0 });
  return { setup, seed };
}

function Modes({ mode, choose }: { mode: Mode; choose(mode: Mode): void }) {
  return (
    <fieldset className="modes">
      <legend className="visually-hidden">What to do</legend>
      {MODES.map((each) => (
        <label key={each.mode} className="method">
          <input
            className="visually-hidden"
            type="radio"
            name="mode"
            checked={mode === each.mode}
            onChange={() => choose(each.mode)}
          />
          <span className="method-name">{each.name}</span>
          <span className="method-text">{each.text}</span>
        </label>
      ))}
    </fieldset>
  );
}

interface RebuildProps {
  setup: Setup;
  seed: SeedPreview | undefined;
  choice: Choice;
  choose(choice: Choice): void;
}

function Rebuild({ setup, seed, choice, choose }: RebuildProps) {
  const images = useNames("images");
  const workflows = useNames("workflows");
  const why = setup.Errors["muster/image"];
  return (
    <>
      <SelectField
        label="Image"
        value={choice.Image}
        empty={setup.Image === "" ? "Choose one" : `${setup.Image} (${sourceInWords(setup.ImageFrom)})`}
        problem={choice.Image === "" && why !== undefined ? complaint(why) : undefined}
        choices={(images.data ?? []).map((value) => ({ value }))}
        onChange={(Image) => choose({ ...choice, Image })}
      />
      <details>
        <summary>More options</summary>
        <div className="fields provision-more">
          <SelectField
            label="Workflow"
            value={choice.Workflow}
            empty="The built-in one"
            choices={(workflows.data ?? []).map((value) => ({ value }))}
            onChange={(Workflow) => choose({ ...choice, Workflow })}
          />
          <SelectField
            label="Into the installed system"
            value={choice.Reboot}
            choices={[
              { value: "firmware", name: "By a restart through the firmware" },
              { value: "kexec", name: "At once, without the firmware (kexec)" },
            ]}
            onChange={(Reboot) => choose({ ...choice, Reboot: Reboot === "kexec" ? "kexec" : "firmware" })}
          />
        </div>
      </details>
      {setup.WriteProtected && (
        <p className="note note-warning">
          This machine is write-protected: no disk of it may be erased. Lift the protection in Configuration, Storage.
        </p>
      )}
      {seed !== undefined && seed.Errors.length > 0 && (
        <Problem error={{ text: "Its configuration cannot be made, so an installation would not begin:", retryAfter: null }}>
          <ul className="machine-lines">
            {seed.Errors.map((error) => (
              <li key={error}>{error}</li>
            ))}
          </ul>
        </Problem>
      )}
      <section aria-label="Disk plan">
        <h3>What happens to the disks</h3>
        <DiskPlanView plan={setup.DiskPlan} />
      </section>
    </>
  );
}
