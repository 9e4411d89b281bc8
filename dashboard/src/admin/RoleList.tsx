// Access roles and what each allows.
import { Link } from "wouter";
import { at } from "../api";
import { claimWords } from "./claims";
import type { AccessRole } from "./wire";

/** The roles by these names. */
export function RoleList({ names, roles }: { names: readonly string[]; roles: readonly AccessRole[] }) {
  if (names.length === 0) return <p className="none">No access roles: signing in is all that this account may do.</p>;
  const known = new Map(roles.map((role) => [role.Name, role]));
  return (
    <dl className="facts">
      {names.map((name) => (
        <div key={name} className="fact">
          <dt>
            <Link to={at("access-roles", name)}>{name}</Link>
          </dt>
          <dd>{(known.get(name)?.Claims ?? []).map(claimWords).join("; ") || known.get(name)?.Description}</dd>
        </div>
      ))}
    </dl>
  );
}
