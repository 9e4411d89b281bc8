// Virtual addresses and routes as a kind of object: their list, their editor, who holds them, who could.
import { Link } from "wouter";
import { at } from "../api";
import { textAt, textsAt, valueAt, type Obj } from "../objects/json";
import type { KindSpec, OwnFieldProps, ViewProps } from "../objects/kind";
import { MachinesField } from "../objects/fields/MachinesField";
import { PresenceDot } from "../meshes/parts";
import { machinePath } from "../route";
import { DataTable, type Column } from "../ui/DataTable";
import { GlobeIcon } from "../ui/icons";
import "../styles/meshes.css";
import { CheckField } from "./CheckField";
import { candidates, checkOf, checkWords, healthWords, heldState, holderOf, USUAL, type Candidate } from "./words";

const PATH = "/vips";

/** Whether it is held, at a glance. */
function Globe({ vip }: { vip: Obj }) {
  const { tone, words } = heldState(vip);
  return (
    <span className={`globe globe-${tone}`} role="img" aria-label={words} title={words}>
      <GlobeIcon />
    </span>
  );
}

function NameCell({ vip }: { vip: Obj }) {
  const name = textAt(vip, "Name");
  return (
    <span className="mesh-name">
      <Globe vip={vip} />
      <Link to={PATH + at(name)}>{name}</Link>
    </span>
  );
}

function HolderCell({ vip }: { vip: Obj }) {
  const holder = holderOf(vip);
  if (holder === null) return <span className="none">Nobody</span>;
  return <Link to={machinePath(holder.Machine)}>{holder.Name}</Link>;
}

function MeshCell({ vip }: { vip: Obj }) {
  const mesh = textAt(vip, "MeshNetwork");
  return <Link to={at("meshes", mesh)}>{mesh}</Link>;
}

function PrefixCell({ vip }: { vip: Obj }) {
  return <code>{textAt(vip, "Prefix")}</code>;
}

const words = (vip: Obj) => checkWords(checkOf(valueAt(vip, ["Check"])));

/** Members of the chosen mesh network alone: others could not hold it. */
function HoldersField({ value, object, problem, locked, onChange }: OwnFieldProps) {
  const mesh = textAt(object, "MeshNetwork");
  return (
    <MachinesField
      label="Machines"
      hint="The one that holds it keeps it for as long as it is healthy; when it is not, a healthy one takes over."
      problem={problem}
      locked={locked ?? (mesh === "" ? "Choose the mesh network first." : undefined)}
      values={textsAt({ value: value ?? [] }, "value")}
      among={`MeshNetwork=${encodeURIComponent(mesh)}`}
      onChange={onChange}
    />
  );
}

/** A sentence above the form: who holds it, or why nobody does. */
function HeldPanel({ object }: ViewProps) {
  const { tone, words: said } = heldState(object);
  const holder = holderOf(object);
  const epoch = valueAt(object, ["Epoch"]);
  return (
    <p className={`panel vip-held vip-${tone}`} role="status">
      <span className={`globe globe-${tone}`} aria-hidden="true">
        <GlobeIcon />
      </span>
      <span>
        {tone === "held" && holder !== null ? (
          <>
            Held by <Link to={machinePath(holder.Machine)}>{holder.Name}</Link>
          </>
        ) : (
          said
        )}
        .
        {typeof epoch === "number" && epoch > 0 && <span className="hint"> It was given to a machine {times(epoch)} so far.</span>}
      </span>
    </p>
  );
}

function times(epoch: number): string {
  return epoch === 1 ? "once" : `${new Intl.NumberFormat().format(epoch)} times`;
}

const CANDIDATES: readonly Column<Candidate & { holds: boolean }>[] = [
  {
    id: "machine",
    name: "Machine",
    value: ({ Name }) => Name,
    cell: ({ Machine, Name, Online, holds }) => (
      <span className="mesh-member">
        <PresenceDot online={Online} />
        <Link to={machinePath(Machine)}>{Name}</Link>
        {holds && <span className="badge">Holds it</span>}
      </span>
    ),
  },
  {
    id: "health",
    name: "Health",
    value: ({ Healthy }) => (Healthy ? "Healthy" : "Not healthy"),
    cell: ({ Healthy }) => <span className={`way way-${Healthy ? "direct" : "unmet"}`}>{Healthy ? "Healthy" : "Not healthy"}</span>,
  },
  { id: "message", name: "What its last test said", width: "wide", value: ({ Message }) => Message },
];

/** Everybody who may hold it. */
function Holders({ object }: ViewProps) {
  const holder = textAt(object, "Holder");
  const all = candidates(object).map((each) => ({ ...each, holds: each.Machine === holder }));
  if (all.length === 0) {
    return (
      <section className="empty">
        <h2>Nobody may hold it</h2>
        <p>Choose machines or a role in Configuration. Of a role&rsquo;s machines, those in the mesh network may hold it.</p>
      </section>
    );
  }
  return <DataTable caption={`Machines that may hold ${textAt(object, "Name")}`} things={all} columns={CANDIDATES} keyOf={({ Machine }) => Machine} order={{ by: "machine" }} />;
}

export const VIPS: KindSpec = {
  name: "vips",
  collection: "vips",
  path: PATH,
  one: "virtual address or route",
  many: "Virtual addresses & routes",
  noun: "vip",
  key: "Name",
  about: "An address of a mesh network, or a network behind it, that one healthy machine holds at a time. When its holder fails, another one takes over; two never hold it at once.",
  first: "Make one for what has to be reached at one address, such as a control plane, and choose the machines that may hold it.",
  columns: [
    { id: "name", name: "Name", value: (vip) => textAt(vip, "Name"), cell: (vip) => <NameCell vip={vip} /> },
    { id: "prefix", name: "Address or route", value: (vip) => textAt(vip, "Prefix"), cell: (vip) => <PrefixCell vip={vip} /> },
    { id: "check", name: "Health check", value: words },
    { id: "holder", name: "Holder", value: (vip) => holderOf(vip)?.Name ?? "", cell: (vip) => <HolderCell vip={vip} /> },
    { id: "healthy", name: "Healthy", width: "narrow", value: healthWords },
    { id: "mesh", name: "Mesh network", value: (vip) => textAt(vip, "MeshNetwork"), cell: (vip) => <MeshCell vip={vip} /> },
  ],
  blank: { Name: "", Description: "", Documentation: "", MeshNetwork: "", Prefix: "", Enabled: true, Machines: [], Role: "", Check: { ...USUAL }, Meta: {} },
  groups: [
    {
      title: "What is held",
      fields: [
        { at: ["MeshNetwork"], label: "Mesh network", as: "one", kind: "meshes", empty: "Choose one" },
        { at: ["Prefix"], label: "Address or route", as: "text", required: true, mono: true, placeholder: "10.20.255.1/32", hint: "An address (/32 or /128) out of the upper half of the mesh network, which its holder has; or a network that is reached through its holder, such as 192.168.7.0/24." },
        { at: ["Enabled"], label: "Enabled", as: "toggle", hint: "Off: nobody holds it." },
      ],
    },
    {
      title: "Who may hold it",
      note: "Machines by name, all machines of a role, or both.",
      fields: [
        { at: ["Machines"], label: "Machines", as: "own", field: HoldersField },
        { at: ["Role"], label: "Role", as: "one", kind: "roles", empty: "None" },
      ],
    },
    { title: "When a machine is healthy", fields: [{ at: ["Check"], label: "Health check", as: "own", field: CheckField }] },
    { title: "More", fields: [{ at: ["Documentation"], label: "Documentation", as: "text", lines: 4 }] },
  ],
  views: [{ id: "machines", name: "Machines", view: Holders }],
  panel: HeldPanel,
};
