// Asks before a user is deleted.
import { useQueryClient } from "@tanstack/react-query";
import { ConfirmDialog } from "../ui/ConfirmDialog";
import { notify } from "../ui/Notice";
import { deleteUser } from "./api";

/** The question; open while a name is given. */
export function DeleteUser({ name, close, done }: { name: string | null; close(): void; done?(): void }) {
  const client = useQueryClient();
  const run = async () => {
    if (name === null) return;
    await deleteUser(client, name);
    notify(`User ${name} is deleted.`);
    done?.();
  };
  return (
    <ConfirmDialog
      open={name !== null}
      close={close}
      title={`Delete ${name ?? ""}?`}
      typed={{ text: name ?? "", what: "the user\u2019s name" }}
      act={{ label: "Delete user", busy: "Deleting\u2026" }}
      doing="delete"
      run={run}
    >
      <p>
        The user is signed out everywhere. The user&rsquo;s API tokens end, and so do the bootstrap tokens that the user
        made; machines that are registered stay.
      </p>
    </ConfirmDialog>
  );
}
