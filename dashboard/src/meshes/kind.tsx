// Mesh networks as a kind of object: their list, their editor, and who is in them.
import { lazy, Suspense } from "react";
import { Link } from "wouter";
import { at } from "../api";
import { DESCRIPTION, names } from "../objects/kinds/columns";
import { flagAt, textAt, valueAt, type Obj } from "../objects/json";
import type { KindSpec, ViewProps } from "../objects/kind";
import { StarIcon } from "../ui/icons";
import { Loading } from "../ui/parts";
import "../styles/meshes.css";
import { CidrsField } from "./CidrsField";
import { Members } from "./Members";

const PATH = "/meshes";
const NUMBERS = new Intl.NumberFormat();

const LazyMap = lazy(async () => ({ default: (await import("./PeerMap")).PeerMap }));

/** The map, fetched when somebody looks at it. */
function MapView(props: ViewProps) {
  return (
    <Suspense fallback={<Loading what="Loading the map" />}>
      <LazyMap {...props} />
    </Suspense>
  );
}

function NameCell({ mesh }: { mesh: Obj }) {
  const name = textAt(mesh, "Name");
  return (
    <span className="mesh-name">
      <Link to={PATH + at(name)}>{name}</Link>
      {flagAt(mesh, "Default") && (
        <span className="mesh-default" role="img" aria-label="Default" title="New machines join it">
          <StarIcon />
        </span>
      )}
    </span>
  );
}

function numberAt(mesh: Obj, field: string): number {
  const value = valueAt(mesh, [field]);
  return typeof value === "number" ? value : 0;
}

function counted(name: string, field: string) {
  return {
    id: field,
    name,
    width: "narrow",
    value: (mesh: Obj) => numberAt(mesh, field),
    cell: (mesh: Obj) => NUMBERS.format(numberAt(mesh, field)),
  } as const;
}

export const MESHES: KindSpec = {
  name: "meshes",
  collection: "meshes",
  path: PATH,
  one: "mesh network",
  many: "Mesh Networks",
  noun: "mesh network",
  key: "Name",
  about: "A mesh network is a private, encrypted network of machines, wherever they stand. Each machine in it has one address of every family, from the day it joins to the day it leaves.",
  first: "Make one with a private network that nothing else uses, and assign machines to it.",
  columns: [
    { id: "name", name: "Name", value: (mesh) => textAt(mesh, "Name"), cell: (mesh) => <NameCell mesh={mesh} /> },
    names("Networks", "Cidrs"),
    counted("Machines", "Members"),
    counted("Free", "FreeAddresses"),
    DESCRIPTION,
  ],
  blank: { Name: "", Description: "", Cidrs: [], Default: false, Hosts: false, Meta: {} },
  groups: [
    {
      title: "Addresses",
      fields: [{ at: ["Cidrs"], label: "Networks", as: "own", field: CidrsField }],
    },
    {
      title: "Names",
      fields: [
        {
          at: ["Hosts"],
          label: "Entries in /etc/hosts",
          as: "toggle",
          hint: "Every member finds the others by their names, as NAME and NAME.NETWORK.mesh, without a name server.",
        },
      ],
    },
    {
      title: "New machines",
      fields: [
        {
          at: ["Default"],
          label: "Default",
          as: "toggle",
          hint: "New machines join it when they are registered, unless their token says another one. At most one mesh network is the default.",
        },
      ],
    },
  ],
  prefs: [{ pref: "defaultMesh", what: "It is the default mesh network." }],
  machines: (key) => `MeshNetwork=${key}`,
  referrers: [{ kind: "vips", does: (vip, key) => textAt(vip, "MeshNetwork") === key }],
  views: [
    { id: "members", name: "Members", view: Members },
    { id: "map", name: "Map", view: MapView },
  ],
};
