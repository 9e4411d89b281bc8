// Makes a user: name, access roles, first password.
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState, type FormEvent } from "react";
import { explain } from "../explain";
import { TextField } from "../ui/fields";
import { Modal } from "../ui/Modal";
import { notify } from "../ui/Notice";
import { Problem } from "../ui/parts";
import { Tags } from "../ui/Tags";
import { createUser, useAccessRoles } from "./api";
import { isWhole, NO_PASSWORD, PasswordFields } from "./PasswordFields";

interface NewUserProps {
  open: boolean;
  /** With the name, when one was made. */
  close(made?: string): void;
}

/** The dialog. */
export function NewUser({ open, close }: NewUserProps) {
  return (
    <Modal
      open={open}
      onOpenChange={(next) => !next && close()}
      title="New user"
      description="Somebody who signs in with a password of their own."
    >
      <UserForm close={close} />
    </Modal>
  );
}

function UserForm({ close }: { close(made?: string): void }) {
  const client = useQueryClient();
  const roles = useAccessRoles(client);
  const [name, setName] = useState("");
  const [description, setDescription] = useState("");
  const [chosen, setChosen] = useState<string[]>([]);
  const [password, setPassword] = useState(NO_PASSWORD);
  const wanted = name.trim();
  const creation = useMutation({
    gcTime: 0,
    mutationFn: () =>
      createUser(client, { Name: wanted, Description: description.trim(), Roles: chosen }, password.password),
    onSuccess: () => {
      notify(`User ${wanted} is made.`);
      close(wanted);
    },
  });
  const ready = wanted !== "" && isWhole(password) && !creation.isPending;
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (ready) creation.mutate();
  };
  return (
    <form className="method-form" onSubmit={submit}>
      <div className="modal-body">
        <TextField label="User name" value={name} onChange={setName} required autoComplete="off" />
        <TextField label="Description" value={description} onChange={setDescription} />
        <div className="field">
          <span>Access roles</span>
          <Tags
            label="Access roles"
            one="access role"
            values={chosen}
            options={(roles.data ?? []).map((role) => ({ value: role.Name, note: role.Description }))}
            onChange={setChosen}
            none="None yet: the user may do nothing"
          />
        </div>
        <PasswordFields value={password} onChange={setPassword} />
        {creation.error !== null && <Problem error={explain(creation.error, "change")} />}
      </div>
      <footer className="modal-actions">
        <button type="button" className="button" onClick={() => close()}>
          Cancel
        </button>
        <button type="submit" className="button button-primary" disabled={!ready}>
          {creation.isPending ? "Making\u2026" : "Make user"}
        </button>
      </footer>
    </form>
  );
}
