// Access roles as a kind of object: what users and tokens may do, under a name.
import { Link } from "wouter";
import { useQueryClient } from "@tanstack/react-query";
import { at } from "../api";
import { explain } from "../explain";
import { objectsAt, type Obj } from "../objects/json";
import type { KindSpec } from "../objects/kind";
import { DESCRIPTION, named, STANDING } from "../objects/kinds/columns";
import { Section } from "../objects/UsedBy";
import { Loading, Problem } from "../ui/parts";
import { useUsers } from "./api";
import { claimOf, claimWords } from "./claims";
import { ClaimsField } from "./ClaimsField";

const PATH = "/access-roles";

function allows(role: Obj): string {
  return objectsAt(role, "Claims").map((claim) => claimWords(claimOf(claim))).join("; ");
}

/** The users that have one. */
function UsersOf({ name }: { name: string }) {
  const users = useUsers(useQueryClient());
  if (users.isPending) return <Loading what="Looking for users" />;
  if (users.isError) return <Problem error={explain(users.error, "load")} />;
  const found = users.data.filter((user) => user.Roles.includes(name));
  return (
    <Section title="Users" count={found.length}>
      {found.length === 0 ? (
        <p className="none">None</p>
      ) : (
        <ul className="link-list">
          {found.map((user) => (
            <li key={user.Name}>
              <Link to={at("users", user.Name)}>{user.Name}</Link>
            </li>
          ))}
        </ul>
      )}
    </Section>
  );
}

export const ACCESS_ROLES: KindSpec = {
  name: "access-roles",
  collection: "roles",
  path: PATH,
  one: "access role",
  many: "Access roles",
  noun: "role",
  key: "Name",
  about: "What users, API tokens and tasks may do. A user with several has what all of them allow. Nobody gives a right that they do not have themselves.",
  first: "Make one for each kind of work, such as approving machines on the night shift.",
  columns: [named(PATH), { id: "allows", name: "Allows", value: allows }, DESCRIPTION, STANDING],
  blank: { Name: "", Description: "", Documentation: "", Claims: [], Meta: {} },
  groups: [
    {
      title: "What it allows",
      fields: [{ at: ["Claims"], label: "Rights", as: "own", field: ClaimsField }],
    },
    {
      title: "More",
      fields: [{ at: ["Documentation"], label: "Documentation", as: "text", lines: 3 }],
    },
  ],
  usedBy: UsersOf,
};
