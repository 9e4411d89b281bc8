// What refers to an object: other objects, preferences, machines.
import { useQuery } from "@tanstack/react-query";
import type { ReactNode } from "react";
import { Link } from "wouter";
import { api, at } from "../api";
import { explain } from "../explain";
import { usePrefs } from "../prefs";
import { machinePath } from "../route";
import { Loading, Problem } from "../ui/parts";
import type { Machine } from "../wire";
import { useObjects } from "./api";
import { keyOf, type KindSpec, type Referrers } from "./kind";
import { KINDS } from "./kinds";

/** Most machines that are named. */
const SHOWN = 50;
/** What of a machine is not needed for its name. */
const SLIM = "Inventory,Tasks,Params";

/** Everything that is known to refer to it. */
export function UsedBy({ kind, name }: { kind: KindSpec; name: string }) {
  const Others = kind.usedBy;
  return (
    <div className="used-by">
      {kind.machines !== undefined && <Machines filter={kind.machines(name)} />}
      {(kind.prefs ?? []).length > 0 && <Prefs kind={kind} name={name} />}
      {Others !== undefined && <Others name={name} />}
      {(kind.referrers ?? []).map((referrers) => (
        <Objects key={referrers.kind} referrers={referrers} name={name} />
      ))}
    </div>
  );
}

/** One sort of what refers to it. */
export function Section({ title, count, children }: { title: string; count: string | number; children: ReactNode }) {
  return (
    <section className="form-group">
      <h2>
        {title} <span className="hint">{count}</span>
      </h2>
      {children}
    </section>
  );
}

function Machines({ filter }: { filter: string }) {
  const machines = useQuery({
    queryKey: ["objects", "machines", filter],
    queryFn: () => api.get<Pick<Machine, "Uuid" | "Name">[]>(`/machines?${encodeURI(filter)}&sort=Name&limit=${SHOWN + 1}&slim=${SLIM}`),
  });
  if (machines.isPending) return <Loading what="Looking for machines" />;
  if (machines.isError) return <Problem error={explain(machines.error, "load")} />;
  const more = machines.data.length > SHOWN;
  return (
    <Section title="Machines" count={more ? `more than ${SHOWN}` : machines.data.length}>
      {machines.data.length === 0 ? (
        <p className="none">None</p>
      ) : (
        <ul className="link-list">
          {machines.data.slice(0, SHOWN).map((machine) => (
            <li key={machine.Uuid}>
              <Link to={machinePath(machine.Uuid)}>{machine.Name}</Link>
            </li>
          ))}
        </ul>
      )}
    </Section>
  );
}

function Prefs({ kind, name }: { kind: KindSpec; name: string }) {
  const prefs = usePrefs();
  const holding = (kind.prefs ?? []).filter(({ pref }) => prefs.data?.[pref] === name);
  if (holding.length === 0) return null;
  return (
    <Section title="Settings" count={holding.length}>
      <ul>
        {holding.map(({ pref, what }) => (
          <li key={pref}>
            {what} <code>{pref}</code>
          </li>
        ))}
      </ul>
    </Section>
  );
}

function Objects({ referrers, name }: { referrers: Referrers; name: string }) {
  const kind = KINDS[referrers.kind];
  const all = useObjects(kind);
  if (all.isPending) return <Loading what={`Looking for ${kind.many.toLowerCase()}`} />;
  if (all.isError) return <Problem error={explain(all.error, "load")} />;
  const found = all.data.filter((object) => referrers.does(object, name)).map((object) => keyOf(kind, object));
  return (
    <Section title={kind.many} count={found.length}>
      {found.length === 0 ? (
        <p className="none">None</p>
      ) : (
        <ul className="link-list">
          {found.map((key) => (
            <li key={key}>
              <Link to={kind.path + at(key)}>{key}</Link>
            </li>
          ))}
        </ul>
      )}
    </Section>
  );
}
