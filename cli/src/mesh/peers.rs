//! `muster mesh peers`: how the tunnels stand, of a whole mesh network or as one machine sees them.

use super::MESHES;
use crate::machine;
use crate::print;
use crate::rest::{Call, decode};
use anyhow::{Result, bail};
use protocol::mesh::Way;
use protocol::rest::{MachinePeers, MeshEdge, MeshMap, MeshMember, Peer};
use std::net::IpAddr;

/// Arguments of `muster mesh peers`
#[derive(Debug, clap::Args)]
pub(crate) struct Peers {
    /// The mesh network
    #[arg(value_name = "NETWORK", required_unless_present = "machine", conflicts_with = "machine")]
    network: Option<String>,
    /// Those of this machine, by its name or UUID
    #[arg(long, value_name = "MACHINE")]
    machine: Option<String>,
    #[command(flatten)]
    call: Call,
}

/// Shows them.
pub(crate) async fn peers(args: Peers) -> Result<()> {
    let client = args.call.client()?;
    match (&args.machine, &args.network) {
        (Some(key), _) => {
            let answer = client.get(&format!("{}/peers", machine::path(key))).await?;
            args.call.show(&answer, || draw_machine(key, &decode(&answer)?))
        }
        (None, Some(name)) => {
            let answer = client.get(&format!("{}/peers", MESHES.path_of(name))).await?;
            args.call.show(&answer, || Ok(draw_map(&decode(&answer)?)))
        }
        (None, None) => bail!("name a mesh network, or a machine with --machine"),
    }
}

fn draw_machine(key: &str, seen: &MachinePeers) -> Result<String> {
    if seen.mesh_network.is_empty() {
        bail!("{key} is in no mesh network: `muster mesh join NETWORK {key}`");
    }
    let mut facts = vec![
        ("Mesh network", seen.mesh_network.clone()),
        ("Public key", or(&seen.mesh_key, "none told yet")),
        ("Relay in use", or(&seen.relay, "none")),
        ("Reported", age(seen.reported_at.as_deref())),
    ];
    facts.extend((!seen.error.is_empty()).then(|| ("Error", seen.error.clone())));
    let row = |peer: &Peer| {
        vec![
            peer.name.clone(),
            online(peer.online),
            addresses(&peer.addresses),
            way(peer.way, &peer.relay),
            tunnel(peer.tunnel, peer.up),
            age(peer.handshake_at.as_deref()),
            print::bytes(peer.received),
            print::bytes(peer.sent),
            peer.endpoint.map(|place| place.to_string()).unwrap_or_default(),
        ]
    };
    let header =
        ["PEER", "STATUS", "ADDRESSES", "WAY", "TUNNEL", "HANDSHAKE", "RECEIVED", "SENT", "ENDPOINT"];
    let rows = seen.peers.iter().map(row).collect();
    Ok(format!("{}\n\n{}", print::fields(&facts), print::table(&header, rows, "no other machine is in it")))
}

fn draw_map(map: &MeshMap) -> String {
    let row = |(place, member): (usize, &MeshMember)| {
        let mark = match (member.relay, map.relay == Some(member.machine)) {
            (_, true) => "in use",
            (true, false) => "spare",
            (false, false) => "",
        };
        vec![
            member.name.clone(),
            online(member.online),
            addresses(&member.addresses),
            mark.to_owned(),
            up_of(map, place),
            age(member.reported_at.as_deref()),
            member.endpoints.first().map(ToString::to_string).unwrap_or_default(),
            member.error.clone(),
        ]
    };
    let header = ["MEMBER", "STATUS", "ADDRESSES", "RELAY", "TUNNELS UP", "REPORTED", "ENDPOINT", "ERROR"];
    let members =
        print::table(&header, map.members.iter().enumerate().map(row).collect(), "no machine is in it");
    if map.edges.is_empty() {
        return members;
    }
    let row = |edge: &MeshEdge| {
        vec![
            name_of(map, edge.from),
            name_of(map, edge.to),
            way(edge.way, ""),
            tunnel(true, edge.up),
            age(edge.handshake_at.as_deref()),
            print::bytes(edge.received),
            print::bytes(edge.sent),
        ]
    };
    let header = ["FROM", "TO", "WAY", "TUNNEL", "HANDSHAKE", "RECEIVED", "SENT"];
    format!("{members}\n\n{}", print::table(&header, map.edges.iter().map(row).collect(), ""))
}

/// How many of a member's tunnels are up: `3 of 4`.
fn up_of(map: &MeshMap, place: usize) -> String {
    let is_its = |end: u32| usize::try_from(end) == Ok(place);
    let its = || map.edges.iter().filter(|edge| is_its(edge.from) || is_its(edge.to));
    format!("{} of {}", its().filter(|edge| edge.up).count(), its().count())
}

fn name_of(map: &MeshMap, place: u32) -> String {
    let member = usize::try_from(place).ok().and_then(|place| map.members.get(place));
    member.map_or_else(|| place.to_string(), |member| member.name.clone())
}

fn or(text: &str, none: &str) -> String {
    if text.is_empty() { none.to_owned() } else { text.to_owned() }
}

fn age(at: Option<&str>) -> String {
    at.map_or_else(|| "never".to_owned(), print::since)
}

fn online(online: bool) -> String {
    if online { "online".to_owned() } else { "offline".to_owned() }
}

fn addresses(list: &[IpAddr]) -> String {
    list.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

fn way(way: Way, relay: &str) -> String {
    match way {
        Way::Direct => "direct".to_owned(),
        Way::Relay if relay.is_empty() => "relay".to_owned(),
        Way::Relay => format!("relay {relay}"),
    }
}

fn tunnel(there: bool, up: bool) -> String {
    match (there, up) {
        (false, _) => "none".to_owned(),
        (true, true) => "up".to_owned(),
        (true, false) => "down".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::ids::MachineId;

    fn id(number: u8) -> MachineId {
        format!("5f4dcc3b-5aa7-4d61-9d83-27deb882cf{number:02}").parse().unwrap()
    }

    fn member(number: u8, name: &str) -> MeshMember {
        MeshMember {
            machine: id(number),
            name: name.to_owned(),
            addresses: vec![format!("10.20.0.{number}").parse().unwrap()],
            online: true,
            roles: Vec::new(),
            key: String::new(),
            relay: number == 1,
            endpoints: vec!["192.0.2.1:51820".parse().unwrap()],
            reported_at: None,
            error: String::new(),
        }
    }

    #[test]
    fn machine_sees_its_peers_with_way_traffic_and_age() {
        let peer = Peer {
            machine: id(2),
            name: "web-2\u{1b}".to_owned(),
            addresses: vec!["10.20.0.2".parse().unwrap(), "fd00::2".parse().unwrap()],
            online: true,
            tunnel: true,
            way: Way::Relay,
            relay: "gw".to_owned(),
            handshake_at: None,
            up: false,
            received: 0,
            sent: 2_048,
            endpoint: None,
        };
        let mut seen =
            MachinePeers { mesh_network: "home".to_owned(), peers: vec![peer], ..MachinePeers::default() };
        let told = draw_machine("web-1", &seen).unwrap();
        assert!(told.contains("Public key    none told yet"), "{told}");
        assert!(
            told.contains(
                "web-2?  online  10.20.0.2,fd00::2  relay gw  down    never      0 B       2.0 KiB"
            ),
            "{told}"
        );
        assert!(!told.contains("Error"), "{told}");
        seen.error = "the kernel has no WireGuard".to_owned();
        assert!(draw_machine("web-1", &seen).unwrap().contains("Error         the kernel has no WireGuard"));
        let refused = draw_machine("web-1", &MachinePeers::default()).unwrap_err().to_string();
        assert_eq!(refused, "web-1 is in no mesh network: `muster mesh join NETWORK web-1`");
    }

    #[test]
    fn network_is_its_members_and_the_tunnels_between_them() {
        let edge = |from, to, up| MeshEdge {
            from,
            to,
            way: Way::Direct,
            up,
            handshake_at: None,
            received: 10,
            sent: 20,
        };
        let map = MeshMap {
            name: "home".to_owned(),
            relay: Some(id(1)),
            members: vec![member(1, "gw"), member(2, "web-1"), member(3, "web-2")],
            edges: vec![edge(0, 1, true), edge(0, 2, false)],
        };
        let told = draw_map(&map);
        for line in [
            "gw      online  10.20.0.1  in use  1 of 2      never     192.0.2.1:51820",
            "web-1   online  10.20.0.2          1 of 1      never     192.0.2.1:51820",
            "gw    web-2  direct  down    never      10 B      20 B",
        ] {
            assert!(told.contains(line), "{line} is not in\n{told}");
        }
        assert_eq!(draw_map(&MeshMap::default()), "no machine is in it");
        assert_eq!(name_of(&map, 9), "9");
    }
}
