// A select of mesh networks, for machines, selections of machines, and tokens.
import { SelectField } from "../ui/fields";
import { useMeshes, type Mesh } from "./api";

interface MeshSelectProps {
  label: string;
  /** Its name; "" for none. */
  value: string;
  onChange(mesh: string): void;
  hint?: string;
  problem?: string | undefined;
  /** Why it cannot be changed. */
  locked?: string | undefined;
  /** What none means. */
  empty?: string;
}

/** One mesh network, or none. A full one cannot be chosen anew. */
export function MeshSelect({ empty = "None", ...props }: MeshSelectProps) {
  const meshes = useMeshes();
  // Until the list is there, what is chosen is not said to be missing.
  const choices = meshes.data?.map(choice) ?? (props.value === "" ? [] : [{ value: props.value }]);
  const failed = meshes.isError ? "The mesh networks cannot be loaded; reload the page." : undefined;
  return <SelectField {...props} problem={props.problem ?? failed} empty={empty} choices={choices} />;
}

function choice(mesh: Mesh) {
  const notes = [mesh.Default ? "default" : "", mesh.FreeAddresses === 0 ? "full" : ""].filter(Boolean);
  return { value: mesh.Name, name: notes.length === 0 ? mesh.Name : `${mesh.Name} (${notes.join(", ")})` };
}
