// The three dots of a machine, and what they do.
import * as Alert from "@radix-ui/react-alert-dialog";
import * as Menu from "@radix-ui/react-dropdown-menu";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useRef, useState, type RefObject } from "react";
import { api, ApiError } from "../api";
import { explain } from "../explain";
import { hideMachine } from "../live";
import { DotsIcon, TrashIcon } from "../ui/icons";
import { Problem } from "../ui/parts";
import type { Machine } from "../wire";

/** The row menu. `onDeleted` runs after the machine is gone. */
export function MachineMenu({ machine, onDeleted }: { machine: Machine; onDeleted?: () => void }) {
  const [deleting, setDeleting] = useState(false);
  const trigger = useRef<HTMLButtonElement>(null);
  return (
    <>
      <Menu.Root modal={false}>
        <Menu.Trigger ref={trigger} className="button button-icon" aria-label={`Actions for ${machine.Name}`}>
          <DotsIcon />
        </Menu.Trigger>
        <Menu.Portal>
          <Menu.Content className="menu" align="end" sideOffset={4}>
            <Menu.Item className="menu-item menu-danger" onSelect={() => setDeleting(true)}>
              <TrashIcon />
              Delete&hellip;
            </Menu.Item>
          </Menu.Content>
        </Menu.Portal>
      </Menu.Root>
      <DeleteDialog
        machine={machine}
        open={deleting}
        close={() => setDeleting(false)}
        returnTo={trigger}
        {...(onDeleted === undefined ? {} : { onDeleted })}
      />
    </>
  );
}

interface DeleteDialogProps {
  machine: Machine;
  open: boolean;
  close(): void;
  /** Gets the focus back: the menu item that opened the dialog is gone by then. */
  returnTo: RefObject<HTMLButtonElement | null>;
  onDeleted?: () => void;
}

function DeleteDialog({ machine, open, close, returnTo, onDeleted }: DeleteDialogProps) {
  const client = useQueryClient();
  const [problem, setProblem] = useState<ReturnType<typeof explain> | null>(null);
  const gone = () => {
    close();
    hideMachine(client, machine.Uuid);
    onDeleted?.();
  };
  const removal = useMutation({
    mutationFn: () => api.deleteMachine(machine.Uuid),
    onSuccess: gone,
    onError: (error) => {
      // Somebody else was faster: what was asked for is so.
      if (error instanceof ApiError && error.status === 404) gone();
      else setProblem(explain(error, "delete"));
    },
  });
  const change = (next: boolean) => {
    if (next || removal.isPending) return;
    setProblem(null);
    close();
  };
  return (
    <Alert.Root open={open} onOpenChange={change}>
      <Alert.Portal>
        <div className="overlay">
          <Alert.Content
            className="modal modal-small"
            onCloseAutoFocus={(event) => {
              event.preventDefault();
              returnTo.current?.focus();
            }}
          >
            <Alert.Title className="modal-title">Delete {machine.Name}?</Alert.Title>
            <Alert.Description className="modal-text">
              Muster forgets <strong>{machine.Name}</strong> and its key.
              {machine.Online && " The machine is online now and will lose its connection."} Its disks are not touched.
              To come back it has to be bootstrapped again.
            </Alert.Description>
            {problem !== null && <Problem error={problem} />}
            <div className="modal-actions">
              <Alert.Cancel className="button" disabled={removal.isPending}>
                Cancel
              </Alert.Cancel>
              <button
                type="button"
                className="button button-danger"
                disabled={removal.isPending}
                onClick={() => removal.mutate()}
              >
                {removal.isPending ? "Deleting\u2026" : "Delete machine"}
              </button>
            </div>
          </Alert.Content>
        </div>
      </Alert.Portal>
    </Alert.Root>
  );
}
