// The tab Map of a mesh network: who reaches whom, as a picture and as a table.
import { useMemo, useState } from "react";
import { Link } from "wouter";
import { explain } from "../explain";
import { textAt } from "../objects/json";
import type { ViewProps } from "../objects/kind";
import { machinePath } from "../route";
import { memorySize } from "../size";
import { DataTable, type Column } from "../ui/DataTable";
import { SelectField } from "../ui/fields";
import { Loading, Problem } from "../ui/parts";
import { useMeshMap } from "./api";
import { Drawing } from "./Drawing";
import { advice, graphOf, standingAt, summary } from "./graph";
import { spotWords } from "./layout";
import { Handshake, PresenceDot, Warning, WayMark } from "./parts";
import { reachedWords, type Reached, type Standing } from "./peers";
import type { MeshEdge, MeshMap, MeshMember } from "./wire";
import "../styles/map.css";

/** The tab. */
export function PeerMap({ object }: ViewProps) {
  const mesh = textAt(object, "Name");
  const map = useMeshMap(mesh);
  if (map.isError) return <Problem error={explain(map.error, "load")} again={{ label: "Try again", act: () => void map.refetch() }} />;
  if (map.isPending) return <Loading what="Loading the map" />;
  if (map.data.Members.length === 0) {
    return (
      <section className="empty">
        <h2>Nothing to draw yet</h2>
        <p>Machines show up here as soon as they are assigned to {mesh}, and their tunnels as soon as they have told their keys.</p>
        <Link to="/" className="button">
          Machines
        </Link>
      </section>
    );
  }
  return <Told mesh={mesh} map={map.data} />;
}

function Told({ mesh, map }: { mesh: string; map: MeshMap }) {
  const graph = useMemo(() => graphOf(map), [map]);
  const [chosen, choose] = useState("");
  const [standing, setStanding] = useState("");
  const words = summary(map, graph);
  const help = advice(map, graph);
  const spot = graph.spots.find(({ id }) => id === chosen);
  return (
    <div className="map-view">
      {help !== null && <Warning text={help} />}
      <p role="status">{words}</p>
      {graph.grouped && (
        <p className="hint">
          So many members are drawn by their first role. Relays, and members that others do not reach, stand by themselves.
        </p>
      )}
      <div className="map-fields">
        <SelectField label="Look at" value={chosen} onChange={choose} empty="All members" choices={graph.spots.map((each) => ({ value: each.id, name: each.name }))} />
        <SelectField label="Pairs in the table" value={standing} onChange={setStanding} empty="All" choices={LEGEND.map(({ standing: value, words: name }) => ({ value, name }))} />
      </div>
      <figure className="card map-card">
        <Drawing label={`Map of ${mesh}: ${words}`} graph={graph} chosen={chosen} choose={choose} />
        <figcaption>
          <p className="map-looked-words">{spot === undefined ? "" : spotWords(spot)}</p>
          <ul className="map-legend">
            {LEGEND.map(({ standing: each, words: name, why }) => (
              <li key={each}>
                <WayMark standing={each} words={name} why={why} />
              </li>
            ))}
          </ul>
        </figcaption>
      </figure>
      <Pairs mesh={mesh} map={map} members={spot?.members ?? null} standing={standing} />
    </div>
  );
}

const LEGEND: readonly Reached[] = [
  { standing: "direct", words: "Direct tunnel", why: "Both have a session with each other." },
  { standing: "relayed", words: "By the relay", why: "They do not reach each other: the relay forwards between them." },
  { standing: "unmet", words: "Not reached", why: "Both are online and do not reach each other." },
  { standing: "away", words: "One is offline", why: "One of the two is offline, or both are." },
];

/** A row: two members and what is between them. */
interface Pair {
  key: string;
  from: MeshMember;
  to: MeshMember;
  /** Their places in the order of names: numbers, since there may be thirty thousand rows to sort. */
  places: readonly [number, number];
  edge: MeshEdge;
  reached: Reached;
}

interface PairsProps {
  mesh: string;
  map: MeshMap;
  /** Members of whom all pairs are listed; null for everybody's. */
  members: readonly number[] | null;
  standing: string;
}

function Pairs({ mesh, map, members, standing }: PairsProps) {
  const pairs = useMemo(() => pairsOf(map, members, standing), [map, members, standing]);
  if (pairs.length === 0) {
    const all = members === null && standing === "";
    return <p className="hint">{all ? "No pair of members has a tunnel yet." : "There is no such pair."}</p>;
  }
  return <DataTable caption={`Pairs of ${mesh}`} things={pairs} columns={COLUMNS} keyOf={(pair) => pair.key} order={{ by: "from" }} />;
}

function pairsOf(map: MeshMap, members: readonly number[] | null, standing: string): Pair[] {
  const wanted = members === null ? null : new Set(members);
  const places = placesOf(map.Members);
  const relay = map.Members.find(({ Machine }) => Machine === map.Relay)?.Name ?? "";
  return map.Edges.flatMap((edge) => {
    const [from, to] = [map.Members[edge.From], map.Members[edge.To]];
    if (from === undefined || to === undefined) return [];
    if (wanted !== null && !wanted.has(edge.From) && !wanted.has(edge.To)) return [];
    const stands: Standing = standingAt(map, edge);
    if (standing !== "" && standing !== stands) return [];
    const reached = reachedWords(stands, { relay, tunnel: true, before: edge.HandshakeAt !== null });
    return [{ key: `${from.Machine} ${to.Machine}`, from, to, places: [places[edge.From] ?? 0, places[edge.To] ?? 0], edge, reached }];
  });
}

/** The place of each member in the order of their names. */
function placesOf(members: readonly MeshMember[]): number[] {
  const sorted = members.map(({ Name }, index) => ({ Name, index })).sort((a, b) => NAMES.compare(a.Name, b.Name));
  const places: number[] = [];
  sorted.forEach(({ index }, place) => (places[index] = place));
  return places;
}

// `node-2` before `node-10`.
const NAMES = new Intl.Collator(undefined, { numeric: true, sensitivity: "base" });

function Member({ member }: { member: MeshMember }) {
  return (
    <span className="mesh-member">
      <PresenceDot online={member.Online} />
      <Link to={machinePath(member.Machine, "peers")}>
        <bdi>{member.Name}</bdi>
      </Link>
      {member.Relay && <span className="badge">Relay</span>}
    </span>
  );
}

const COLUMNS: readonly Column<Pair>[] = [
  { id: "from", name: "Between", value: ({ places: [from] }) => from, cell: ({ from }) => <Member member={from} /> },
  { id: "to", name: "And", value: ({ places: [, to] }) => to, cell: ({ to }) => <Member member={to} /> },
  { id: "way", name: "Way", value: ({ reached }) => reached.words, cell: ({ reached }) => <WayMark {...reached} /> },
  {
    id: "handshake",
    name: "Handshake",
    value: ({ edge }) => (edge.HandshakeAt === null ? 0 : Date.parse(edge.HandshakeAt)),
    cell: ({ edge }) => <Handshake at={edge.HandshakeAt} />,
  },
  { id: "there", name: "To the second", value: ({ edge }) => edge.Sent, cell: ({ edge }) => memorySize(edge.Sent) },
  { id: "back", name: "To the first", value: ({ edge }) => edge.Received, cell: ({ edge }) => memorySize(edge.Received) },
];
