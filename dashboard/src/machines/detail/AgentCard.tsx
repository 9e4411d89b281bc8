// The card Agent: what the installed system gets of Muster, and how it boots.
import { TextField } from "../../ui/fields";
import type { Editing } from "./editing";
import { FlagField } from "./FlagField";
import { Inherited } from "./Inherited";
import { textsAt } from "../../objects/json";

const ARGS = "muster/kernel-args";
const HOSTS = "muster/agent-hosts";

/** The card. */
export function AgentCard({ edit }: { edit: Editing }) {
  const hosts = textsAt(edit.draft.wanted, "Params", HOSTS).join("\n");
  return (
    <section className="card fields" aria-labelledby="card-agent">
      <h2 id="card-agent">Agent and boot</h2>
      <FlagField
        edit={edit}
        param="muster/inject-agent"
        label="Install the agent"
        usual
        hint="The agent keeps the machine online here and can bring it back to Discovery mode."
      />
      <FlagField
        edit={edit}
        param="muster/firmware-order"
        label="Put the disk first in the firmware's boot order"
        usual
        hint="Otherwise the firmware's entries stay as they are, and the disk gets none of its own."
      />
      <TextField
        label="Kernel arguments"
        mono
        placeholder="console=ttyS0,115200n8"
        hint={<Inherited source={edit.from(ARGS)} usual="none beside those that the disks need" />}
        value={edit.text("Params", ARGS)}
        problem={edit.problem(`Params/${ARGS}`)}
        locked={edit.locked}
        onChange={(text) => edit.set(text === "" ? undefined : text, "Params", ARGS)}
      />
      <details open={hosts !== ""}>
        <summary>Extra</summary>
        <TextField
          label="Server addresses of the agent"
          mono
          lines={2}
          placeholder="https://10.0.0.2:8092"
          hint={
            <>
              One in a line. <Inherited source={edit.from(HOSTS)} usual="the addresses that every machine is told" />
            </>
          }
          value={hosts}
          problem={edit.problem(`Params/${HOSTS}`)}
          locked={edit.locked}
          onChange={(text) => edit.set(text === "" ? undefined : text.split("\n"), "Params", HOSTS)}
        />
      </details>
    </section>
  );
}
