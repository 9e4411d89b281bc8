// The machines of a mesh network, with their addresses and how many of their tunnels are up.
import { useInfiniteQuery, useQueryClient } from "@tanstack/react-query";
import { useMemo } from "react";
import { Link } from "wouter";
import { explain } from "../explain";
import { useEvents } from "../live";
import { textAt } from "../objects/json";
import type { ViewProps } from "../objects/kind";
import { machinePath } from "../route";
import { useNow } from "../time";
import { DataTable, type Column } from "../ui/DataTable";
import { Age, Liveness, Loading, Nothing, Problem } from "../ui/parts";
import { members, membersKey, PART, useMeshMap, type Member } from "./api";
import { isV6 } from "./cidr";
import { tunnels, type Tunnels } from "./graph";
import type { MeshMap, MeshMember } from "./wire";

/** A machine, and what the map knows of it. */
interface Row {
  member: Member;
  told: MeshMember | undefined;
  tunnels: Tunnels | undefined;
  /** It is the relay in use. */
  inUse: boolean;
}

function MachineCell({ member, told, inUse }: Row) {
  const now = useNow(1_000);
  return (
    <span className="mesh-member">
      <Liveness machine={member} now={now} />
      <Link to={machinePath(member.Uuid)}>{member.Name}</Link>
      <Age machine={member} now={now} />
      {told?.Relay === true && (
        <span className="badge" title={inUse ? "It forwards between members that do not reach each other" : "It would forward if the one in use went away"}>
          {inUse ? "Relay, in use" : "Relay"}
        </span>
      )}
    </span>
  );
}

/** How many of its tunnels have a session, or why it has none. */
function TunnelsCell({ told, tunnels }: Row) {
  if (told === undefined || tunnels === undefined) return <Nothing />;
  if (told.Error !== "") return <span className="way way-unmet">{told.Error}</span>;
  if (told.Key === "") return <span className="none">No key yet</span>;
  return (
    <span className="mesh-count" title={`${tunnels.up} of ${tunnels.possible} tunnels had a handshake within three minutes`}>
      {tunnels.up} of {tunnels.possible}
    </span>
  );
}

const address = (member: Member, v6: boolean) => member.MeshAddresses.find((text) => isV6(text) === v6) ?? "";

const COLUMNS: readonly Column<Row>[] = [
  { id: "machine", name: "Machine", value: ({ member }) => member.Name, cell: (row) => <MachineCell {...row} />, unsorted: true },
  { id: "v4", name: "IPv4 address", value: ({ member }) => address(member, false), cell: ({ member }) => mono(address(member, false)), unsorted: true },
  { id: "v6", name: "IPv6 address", value: ({ member }) => address(member, true), cell: ({ member }) => mono(address(member, true)), unsorted: true },
  { id: "tunnels", name: "Tunnels up", value: ({ tunnels }) => tunnels?.up ?? 0, cell: (row) => <TunnelsCell {...row} />, unsorted: true },
  { id: "roles", name: "Roles", value: ({ member }) => member.Roles.join(", "), unsorted: true },
];

function mono(text: string) {
  return text === "" ? "" : <code>{text}</code>;
}

/** The members with what the map knows of them. */
function rowsOf(found: readonly Member[], map: MeshMap | undefined): Row[] {
  const places = new Map(map?.Members.map(({ Machine }, place) => [Machine, place]));
  const counts = map === undefined ? [] : tunnels(map);
  return found.map((member) => {
    const place = places.get(member.Uuid) ?? -1;
    return { member, told: map?.Members[place], tunnels: counts[place], inUse: map?.Relay === member.Uuid };
  });
}

/** The list, kept as machines come and go. */
export function Members({ object }: ViewProps) {
  const mesh = textAt(object, "Name");
  const client = useQueryClient();
  useEvents("meshes.*.*", () => void client.invalidateQueries({ queryKey: membersKey(mesh) }));
  const list = useInfiniteQuery({
    queryKey: membersKey(mesh),
    queryFn: ({ pageParam }) => members(mesh, pageParam),
    initialPageParam: 0,
    getNextPageParam: (last, all) => (last.length < PART ? undefined : all.length * PART),
    refetchInterval: 20_000,
  });
  const map = useMeshMap(mesh);
  const found = useMemo(() => rowsOf(list.data?.pages.flat() ?? [], map.data), [list.data, map.data]);
  if (list.isError) return <Problem error={explain(list.error, "load")} again={{ label: "Try again", act: () => void list.refetch() }} />;
  if (list.isPending) return <Loading what="Looking for machines" />;
  if (found.length === 0) {
    return (
      <section className="empty">
        <h2>No machines yet</h2>
        <p>Choose the mesh network on a machine&rsquo;s page, or select machines in the list and assign it to all of them.</p>
        <Link to="/" className="button">
          Machines
        </Link>
      </section>
    );
  }
  return (
    <>
      {map.isError && <Problem error={explain(map.error, "load")} again={{ label: "Try again", act: () => void map.refetch() }} />}
      <DataTable
        caption={`Machines of ${mesh}`}
        things={found}
        columns={COLUMNS}
        keyOf={({ member }) => member.Uuid}
        inParts
        more={list.hasNextPage ? { load: () => void list.fetchNextPage(), busy: list.isFetchingNextPage } : undefined}
      />
    </>
  );
}
