// Who may sign in: the list, and a new one.
import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { Link, useLocation } from "wouter";
import { at } from "../api";
import { explain } from "../explain";
import { DataTable, type Column } from "../ui/DataTable";
import { PlusIcon, TrashIcon } from "../ui/icons";
import { Loading, Problem } from "../ui/parts";
import { RowMenu } from "../ui/RowMenu";
import { useUsers } from "./api";
import { DeleteUser } from "./DeleteUser";
import { NewUser } from "./NewUser";
import { PageHead } from "./PageHead";
import type { User } from "./wire";
import "../styles/admin.css";

/** Where a user's page is. */
function userPath(name: string): string {
  return at("users", name);
}

const COLUMNS: readonly Column<User>[] = [
  { id: "name", name: "User", value: (user) => user.Name, cell: (user) => <Link to={userPath(user.Name)}>{user.Name}</Link> },
  {
    id: "roles",
    name: "Access roles",
    value: (user) => user.Roles.join(", "),
    cell: (user) =>
      user.Roles.length === 0 ? (
        ""
      ) : (
        <span className="actions">
          {user.Roles.map((role) => (
            <span key={role} className="label label-accent">
              {role}
            </span>
          ))}
        </span>
      ),
  },
  { id: "description", name: "Description", value: (user) => user.Description, width: "wide" },
];

/** The Users page. */
export function UsersPage() {
  const client = useQueryClient();
  const [, go] = useLocation();
  const users = useUsers(client);
  const [making, setMaking] = useState(false);
  const [deleting, setDeleting] = useState<string | null>(null);
  return (
    <>
      <PageHead title="Users" lead="People and programs that sign in. What they may do comes from their access roles.">
        <button type="button" className="button button-primary" onClick={() => setMaking(true)}>
          <PlusIcon />
          New user
        </button>
      </PageHead>
      {users.error !== null && <Problem error={explain(users.error, "load")} />}
      {users.isPending && <Loading what="Loading users" />}
      {users.data !== undefined && (
        <DataTable
          caption="Users"
          things={users.data}
          columns={COLUMNS}
          keyOf={(user) => user.Name}
          order={{ by: "name" }}
          menu={(user) => (
            <RowMenu
              of={user.Name}
              acts={[
                { name: "Open", to: userPath(user.Name) },
                { name: "Delete\u2026", icon: <TrashIcon />, danger: true, act: () => setDeleting(user.Name) },
              ]}
            />
          )}
        />
      )}
      <NewUser
        open={making}
        close={(made) => {
          setMaking(false);
          if (made !== undefined) go(userPath(made));
        }}
      />
      <DeleteUser name={deleting} close={() => setDeleting(null)} />
    </>
  );
}
