// Which machines a bootstrap token is for, and where they begin: out of sight until somebody wants it.
import { useState } from "react";
import { useProfiles } from "../machines/detail/api";
import { MeshSelect } from "../meshes/MeshSelect";
import { isRole } from "../objects/roles";
import { Field, NumberField, TextField, Toggle } from "../ui/fields";
import { Tags } from "../ui/Tags";
import { countLimits, type LimitProblems, type Limits } from "./limits";

interface TokenLimitsProps {
  limits: Limits;
  problems: LimitProblems;
  change(limits: Limits): void;
}

/** The part that opens. What was entered counts also while it is closed, and is counted then. */
export function TokenLimits({ limits, problems, change }: TokenLimitsProps) {
  const [open, setOpen] = useState(false);
  const count = countLimits(limits);
  return (
    <details onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>
        Limit where it works{count > 0 && `: ${count === 1 ? "one limit" : `${count} limits`}`}
      </summary>
      {open && <LimitFields limits={limits} problems={problems} change={change} />}
    </details>
  );
}

const LISTS = [
  { name: "networks", label: "Networks", placeholder: "10.20.0.0/16, fd00:20::/64", hint: "Machines must call from one of them." },
  { name: "macs", label: "MAC addresses", placeholder: "52:54:00:12:34:56", hint: "A machine must have one of them." },
  { name: "serials", label: "Serial numbers", placeholder: "7XK21M3", hint: "Of the machines, separated by commas." },
  { name: "uuids", label: "System UUIDs", placeholder: "4c4c4544-0058-4b10-8032-b7c04f4d3333", hint: "As dmidecode shows them." },
] as const;

function LimitFields({ limits, problems, change }: TokenLimitsProps) {
  const profiles = useProfiles();
  const roles = (profiles.data ?? []).filter(isRole).map(({ Name }) => ({ value: Name }));
  const left = limits.approval ? "Whoever approves a machine decides it." : undefined;
  return (
    <div className="token-limits">
      {LISTS.map(({ name, ...field }) => (
        <TextField
          key={name}
          {...field}
          mono
          value={limits[name]}
          problem={problems[name]}
          onChange={(text) => change({ ...limits, [name]: text })}
        />
      ))}
      <NumberField
        label="Most machines"
        min={1}
        placeholder="any number"
        hint="It ends with the last of them."
        value={limits.uses}
        problem={problems.uses}
        onChange={(uses) => change({ ...limits, uses })}
      />
      <MeshSelect
        label="Mesh network"
        empty="The default one, if there is one"
        value={limits.approval ? "" : limits.mesh}
        locked={left}
        onChange={(mesh) => change({ ...limits, mesh })}
      />
      <Field label="Roles" hint="What its machines begin with." group>
        {() => (
          <Tags
            label="Roles"
            one="role"
            values={limits.approval ? [] : limits.roles}
            options={roles}
            onChange={(chosen) => change({ ...limits, roles: chosen })}
            {...(left === undefined ? {} : { locked: left })}
          />
        )}
      </Field>
      <Toggle
        label="A person approves each machine"
        hint="It shows a code on its console and waits, as one does that boots the ISO image."
        value={limits.approval}
        onChange={(approval) => change({ ...limits, approval })}
      />
    </div>
  );
}
