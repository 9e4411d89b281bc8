// The tab Configuration: what a machine is to be. Every change is shown with what comes of it before it is
// saved.
import { Conflicts } from "../../objects/Conflicts";
import { useFaults } from "../../objects/faults";
import { LockIcon } from "../../ui/icons";
import { LeaveGuard } from "../../ui/LeaveGuard";
import { Problem } from "../../ui/parts";
import { AgentCard } from "./AgentCard";
import { changes } from "./draft";
import { useEditing, type EditingState } from "./editing";
import { GeneralCard } from "./GeneralCard";
import { NetworkCard } from "./NetworkCard";
import { RolesCard } from "./RolesCard";
import { StorageCard } from "./StorageCard";
import type { TabProps } from "./wire";
import "../../styles/configuration.css";

/** The tab. */
export function Configuration({ machine }: TabProps) {
  const edit = useEditing(machine);
  const { faults, gather } = useFaults();
  return (
    <form
      noValidate
      onSubmit={(event) => {
        event.preventDefault();
        if (edit.changed && !edit.saving && edit.draft.conflicts.length === 0 && faults.length === 0) edit.save();
      }}
    >
      {edit.locked !== undefined && (
        <p className="note note-warning locked-note">
          <LockIcon />
          {edit.locked}
        </p>
      )}
      <Conflicts draft={edit.draft} by={machine.LastModifiedBy} decide={edit.decide} />
      <div className="cards">
        <GeneralCard edit={edit} />
        <RolesCard edit={edit} />
        <NetworkCard edit={edit} />
        <AgentCard edit={edit} />
      </div>
      {gather(<StorageCard edit={edit} />)}
      <LeaveGuard active={edit.changed} what="this machine" />
      {edit.changed && <SaveBar edit={edit} faults={faults} />}
    </form>
  );
}

/** What will change, and the two ways on. */
function SaveBar({ edit, faults }: { edit: EditingState; faults: readonly string[] }) {
  const list = changes(edit.draft);
  const undecided = edit.draft.conflicts.length > 0 ? ["Decide first what is right where somebody else changed the same."] : [];
  const [reason] = [...undecided, ...faults];
  return (
    <section className="machine-save" aria-label="Unsaved changes">
      {edit.refused.map((refused) => (
        <Problem key={refused.text} error={refused} />
      ))}
      <div className="machine-save-row">
        <details>
          <summary>
            {list.length} unsaved change{list.length === 1 ? "" : "s"}: {list.map(({ what }) => what).join(", ")}
          </summary>
          <dl className="change-list">
            {list.map(({ what, before, after }) => (
              <div key={what}>
                <dt>{what}</dt>
                <dd>
                  <del>{before}</del> <span aria-hidden="true">&rarr;</span> <ins>{after}</ins>
                </dd>
              </div>
            ))}
          </dl>
        </details>
        <div className="actions">
          <button type="button" className="button" disabled={edit.saving} onClick={edit.discard}>
            Discard
          </button>
          <button
            type="submit"
            className="button button-primary"
            disabled={edit.saving || reason !== undefined}
            title={reason}
          >
            {edit.saving ? "Saving\u2026" : "Save"}
          </button>
        </div>
      </div>
    </section>
  );
}
