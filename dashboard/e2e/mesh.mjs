// What the stand-in answers about tunnels of mesh networks: those of one machine, and the map of a network. Where a
// test says nothing else (`mock.peers`, `mock.maps`), all members have tunnels with each other.

/** What a stand-in keeps of it. */
export function meshState() {
  return {
    /** What is different of `/machines/{id}/peers`, by UUID. */
    peers: new Map(),
    /** What is different of `/meshes/{name}/peers`, by name. */
    maps: new Map(),
  };
}

/** A peer with a tunnel, as a machine sees it. */
export function peer(machine, part = {}) {
  return {
    Machine: machine.Uuid,
    Name: machine.Name,
    Addresses: machine.MeshAddresses,
    Online: machine.Online,
    Tunnel: true,
    Way: "direct",
    Relay: "",
    HandshakeAt: new Date(Date.now() - 45_000).toISOString(),
    Up: machine.Online,
    Received: 1_572_864,
    Sent: 4_096,
    Endpoint: `${machine.Address}:51820`,
    ...part,
  };
}

/** A member on the map. */
export function member(part = {}) {
  return {
    Machine: "",
    Name: "web-1",
    Roles: [],
    Addresses: ["10.20.0.1"],
    Online: true,
    Key: "tL7Kq4nI9bWz0m3vYx1c5dE8fGhJ2kLpQrStUvWxYzA=",
    Relay: false,
    Endpoints: ["192.0.2.7:51820"],
    ReportedAt: new Date(Date.now() - 5_000).toISOString(),
    Error: "",
    ...part,
  };
}

/** Two members with a tunnel. */
export function edge(From, To, part = {}) {
  return { From, To, Way: "direct", Up: true, HandshakeAt: new Date(Date.now() - 45_000).toISOString(), Received: 1_048_576, Sent: 2_097_152, ...part };
}

/** The answer to such a call as `{status, body}`; undefined for all others. */
export function aboutMesh(mock, method, route) {
  const [, collection, key] = /^\/(machines|meshes)\/([^/]+)\/peers$/.exec(route) ?? [];
  if (method !== "GET" || collection === undefined) return undefined;
  return { status: 200, body: collection === "machines" ? machinePeers(mock, key) : mapOf(mock, decodeURIComponent(key)) };
}

function membersOf(mock, mesh) {
  return [...mock.machines.values()].filter((each) => each.MeshNetwork === mesh).sort((a, b) => a.Name.localeCompare(b.Name));
}

function machinePeers(mock, uuid) {
  const own = mock.machines.get(uuid);
  const others = membersOf(mock, own.MeshNetwork).filter((each) => each.Uuid !== uuid);
  return {
    MeshNetwork: own.MeshNetwork,
    MeshKey: "tL7Kq4nI9bWz0m3vYx1c5dE8fGhJ2kLpQrStUvWxYzA=",
    ReportedAt: new Date(Date.now() - 5_000).toISOString(),
    Error: "",
    Relay: "",
    Peers: others.map((each) => peer(each)),
    ...mock.peers.get(uuid),
  };
}

function mapOf(mock, mesh) {
  const all = membersOf(mock, mesh);
  return {
    Name: mesh,
    Relay: null,
    Members: all.map(({ Uuid: Machine, Name, Roles, MeshAddresses: Addresses, Online }) => member({ Machine, Name, Roles, Addresses, Online })),
    Edges: all.flatMap((to, place) => all.slice(0, place).map((from, before) => edge(before, place, { Up: from.Online && to.Online }))),
    ...mock.maps.get(mesh),
  };
}
