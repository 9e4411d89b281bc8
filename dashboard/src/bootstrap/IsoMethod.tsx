// The ISO card: get the image, boot it, enter the code, look, decide.
import { useId, useState, type FormEvent } from "react";
import { Link } from "wouter";
import { machinePath } from "../route";
import { CheckIcon } from "../ui/icons";
import { Loading, Problem, Provision } from "../ui/parts";
import type { Machine } from "../wire";
import { isConfirmed, useApproval, type Approval, type Previewed } from "./approval";
import { CodeInput } from "./CodeInput";
import { IsoDownload } from "./downloads";
import { Fingerprint, Preview } from "./Preview";
import { Waiting } from "./Waiting";

/** The body and buttons of the ISO method. */
export function IsoMethod({ close }: { close(): void }) {
  const approval = useApproval();
  const { step } = approval;
  if (step.kind === "approved") {
    return <Done machine={step.machine} merged={step.merged} again={approval.restart} close={close} />;
  }
  if (step.kind === "denied") return <Denied what={step.what} again={approval.restart} close={close} />;
  return <Deciding approval={approval} close={close} />;
}

function Deciding({ approval, close }: { approval: Approval; close(): void }) {
  const { step, busy } = approval;
  const found = step.kind === "preview" ? step : null;
  const ready = found !== null && busy === null && !found.denying && isConfirmed(found);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (ready) approval.approve();
  };
  return (
    <form className="method-form" onSubmit={submit} noValidate>
      <div className="modal-body">
        <div className="boot-and-code">
          {found === null ? <IsoDownload /> : <Fingerprint value={found.preview.fingerprint} />}
          <CodeInput characters={approval.characters} onType={approval.type} disabled={busy !== null} />
        </div>
        {step.kind === "looking" && <Loading what="Looking the code up" />}
        {step.kind === "refused" && (
          <Problem error={step.error} again={{ label: "Look it up again", act: approval.again }} />
        )}
        {found === null ? <Waiting review={approval.review} /> : <Found found={found} approval={approval} />}
      </div>
      <footer className="modal-actions">
        {found !== null && (
          <button
            type="button"
            className="button button-quiet-danger push"
            disabled={busy !== null || found.denying}
            onClick={() => approval.change({ denying: true })}
          >
            Deny
          </button>
        )}
        {found?.code === null && (
          <button type="button" className="button" disabled={busy !== null} onClick={approval.restart}>
            Back
          </button>
        )}
        <button type="button" className="button" disabled={busy !== null} onClick={close}>
          Cancel
        </button>
        <button type="submit" className="button button-primary" disabled={!ready}>
          {busy === "approve" ? "Registering\u2026" : "Bootstrap"}
        </button>
      </footer>
    </form>
  );
}

function Found({ found, approval }: { found: Previewed; approval: Approval }) {
  const { busy } = approval;
  return (
    <>
      <Preview found={found} onChoice={(choice) => approval.change({ choice })} locked={busy !== null} />
      {found.problem !== null && <Problem error={found.problem} />}
      {found.denying && (
        <DenyForm busy={busy === "deny"} deny={approval.deny} back={() => approval.change({ denying: false })} />
      )}
    </>
  );
}

function DenyForm({ busy, deny, back }: { busy: boolean; deny(reason: string): void; back(): void }) {
  const [reason, setReason] = useState("");
  const id = useId();
  return (
    <section className="deny" aria-labelledby={id}>
      <h3 id={id}>Deny this machine?</h3>
      <p>Its console will say so. The same machine may ask again in ten minutes.</p>
      <label className="field">
        <span>Reason, shown on its console and kept in the audit log (optional)</span>
        <input
          className="input"
          value={reason}
          maxLength={200}
          autoFocus
          onChange={(event) => setReason(event.target.value)}
          onKeyDown={(event) => {
            if (event.key !== "Enter") return;
            event.preventDefault();
            deny(reason);
          }}
        />
      </label>
      <p className="actions">
        <button type="button" className="button button-danger" disabled={busy} onClick={() => deny(reason)}>
          {busy ? "Denying\u2026" : "Deny machine"}
        </button>
        <button type="button" className="button" disabled={busy} onClick={back}>
          Keep looking
        </button>
      </p>
    </section>
  );
}

interface DoneProps {
  machine: Machine;
  merged: boolean;
  again(): void;
  close(): void;
}

function Done({ machine, merged, again, close }: DoneProps) {
  return (
    <>
      <div className="modal-body outcome" role="status">
        <span className="outcome-mark outcome-good">
          <CheckIcon />
        </span>
        <h3>
          <Link to={machinePath(machine.Uuid)}>{machine.Name}</Link> is registered
        </h3>
        <p>
          {merged ? "It keeps its identity and history, and got a new key. " : ""}
          Its row in the list shows <Provision state={machine.ProvisionState} />; the dot turns green with its first
          heartbeat.
        </p>
      </div>
      <Ending again={again} close={close} />
    </>
  );
}

function Denied({ what, again, close }: { what: string; again(): void; close(): void }) {
  return (
    <>
      <div className="modal-body outcome" role="status">
        <h3>Denied</h3>
        <p>The request of {what} was denied. Nothing was registered.</p>
      </div>
      <Ending again={again} close={close} />
    </>
  );
}

function Ending({ again, close }: { again(): void; close(): void }) {
  return (
    <footer className="modal-actions">
      <button type="button" className="button" onClick={again}>
        Bootstrap another
      </button>
      <button type="button" className="button button-primary" autoFocus onClick={close}>
        Done
      </button>
    </footer>
  );
}
