// The JSON of the tunnels of mesh networks, as `protocol/src/rest/mesh.rs` writes it.

/** The way between two members, as `protocol/src/mesh.rs` has it. */
export type Way = "direct" | "relay";

/** Another member, as one machine sees it. */
export interface Peer {
  Machine: string;
  Name: string;
  Addresses: string[];
  Online: boolean;
  /** False where the two need no tunnel, and reach each other by the relay alone. */
  Tunnel: boolean;
  Way: Way;
  /** The member that it goes by, or empty. */
  Relay: string;
  /** RFC 3339; null before the first handshake. */
  HandshakeAt: string | null;
  /** Whether there is a session now. */
  Up: boolean;
  /** Bytes, as this machine counts them. */
  Received: number;
  Sent: number;
  Endpoint: string | null;
}

/** A machine's place in its mesh network. */
export interface MachinePeers {
  /** Empty in none. */
  MeshNetwork: string;
  /** Its public key; empty while it is not known. */
  MeshKey: string;
  /** When it last told how its tunnels stand. */
  ReportedAt: string | null;
  /** Why it has none; empty where nothing speaks against it. */
  Error: string;
  /** The relay in use in the network; empty where nobody relays. */
  Relay: string;
  Peers: Peer[];
}

/** A member on the map. */
export interface MeshMember {
  Machine: string;
  Name: string;
  Roles: string[];
  Addresses: string[];
  Online: boolean;
  Key: string;
  /** Whether it is marked as a relay. */
  Relay: boolean;
  Endpoints: string[];
  ReportedAt: string | null;
  Error: string;
}

/** A pair of members with a tunnel, by their places in the list of members. */
export interface MeshEdge {
  From: number;
  To: number;
  Way: Way;
  Up: boolean;
  HandshakeAt: string | null;
  /** Bytes, as `From` counts them. */
  Received: number;
  Sent: number;
}

/** All of a mesh network. */
export interface MeshMap {
  Name: string;
  /** UUID of the relay in use; null where nobody relays. */
  Relay: string | null;
  Members: MeshMember[];
  Edges: MeshEdge[];
}
