// The tab Cloud-init: the configuration that a machine would get of its roles, where each part comes from,
// and what is wrong with it; also as if it had other roles.
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { Link } from "wouter";
import { at } from "../../api";
import { explain } from "../../explain";
import { useEvents } from "../../live";
import { isRole } from "../../objects/roles";
import { CodeEditor } from "../../ui/CodeEditor";
import { CopyButton, Loading, Problem } from "../../ui/parts";
import { Tabs, type Tab } from "../../ui/Tabs";
import { Tags } from "../../ui/Tags";
import { readCloudInit, useProfiles } from "./api";
import { seedProblem, type SeedProblem } from "./seed";
import type { SeedPreview, TabProps } from "./wire";
import "../../styles/seed.css";

/** The tab. */
export function CloudInit({ machine }: TabProps) {
  // Null: its own roles.
  const [others, setOthers] = useState<readonly string[] | null>(null);
  const roles = others ?? machine.Roles;
  const asIf = others !== null && !sameSet(others, machine.Roles);
  const preview = usePreview(machine.Uuid, asIf ? roles : [], `${machine.LastModifiedAt ?? ""}`);
  // The server takes an empty list of roles for the machine's own.
  const none = asIf && roles.length === 0;
  return (
    <>
      <section className="card fields">
        <div className="card-head">
          <h2>Cloud-init</h2>
          {asIf && (
            <button type="button" className="button button-small" onClick={() => setOthers(null)}>
              Back to its own roles
            </button>
          )}
        </div>
        <p className="hint">
          What {machine.Name} would get if it were installed now. Nothing is written anywhere, and values of secrets are hidden.
        </p>
        <RoleChooser roles={roles} asIf={asIf} choose={setOthers} />
      </section>
      {none ? (
        <p className="none">Choose at least one role to see what it would make of the machine.</p>
      ) : (
        <>
          {preview.isPending && <Loading what="Rendering" />}
          {preview.error !== null && (
            <Problem error={explain(preview.error, "load")} again={{ label: "Try again", act: () => void preview.refetch() }} />
          )}
          {preview.data !== undefined && <Seed preview={preview.data} />}
        </>
      )}
    </>
  );
}

function sameSet(one: readonly string[], other: readonly string[]): boolean {
  return one.length === other.length && one.every((value) => other.includes(value));
}

function usePreview(uuid: string, roles: readonly string[], stamp: string) {
  const client = useQueryClient();
  const key = ["cloud-init", uuid] as const;
  const again = () => void client.invalidateQueries({ queryKey: key });
  useEvents("profiles.*.*", again);
  useEvents("variables.*.*", again);
  useEvents("secrets.*.*", again);
  useEvents("templates.*.*", again);
  return useQuery({
    queryKey: [...key, roles.join(" "), stamp],
    queryFn: () => readCloudInit(uuid, roles),
    placeholderData: (before) => before,
  });
}

interface RoleChooserProps {
  roles: readonly string[];
  asIf: boolean;
  choose(roles: readonly string[]): void;
}

function RoleChooser({ roles, asIf, choose }: RoleChooserProps) {
  const profiles = useProfiles();
  const options = (profiles.data ?? []).filter(isRole).map((role) => ({ value: role.Name, to: `/roles${at(role.Name)}` }));
  return (
    <div className="field">
      <span className="field-label">{asIf ? "As if it had these roles" : "Its roles"}</span>
      <Tags label="Roles of the preview" one="role" values={roles} options={options} onChange={choose} none="It has no roles." />
      <p className="field-hint">Add and remove roles here to see what they would do. The machine keeps those it has.</p>
    </div>
  );
}

function Seed({ preview }: { preview: SeedPreview }) {
  const problems = preview.Errors.map(seedProblem);
  const count = Object.keys(preview.Sources).length;
  const tabs: Tab[] = [
    { id: "user-data", name: "user-data", body: <Document name="user-data" text={preview.UserData} none="It cannot be made as long as there are errors." /> },
    { id: "meta-data", name: "meta-data", body: <Document name="meta-data" text={preview.MetaData} none="It is empty." /> },
    {
      id: "network-config",
      name: "network-config",
      body: <Document name="network-config" text={preview.NetworkConfig} none="The image decides about the network." />,
    },
    { id: "sources", name: "Sources", note: String(count), body: <Sources sources={preview.Sources} /> },
  ];
  return (
    <section className="card" aria-label="Preview" aria-live="polite">
      {problems.length > 0 && <Errors problems={problems} />}
      <Tabs label="Documents" tabs={tabs} />
    </section>
  );
}

function Errors({ problems }: { problems: readonly SeedProblem[] }) {
  return (
    <Problem error={{ text: "An installation would not begin:", retryAfter: null }}>
      <ul className="seed-errors">
        {problems.map(({ role, line, text }, index) => (
          <li key={index}>
            {role !== null && (
              <>
                <Link to={`/roles${at(role)}`}>{`Role ${role}`}</Link>
                {line === null ? ": " : `, line ${line}: `}
              </>
            )}
            {text}
          </li>
        ))}
      </ul>
    </Problem>
  );
}

function Document({ name, text, none }: { name: string; text: string; none: string }) {
  if (text === "") return <p className="none">{none}</p>;
  return (
    <div className="seed-document">
      <CodeEditor label={name} labelShown={false} value={text} lines={{ min: 4, max: 36 }} />
      <CopyButton text={text} />
    </div>
  );
}

function Sources({ sources }: { sources: SeedPreview["Sources"] }) {
  const keys = Object.entries(sources);
  if (keys.length === 0) return <p className="none">No role gives anything.</p>;
  return (
    <>
      <p className="hint">Which roles gave each key of the user-data, the lowest priority first: the last one has the last word.</p>
      <div className="scroll" tabIndex={0} role="region" aria-label="Sources of the user-data">
        <table className="plain">
          <thead>
            <tr>
              <th scope="col">Key</th>
              <th scope="col">From</th>
            </tr>
          </thead>
          <tbody>
            {keys.map(([key, from]) => (
              <tr key={key}>
                <td>
                  <code>{key}</code>
                </td>
                <td>{from.join(" \u2192 ")}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </>
  );
}
