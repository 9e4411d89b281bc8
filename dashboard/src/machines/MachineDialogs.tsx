// Dialogs that change one thing of a machine: its name, its mesh network.
import { useState, type RefObject } from "react";
import { changed, useTell } from "../live";
import { MeshSelect } from "../meshes/MeshSelect";
import { ConfirmDialog } from "../ui/ConfirmDialog";
import { TextField } from "../ui/fields";
import { notify } from "../ui/Notice";
import { assignMesh, rename, type Subject } from "./acts";

interface DialogProps {
  machine: Subject & { MeshNetwork: string };
  close(): void;
  returnTo: RefObject<HTMLButtonElement | null>;
}

/** Asks for another name. */
export function RenameDialog({ machine, close, returnTo }: DialogProps) {
  const [name, setName] = useState(machine.Name);
  const tell = useTell();
  return (
    <ConfirmDialog
      open
      close={close}
      returnTo={returnTo}
      title={`Rename ${machine.Name}`}
      act={{ label: "Rename", busy: "Renaming\u2026" }}
      doing="change"
      danger={false}
      run={async () => {
        const now = await rename(machine.Uuid, name.trim());
        tell(changed(now));
        notify(`${machine.Name} is called ${now.Name} now.`);
      }}
    >
      <p>The machine takes its new hostname when it is installed the next time.</p>
      <TextField label="Name" value={name} onChange={setName} required />
    </ConfirmDialog>
  );
}

/** Asks for a mesh network. */
export function MeshDialog({ machine, close, returnTo }: DialogProps) {
  const [mesh, setMesh] = useState(machine.MeshNetwork);
  const tell = useTell();
  return (
    <ConfirmDialog
      open
      close={close}
      returnTo={returnTo}
      title={`Mesh network of ${machine.Name}`}
      act={{ label: "Assign", busy: "Assigning\u2026" }}
      doing="change"
      danger={false}
      run={async () => {
        const now = await assignMesh(machine.Uuid, mesh);
        tell(changed(now));
        notify(mesh === "" ? `${now.Name} is in no mesh network.` : `${now.Name} is in the mesh network ${mesh}.`);
      }}
    >
      <p>It gets an address in the network and keeps it for as long as it is a member.</p>
      <MeshSelect label="Mesh network" value={mesh} onChange={setMesh} />
    </ConfirmDialog>
  );
}
