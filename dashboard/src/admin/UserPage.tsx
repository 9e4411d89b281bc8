// One user: access roles, password, what the user is signed in with.
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useRef, useState } from "react";
import { Link, useLocation } from "wouter";
import { at } from "../api";
import { explain } from "../explain";
import { useSession } from "../live";
import { BackIcon, TrashIcon } from "../ui/icons";
import { notify } from "../ui/Notice";
import { Loading, Problem } from "../ui/parts";
import { Tags } from "../ui/Tags";
import { setRoles, useAccessRoles, useUser } from "./api";
import { DeleteUser } from "./DeleteUser";
import { PageHead } from "./PageHead";
import { RoleList } from "./RoleList";
import { SetPassword } from "./SetPassword";
import { SignIns } from "./SignIns";
import type { User } from "./wire";
import "../styles/admin.css";

/** The page. */
export function UserPage({ name }: { name: string }) {
  const client = useQueryClient();
  const [, go] = useLocation();
  const session = useSession();
  const own = session.data?.Username === name;
  const user = useUser(client, name);
  const [deleting, setDeleting] = useState(false);
  return (
    <>
      <Link to="/users" className="back">
        <BackIcon />
        Users
      </Link>
      <PageHead title={name} lead={user.data?.Description}>
        <button type="button" className="button" disabled={user.data === undefined} onClick={() => setDeleting(true)}>
          <TrashIcon />
          Delete
        </button>
      </PageHead>
      {user.error !== null && <Problem error={explain(user.error, "load")} />}
      {user.isPending && <Loading what="Loading the user" />}
      {user.data !== undefined && (
        <>
          <Roles user={user.data} />
          <SetPassword name={name} own={own} />
          <SignIns name={name} own={own} />
        </>
      )}
      <DeleteUser name={deleting ? name : null} close={() => setDeleting(false)} done={() => go("/users")} />
    </>
  );
}

function Roles({ user }: { user: User }) {
  const client = useQueryClient();
  const roles = useAccessRoles(client);
  // Two changes one after the other: the second is made on what the first one left.
  const latest = useRef(user);
  latest.current = user;
  const change = useMutation({
    mutationFn: (wanted: string[]) => setRoles(client, latest.current, wanted),
    onSuccess: () => notify(`The access roles of ${user.Name} are changed.`),
  });
  return (
    <section className="card" aria-labelledby="access-roles">
      <h2 id="access-roles">Access roles</h2>
      <div className="form">
        <Tags
          label="Access roles"
          one="access role"
          values={user.Roles}
          options={(roles.data ?? []).map((role) => ({ value: role.Name, note: role.Description, to: at("access-roles", role.Name) }))}
          onChange={(wanted) => change.mutate(wanted)}
          {...(change.isPending ? { locked: "Changing\u2026" } : {})}
          none="None: the user may do nothing"
        />
        {change.error !== null && <Problem error={explain(change.error, "change")} />}
        {roles.data !== undefined && <RoleList names={user.Roles} roles={roles.data} />}
      </div>
    </section>
  );
}
