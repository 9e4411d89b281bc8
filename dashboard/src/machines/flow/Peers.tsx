// The tab Peers: the other members of the machine's mesh network, how this machine reaches each of them, and what
// goes through.
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useMemo, useState } from "react";
import { Link } from "wouter";
import { isOnline } from "../../age";
import { at } from "../../api";
import { explain } from "../../explain";
import { useEvents } from "../../live";
import { machinePeers, meshOf } from "../../meshes/api";
import { Addresses, Endpoint, Handshake, Key, PresenceDot, Traffic, Warning, WayMark } from "../../meshes/parts";
import { heard, rateOf, reached, remarks, type Readings, type Remark } from "../../meshes/peers";
import type { MachinePeers, Peer } from "../../meshes/wire";
import { machinePath } from "../../route";
import { useGathered, useNow } from "../../time";
import { DataTable, type Column } from "../../ui/DataTable";
import { Loading, Problem } from "../../ui/parts";
import type { MachineFull, TabProps } from "../detail/wire";
import "../../styles/meshes.css";

/** How long events are gathered before the peers are asked for again, in milliseconds. */
const GATHER = 1_000;

/** The tab. */
export function Peers({ machine }: TabProps) {
  const peers = usePeers(machine);
  const readings = useReadings(peers.data);
  // A heartbeat that is too old makes a machine offline without a word of the server.
  const online = isOnline(machine, useNow(5_000));
  return (
    <section className="card mesh-peers" aria-labelledby="peers">
      <div className="card-head">
        <h2 id="peers">
          Peers in <Link to={at("meshes", machine.MeshNetwork)}>{machine.MeshNetwork}</Link>
        </h2>
      </div>
      <p className="mesh-own">
        <span className="hint">This machine:</span>
        <Addresses of={machine.MeshAddresses} />
        {peers.data !== undefined && peers.data.MeshKey !== "" && <Key text={peers.data.MeshKey} />}
      </p>
      {peers.isPending && <Loading what="Loading the peers" />}
      {peers.error !== null && <Problem error={explain(peers.error, "load")} again={{ label: "Try again", act: () => void peers.refetch() }} />}
      {readings !== null && <Told machine={machine} online={online} readings={readings} />}
    </section>
  );
}

/** What is known, kept as it is: told by reports of this machine, and by others that come, go or are renamed. */
function usePeers(machine: MachineFull) {
  const { Uuid: uuid, MeshNetwork: mesh } = machine;
  const client = useQueryClient();
  const key = ["peers", uuid, mesh];
  const again = useGathered(() => void client.invalidateQueries({ queryKey: key }), GATHER);
  useEvents(`peers.update.${uuid}`, again);
  useEvents("machines.*.*", (event) => {
    const known = client.getQueryData<MachinePeers>(key)?.Peers;
    if (meshOf(event.Object) === mesh || known?.some((peer) => peer.Machine === event.Key) === true) again();
  });
  return useQuery({ queryKey: key, queryFn: () => machinePeers(uuid), refetchInterval: 15_000 });
}

/** The last two reports, for rates. */
function useReadings(told: MachinePeers | undefined): Readings | null {
  const [readings, setReadings] = useState<Readings | null>(null);
  if (told === undefined || readings?.last === told) return readings;
  const next = heard(readings?.last.MeshNetwork === told.MeshNetwork ? readings : null, told);
  setReadings(next);
  return next;
}

function Told({ machine, online, readings }: { machine: MachineFull; online: boolean; readings: Readings }) {
  const { last } = readings;
  const columns = useMemo(() => columnsOf(online, readings), [online, readings]);
  return (
    <>
      {remarks(machine, online, last).map((remark) => (
        <Said key={remark.text} {...remark} />
      ))}
      {last.Peers.length === 0 ? (
        <p className="hint">
          It is the only member so far. Assign other machines to {machine.MeshNetwork}, and they find each other by themselves.
        </p>
      ) : (
        <DataTable caption={`Peers of ${machine.Name}`} things={last.Peers} columns={columns} keyOf={(peer) => peer.Machine} order={{ by: "name" }} />
      )}
    </>
  );
}

/** A remark above the table. */
function Said({ tone, text }: Remark) {
  if (tone === "problem") return <Problem error={{ text, retryAfter: null }} />;
  if (tone === "info") return <p role="status">{text}</p>;
  return <Warning text={text} />;
}

function columnsOf(online: boolean, readings: Readings): Column<Peer>[] {
  return [
    {
      id: "name",
      name: "Machine",
      value: (peer) => peer.Name,
      cell: (peer) => (
        <span className="mesh-member">
          <PresenceDot online={peer.Online} />
          <Link to={machinePath(peer.Machine)}>
            <bdi>{peer.Name}</bdi>
          </Link>
        </span>
      ),
    },
    { id: "addresses", name: "Addresses", value: (peer) => peer.Addresses[0] ?? "", cell: (peer) => <Addresses of={peer.Addresses} /> },
    {
      id: "way",
      name: "Way",
      value: (peer) => reached(peer, online).words,
      cell: (peer) => <WayMark {...reached(peer, online)} />,
    },
    {
      id: "handshake",
      name: "Handshake",
      value: (peer) => (peer.HandshakeAt === null ? 0 : Date.parse(peer.HandshakeAt)),
      cell: (peer) => <Handshake at={peer.HandshakeAt} />,
    },
    {
      id: "traffic",
      name: "Traffic",
      value: (peer) => peer.Received + peer.Sent,
      cell: (peer) => <Traffic received={peer.Received} sent={peer.Sent} rate={rateOf(peer, readings)} />,
    },
    { id: "endpoint", name: "Endpoint", value: (peer) => peer.Endpoint ?? "", cell: (peer) => <Endpoint text={peer.Endpoint} /> },
  ];
}
