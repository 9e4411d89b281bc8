// The three dots of a machine, and what they do.
import { lazy, Suspense, useRef, useState } from "react";
import { machinePath } from "../route";
import { changed, useTell } from "../live";
import { ConfirmDialog } from "../ui/ConfirmDialog";
import { notify } from "../ui/Notice";
import { RowMenu, type RowAct } from "../ui/RowMenu";
import type { Machine } from "../wire";
import { discover, forget, lock, type Subject } from "./acts";
import { MeshDialog, RenameDialog } from "./MachineDialogs";
import { explain } from "../explain";

// With the disk plan and all: fetched when it is asked for.
const ProvisionDialog = lazy(async () => ({ default: (await import("./detail/ProvisionDialog")).ProvisionDialog }));

type Dialog = "provision" | "discover" | "rename" | "mesh" | "delete";

interface MachineMenuProps {
  machine: Subject & Pick<Machine, "Online" | "MeshNetwork">;
  /** Where the machine's own page is shown, there is no need to open it. */
  onDeleted?: () => void;
}

/** The row menu. `onDeleted` runs after the machine is gone. */
export function MachineMenu({ machine, onDeleted }: MachineMenuProps) {
  const [dialog, setDialog] = useState<Dialog | null>(null);
  const trigger = useRef<HTMLButtonElement>(null);
  const tell = useTell();
  const locked = machine.Locked ? "The machine is locked" : undefined;
  const ask = (which: Dialog) => () => setDialog(which);
  const turnLock = () => {
    lock(machine.Uuid, !machine.Locked).then(
      (now) => {
        tell(changed(now));
        notify(`${now.Name} is ${now.Locked ? "locked: users cannot change it" : "unlocked"}.`);
      },
      (error: unknown) => notify(explain(error, "change").text, "problem"),
    );
  };
  const acts: RowAct[] = [
    ...(onDeleted === undefined ? [{ name: "Open", to: machinePath(machine.Uuid) }] : []),
    { name: "Provision\u2026", act: ask("provision"), locked },
    { name: "Discover\u2026", act: ask("discover"), locked },
    { name: machine.Locked ? "Unlock" : "Lock", act: turnLock },
    { name: "Rename\u2026", act: ask("rename"), locked },
    { name: "Mesh network\u2026", act: ask("mesh"), locked },
    { name: "Delete\u2026", act: ask("delete"), danger: true, locked },
  ];
  return (
    <>
      <RowMenu of={machine.Name} acts={acts} trigger={trigger} />
      {dialog !== null && (
        <MachineDialog
          machine={machine}
          dialog={dialog}
          close={() => setDialog(null)}
          trigger={trigger}
          {...(onDeleted === undefined ? {} : { onDeleted })}
        />
      )}
    </>
  );
}

interface MachineDialogProps extends MachineMenuProps {
  dialog: Dialog;
  close(): void;
  trigger: React.RefObject<HTMLButtonElement | null>;
}

function MachineDialog({ machine, dialog, close, trigger, onDeleted }: MachineDialogProps) {
  const shared = { machine, close, returnTo: trigger };
  switch (dialog) {
    case "provision":
      return (
        <Suspense fallback={null}>
          <ProvisionDialog
            machine={{ uuid: machine.Uuid, name: machine.Name }}
            open
            onOpenChange={(open) => {
              if (open) return;
              close();
              trigger.current?.focus();
            }}
          />
        </Suspense>
      );
    case "discover":
      return <DiscoverDialog {...shared} />;
    case "rename":
      return <RenameDialog {...shared} />;
    case "mesh":
      return <MeshDialog {...shared} />;
    case "delete":
      return <DeleteDialog {...shared} {...(onDeleted === undefined ? {} : { onDeleted })} />;
  }
}

type DialogProps = Omit<MachineDialogProps, "dialog" | "trigger"> & { returnTo: MachineDialogProps["trigger"] };

function DiscoverDialog({ machine, close, returnTo }: DialogProps) {
  return (
    <ConfirmDialog
      open
      close={close}
      returnTo={returnTo}
      title={`Bring ${machine.Name} back to Discovery mode?`}
      act={{ label: "Discover", busy: "Asking\u2026" }}
      doing="change"
      danger={false}
      run={async () => {
        await discover(machine.Uuid);
        notify(`${machine.Name} goes back to Discovery mode with its next boot.`);
      }}
    >
      <p>
        It leaves what it runs now, boots the discovery image and waits there. Its disks are not touched, and it keeps its
        name, roles and settings.
      </p>
    </ConfirmDialog>
  );
}

function DeleteDialog({ machine, close, returnTo, onDeleted }: DialogProps) {
  const tell = useTell();
  return (
    <ConfirmDialog
      open
      close={close}
      returnTo={returnTo}
      title={`Delete ${machine.Name}?`}
      typed={{ text: machine.Name, what: "the machine\u2019s name" }}
      act={{ label: "Delete machine", busy: "Deleting\u2026" }}
      doing="delete"
      run={async () => {
        await forget(machine.Uuid);
        tell({ Time: "", Type: "machines", Action: "delete", Key: machine.Uuid, Principal: "", Object: null });
        notify(`${machine.Name} is deleted.`);
        onDeleted?.();
      }}
    >
      <p>
        Muster forgets <strong>{machine.Name}</strong> and its key.
        {machine.Online && " The machine is online now and will lose its connection."} Its disks are not touched. To come
        back it has to be bootstrapped again.
      </p>
    </ConfirmDialog>
  );
}
