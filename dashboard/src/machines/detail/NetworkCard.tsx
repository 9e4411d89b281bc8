// The card Network: the mesh network, and the network of the installed system.
import { MeshSelect } from "../../meshes/MeshSelect";
import { TextField } from "../../ui/fields";
import type { Editing } from "./editing";
import { FlagField } from "./FlagField";
import { Inherited } from "./Inherited";

const NETWORK = "muster/network";
const RELAY = "muster/mesh-relay";
const ENDPOINT = "muster/mesh-endpoint";
const EXAMPLES = [
  ["Automatic", "dhcp"],
  ["Static address", "if=52:54:00:12:34:56,addr=10.0.0.5/24,gw=10.0.0.1,dns=10.0.0.2,search=example.com"],
  ["In a VLAN", "if=52:54:00:12:34:56,vlan=120,addr=10.0.0.5/24,gw=10.0.0.1"],
  ["Bond of two links", "bond=52:54:00:00:00:01+52:54:00:00:00:02,mode=802.3ad,addr=10.0.0.5/24,gw=10.0.0.1"],
] as const;

/** The card. */
export function NetworkCard({ edit }: { edit: Editing }) {
  return (
    <section className="card fields" aria-labelledby="card-network">
      <h2 id="card-network">Network</h2>
      <MeshSelect
        label="Mesh network"
        value={edit.text("MeshNetwork")}
        hint={meshHint(edit)}
        problem={edit.problem("MeshNetwork")}
        locked={edit.locked}
        onChange={(mesh) => edit.set(mesh, "MeshNetwork")}
      />
      {edit.text("MeshNetwork") !== "" && <MeshFields edit={edit} />}
      <TextField
        label="Network of the installed system"
        mono
        lines={3}
        placeholder="if=52:54:00:12:34:56,addr=10.0.0.5/24,gw=10.0.0.1"
        hint={<Inherited source={edit.from(NETWORK)} usual="automatic, as the image is set up" />}
        value={edit.text("Params", NETWORK)}
        problem={edit.problem(`Params/${NETWORK}`)}
        locked={edit.locked}
        onChange={(text) => edit.set(text === "" ? undefined : text, "Params", NETWORK)}
      />
      <details>
        <summary>Links and examples</summary>
        <p className="field-hint">One word for each device, with a space between two. Links of this machine:</p>
        <ul className="machine-lines">
          {edit.machine.Inventory.Links.map((link) => (
            <li key={link.Mac}>
              <code>if={link.Mac}</code> {link.Name}
              {link.Carrier ? "" : ", no carrier"}
            </li>
          ))}
        </ul>
        <dl className="examples">
          {EXAMPLES.map(([name, text]) => (
            <div key={name}>
              <dt>{name}</dt>
              <dd>
                <code>{text}</code>
              </dd>
            </div>
          ))}
        </dl>
      </details>
    </section>
  );
}

/** What it is to the other members, and where they reach it. */
function MeshFields({ edit }: { edit: Editing }) {
  return (
    <>
      <FlagField
        edit={edit}
        param={RELAY}
        label="Relay for other members"
        usual={false}
        hint="It forwards between members that do not reach each other. Best is a machine that all of them reach."
      />
      <TextField
        label="Endpoint in the mesh network"
        mono
        placeholder="203.0.113.7:51820"
        hint={
          <>
            Where other members reach it, such as behind a port that is forwarded.{" "}
            <Inherited source={edit.from(ENDPOINT)} usual="found out by itself" />
          </>
        }
        value={edit.text("Params", ENDPOINT)}
        problem={edit.problem(`Params/${ENDPOINT}`)}
        locked={edit.locked}
        onChange={(text) => edit.set(text === "" ? undefined : text, "Params", ENDPOINT)}
      />
    </>
  );
}

function meshHint({ machine, text }: Editing): string {
  const addresses = machine.MeshAddresses;
  const same = text("MeshNetwork") === machine.MeshNetwork;
  if (same && machine.MeshNetwork !== "" && addresses.length > 0) return `Its addresses there: ${addresses.join(", ")}.`;
  return "A machine gets an address in its mesh network and keeps it for as long as it is a member.";
}
