// What can be done with one object, beside editing it.
import { useQueryClient } from "@tanstack/react-query";
import { useRef, useState } from "react";
import { ApiError, at } from "../api";
import { ConfirmDialog } from "../ui/ConfirmDialog";
import { TrashIcon } from "../ui/icons";
import { notify } from "../ui/Notice";
import { RowMenu, type RowAct } from "../ui/RowMenu";
import { remove } from "./api";
import { flagAt, type Obj } from "./json";
import { keyOf, type KindSpec } from "./kind";
import { originOf } from "./Standing";

interface ObjectMenuProps {
  kind: KindSpec;
  object: Obj;
  /** Whether it stands at a row: the editor is a place to go to then. */
  inList?: boolean;
  /** Runs after the object is gone. */
  onDeleted?(): void;
}

/** The three dots. */
export function ObjectMenu({ kind, object, inList = false, onDeleted }: ObjectMenuProps) {
  const client = useQueryClient();
  const trigger = useRef<HTMLButtonElement>(null);
  const [deleting, setDeleting] = useState(false);
  const name = keyOf(kind, object);
  const origin = flagAt(object, "ReadOnly") ? (originOf(object)?.name ?? "Read-only") : undefined;
  const acts: RowAct[] = [
    ...(inList ? [{ name: "Open", to: kind.path + at(name) }] : []),
    { name: "Clone\u2026", to: `${kind.path}?copy=${encodeURIComponent(name)}` },
    { name: "Delete\u2026", icon: <TrashIcon />, danger: true, locked: origin, act: () => setDeleting(true) },
  ];
  const run = async () => {
    try {
      await remove(client, kind, name);
    } catch (error) {
      // Somebody else was faster: what was asked for is so.
      if (!(error instanceof ApiError && error.status === 404)) throw error;
    }
    notify(`${name} is deleted.`);
    onDeleted?.();
  };
  return (
    <>
      <RowMenu of={name} acts={acts} trigger={trigger} />
      <ConfirmDialog
        open={deleting}
        close={() => setDeleting(false)}
        title={`Delete ${kind.one} ${name}?`}
        act={{ label: `Delete ${kind.one}`, busy: "Deleting\u2026" }}
        run={run}
        doing="delete"
        returnTo={trigger}
      >
        <p>It is gone at once. What is still needed by something else is not deleted, and you are told by what.</p>
      </ConfirmDialog>
    </>
  );
}
