// How the system disk is divided: the param `muster/disk-layout`, field by field.
import { JsonField } from "../../objects/fields/JsonField";
import { flagAt, isObj, textAt, valueAt, type Json } from "../../objects/json";
import { NumberField, SelectField, Toggle } from "../../ui/fields";
import type { Editing } from "./editing";
import { inWords } from "./draft";
import { SourceLink } from "./Inherited";

const LAYOUT = "muster/disk-layout";
const USUAL = "one ext4 file system, with an EFI system partition and what the loader needs";

/** The machine's own layout, or what holds without one. */
export function LayoutFields({ edit }: { edit: Editing }) {
  const own = edit.value("Params", LAYOUT);
  const from = edit.from(LAYOUT);
  const problem = edit.problem(`Params/${LAYOUT}`);
  if (own === undefined) {
    return (
      <div className="field">
        <span className="field-label">Disk layout</span>
        <p className="field-hint">
          {from === null ? (
            <>As usual: {USUAL}.</>
          ) : (
            <>
              {inWords(from.Value)}, from <SourceLink source={from} />.
            </>
          )}
        </p>
        {problem !== undefined && <p className="field-problem">{problem}</p>}
        <p>
          <button
            type="button"
            className="button button-small"
            disabled={edit.locked !== undefined}
            title={edit.locked}
            onClick={() => edit.set(from !== null && isObj(from.Value) ? from.Value : {}, "Params", LAYOUT)}
          >
            Set for this machine
          </button>
        </p>
      </div>
    );
  }
  return (
    <fieldset className="fields layout-own">
      <legend className="field-label">Disk layout of this machine</legend>
      <OwnLayout edit={edit} />
      {problem !== undefined && (
        <p className="field-problem" role="alert">
          {problem}
        </p>
      )}
      <p>
        <button
          type="button"
          className="button button-small"
          disabled={edit.locked !== undefined}
          title={edit.locked}
          onClick={() => edit.set(undefined, "Params", LAYOUT)}
        >
          Use what is inherited
        </button>
      </p>
    </fieldset>
  );
}

function OwnLayout({ edit }: { edit: Editing }) {
  const own = edit.value("Params", LAYOUT);
  const layout = isObj(own) ? own : {};
  const set = (name: string, value: Json | undefined) => edit.set(value, "Params", LAYOUT, name);
  const size = (name: string, label: string, hint: string) => {
    const value = valueAt(layout, [name]);
    return (
      <NumberField
        label={label}
        hint={hint}
        min={0}
        locked={edit.locked}
        value={typeof value === "number" ? value : null}
        onChange={(next) => set(name, next ?? undefined)}
      />
    );
  };
  return (
    <>
      <div className="field-row">
        <SelectField
          label="File system of the root"
          value={textAt(layout, "Filesystem")}
          empty="ext4 (usual)"
          choices={["ext4", "xfs", "btrfs"].map((value) => ({ value }))}
          locked={edit.locked}
          onChange={(value) => set("Filesystem", value === "" ? undefined : value)}
        />
        {size("RootMib", "Root, in MiB", "Empty: all that is left.")}
        {size("SwapMib", "Swap, in MiB", "Empty: none.")}
        {size("EspMib", "EFI system partition, in MiB", "Empty: 512.")}
        {size("Raid1", "Disks that mirror each other", "2 to 4; empty: no mirror.")}
      </div>
      <Toggle
        label="Encrypt (LUKS)"
        hint="The key is kept on the server before anything is written."
        value={flagAt(layout, "Luks")}
        locked={edit.locked}
        onChange={(on) => set("Luks", on ? true : undefined)}
      />
      <Toggle
        label="Logical volumes (LVM)"
        value={isObj(valueAt(layout, ["Lvm"]))}
        locked={edit.locked}
        onChange={(on) => set("Lvm", on ? {} : undefined)}
      />
      <JsonField
        label="More file systems"
        hint='A list such as [{"Name": "data", "Mount": "/srv", "Filesystem": "xfs", "SizeMib": 0}]; SizeMib 0 takes what is left.'
        lines={3}
        locked={edit.locked}
        value={valueAt(layout, ["Volumes"]) ?? []}
        onChange={(value) => set("Volumes", Array.isArray(value) && value.length === 0 ? undefined : value)}
      />
    </>
  );
}
