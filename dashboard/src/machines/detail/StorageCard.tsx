// The card Storage: which disk is the system disk, how it is divided, and what that does to every disk.
import { JsonField } from "../../objects/fields/JsonField";
import { isObj } from "../../objects/json";
import { SelectField } from "../../ui/fields";
import { DiskPlanView } from "./DiskPlan";
import { choiceOf, OTHER, ruleChoices } from "./diskRule";
import type { Editing } from "./editing";
import { FlagField } from "./FlagField";
import { Inherited } from "./Inherited";
import { LayoutFields } from "./LayoutFields";

const DISK = "muster/disk";

/** The card. */
export function StorageCard({ edit }: { edit: Editing }) {
  const rule = edit.value("Params", DISK);
  const choices = ruleChoices(edit.machine.Inventory.Disks);
  const chosen = choiceOf(rule, choices);
  const choose = (value: string) => {
    const choice = choices.find((each) => each.value === value);
    if (value === OTHER) edit.set(isObj(rule) ? { ...rule, MinSize: 1 } : { MinSize: 1 }, "Params", DISK);
    else edit.set(choice?.rule, "Params", DISK);
  };
  return (
    <section className="card fields" aria-labelledby="card-storage">
      <h2 id="card-storage">Storage</h2>
      <div className="storage">
        <div className="fields">
          <SelectField
            label="System disk"
            hint={<Inherited source={edit.from(DISK)} usual="the only disk, when there is just one" />}
            locked={edit.locked}
            problem={chosen === OTHER ? undefined : edit.problem(`Params/${DISK}`)}
            value={chosen}
            empty="As inherited"
            choices={[...choices, { value: OTHER, name: "Another rule" }]}
            onChange={choose}
          />
          {chosen === OTHER && (
            <JsonField
              label="Rule for the system disk"
              hint="ById, Wwn, Serial, Model, MinSize and MaxSize in bytes, Pick: everything that is said must hold."
              lines={4}
              locked={edit.locked}
              problem={edit.problem(`Params/${DISK}`)}
              value={rule ?? {}}
              onChange={(next) => edit.set(next, "Params", DISK)}
            />
          )}
          <LayoutFields edit={edit} />
          <FlagField
            edit={edit}
            param="muster/write-protected"
            label="Write protection"
            usual={false}
            hint={
              edit.setup?.WriteProtected === true
                ? "No disk of this machine may be erased now. Choose No to lift the protection for this machine."
                : "While it is on, no disk of the machine may be erased."
            }
          />
        </div>
        <section aria-label="What becomes of the disks" aria-live="polite">
          <h3>What an installation does to the disks</h3>
          {edit.setup === undefined ? <p className="hint">Asking the server&hellip;</p> : <DiskPlanView plan={edit.setup.DiskPlan} />}
        </section>
      </div>
    </section>
  );
}
