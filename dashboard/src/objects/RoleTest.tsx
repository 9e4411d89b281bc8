// What a role would make of a machine: the rendered configuration, where each part comes from, what is wrong.
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { api } from "../api";
import { explain } from "../explain";
import { readCloudInit } from "../machines/detail/api";
import type { SeedPreview } from "../machines/detail/wire";
import { useDebounced } from "../time";
import { CodeEditor } from "../ui/CodeEditor";
import { Toggle } from "../ui/fields";
import { Loading, Problem } from "../ui/parts";
import { Adder } from "../ui/Tags";
import type { Machine } from "../wire";
import { textAt, type Obj } from "./json";
import type { ViewProps } from "./kind";
import { lined } from "./problems";

type Chosen = Pick<Machine, "Uuid" | "Name" | "Roles">;

/** Choose a machine and look. */
export function RoleTest({ object, changed }: ViewProps) {
  const [machine, setMachine] = useState<Chosen | null>(null);
  const [others, setOthers] = useState(true);
  return (
    <div className="role-test">
      <p className="hint">
        What a machine would get when it were installed with this role now. Nothing is written anywhere; values of
        secrets are hidden.
      </p>
      {changed && <p className="note note-warning">This shows what is saved. Save your changes to see what they do.</p>}
      <MachineChooser machine={machine} choose={setMachine} />
      <Toggle
        label="With the other roles of the machine"
        hint="Off: as if it had this role alone."
        value={others}
        onChange={setOthers}
      />
      {machine !== null && <Preview machine={machine} role={object} others={others} />}
    </div>
  );
}

function MachineChooser({ machine, choose }: { machine: Chosen | null; choose(machine: Chosen): void }) {
  const [choosing, setChoosing] = useState(false);
  const [text, setText] = useState("");
  const search = useDebounced(text, 150);
  const found = useQuery({
    queryKey: ["objects", "machines", "search", search],
    queryFn: () => api.get<Chosen[]>(`/machines?q=${encodeURIComponent(search)}&sort=Name&limit=20&slim=Inventory,Tasks,Params`),
    enabled: choosing,
    placeholderData: (before) => before,
  });
  const take = (uuid: string) => {
    const taken = found.data?.find((each) => each.Uuid === uuid);
    if (taken !== undefined) choose(taken);
    setChoosing(false);
  };
  return (
    <div className="field" role="group" aria-label="Machine">
      <span className="field-label">Machine</span>
      {choosing ? (
        <Adder
          one="machine"
          what="Choose a machine"
          options={(found.data ?? []).map((each) => ({ value: each.Uuid, name: each.Name }))}
          onType={setText}
          add={take}
          done={() => setChoosing(false)}
          leave={() => setChoosing(false)}
        />
      ) : (
        <p className="hidden-value">
          {machine !== null && <strong>{machine.Name}</strong>}
          <button type="button" className="button button-small" onClick={() => setChoosing(true)}>
            {machine === null ? "Choose a machine" : "Choose another"}
          </button>
        </p>
      )}
      {found.error !== null && choosing && <Problem error={explain(found.error, "load")} />}
    </div>
  );
}

interface PreviewProps {
  machine: Chosen;
  role: Obj;
  others: boolean;
}

function Preview({ machine, role, others }: PreviewProps) {
  const name = textAt(role, "Name");
  // Another role is another preview.
  const stamp = textAt(role, "LastModifiedAt");
  const roles = others ? [...new Set([...machine.Roles, name])] : [name];
  const preview = useQuery({
    queryKey: ["objects", "preview", machine.Uuid, roles.join(" "), stamp],
    queryFn: () => readCloudInit(machine.Uuid, roles),
  });
  if (preview.isPending) return <Loading what="Rendering" />;
  if (preview.isError) {
    return <Problem error={explain(preview.error, "load")} again={{ label: "Try again", act: () => void preview.refetch() }} />;
  }
  const { Errors: errors, UserData, MetaData, NetworkConfig, Sources } = preview.data;
  const own = errors.filter((error) => error.startsWith(`template "role ${name}", line `)).map(lined);
  return (
    <section aria-label="Preview" aria-live="polite">
      {errors.length > 0 ? (
        <Problem error={{ text: "An installation would not begin:", retryAfter: null }}>
          <ul className="object-errors">
            {errors.map((error) => (
              <li key={error}>{error}</li>
            ))}
          </ul>
        </Problem>
      ) : (
        <p className="note note-good">It can be rendered for {machine.Name}.</p>
      )}
      {own.length > 0 && (
        <CodeEditor label={`Template of ${name}`} value={textAt(role, "Params", "muster/cloud-init")} problems={own} />
      )}
      <Source preview={Sources} />
      <Text name="user-data" text={UserData} />
      <Text name="network-config" text={NetworkConfig} />
      <Text name="meta-data" text={MetaData} />
    </section>
  );
}

function Text({ name, text }: { name: string; text: string }) {
  if (text === "") return null;
  return <CodeEditor label={name} value={text} lines={{ min: 2, max: 30 }} />;
}

function Source({ preview }: { preview: SeedPreview["Sources"] }) {
  const keys = Object.entries(preview);
  if (keys.length === 0) return null;
  return (
    <details>
      <summary>Which role gave what</summary>
      <dl className="facts">
        {keys.map(([key, from]) => (
          <div key={key} className="fact">
            <dt>
              <code>{key}</code>
            </dt>
            <dd>{from.join(", ")}</dd>
          </div>
        ))}
      </dl>
    </details>
  );
}
