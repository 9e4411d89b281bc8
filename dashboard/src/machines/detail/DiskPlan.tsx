// What an installation would do to each disk, before anything is written.
import { asSentence } from "../../explain";
import { WarningIcon } from "../../ui/icons";
import { diskSize } from "../../size";
import { HeldList } from "./DiskTable";
import { contentsInShort, isEmpty } from "./disks";
import type { DiskPlan, PlannedDisk } from "./wire";
import "../../styles/plan.css";

/** Whether something would be lost that anybody could miss. */
export function losesSomething(plan: DiskPlan): boolean {
  return plan.Disks.some(({ Fate, Disk: disk }) => Fate === "Erase" && !isEmpty(disk.Contents));
}

/** Every disk with its fate, and why nothing can be installed where that is so. */
export function DiskPlanView({ plan }: { plan: DiskPlan }) {
  return (
    <div className="plan">
      {plan.Error !== "" && (
        <p className="note note-warning">
          <strong>Nothing can be installed.</strong> {asSentence(plan.Error)}
        </p>
      )}
      {plan.Disks.length === 0 && plan.Error === "" && <p className="none">The machine has told of no disk.</p>}
      <ul>
        {plan.Disks.map((planned, index) => (
          <Planned key={index} planned={planned} />
        ))}
      </ul>
    </div>
  );
}

function Planned({ planned: { Disk: disk, Fate: fate, Reason: reason } }: { planned: PlannedDisk }) {
  const erased = fate === "Erase";
  const empty = isEmpty(disk.Contents);
  return (
    <li className={erased ? "plan-disk plan-erase" : "plan-disk"}>
      <span className={erased ? "fate fate-erase" : "fate"}>{erased ? "Erase" : "Keep"}</span>
      <div>
        <p className="plan-name">
          <strong>{disk.Model === "" ? disk.Name : disk.Model}</strong> {diskSize(disk.SizeBytes)} <code>{disk.Name}</code>
          {disk.Serial !== "" && <span className="hint">S/N {disk.Serial}</span>}
        </p>
        {reason !== "" && <p className="hint">{asSentence(reason)}</p>}
        {erased && !empty && (
          <p className="plan-loss">
            <WarningIcon />
            Everything on it is lost: {contentsInShort(disk.Contents)}
          </p>
        )}
        {!empty && <HeldList disk={disk} />}
        {empty && <p className="hint">Nothing is on it.</p>}
      </div>
    </li>
  );
}
