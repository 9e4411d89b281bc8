// The card General: name, description, lock.
import { TextField, Toggle } from "../../ui/fields";
import type { Editing } from "./editing";

/** The card. */
export function GeneralCard({ edit }: { edit: Editing }) {
  return (
    <section className="card fields" aria-labelledby="card-general">
      <h2 id="card-general">General</h2>
      <TextField
        label="Name"
        required
        value={edit.text("Name")}
        problem={edit.problem("Name")}
        locked={edit.locked}
        onChange={(name) => edit.set(name, "Name")}
      />
      <TextField
        label="Description"
        value={edit.text("Description")}
        problem={edit.problem("Description")}
        locked={edit.locked}
        onChange={(text) => edit.set(text, "Description")}
      />
      <Toggle
        label="Locked"
        hint="Nobody can change, provision or delete a locked machine before it is unlocked."
        value={edit.value("Locked") === true}
        onChange={(locked) => edit.set(locked, "Locked")}
      />
    </section>
  );
}
