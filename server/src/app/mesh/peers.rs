//! What operators see of mesh networks: whom a machine reaches and by which way, and the map of a whole network.
//! Pages hear that there is something else to see, at most every two seconds for one machine.

use super::boards::Network;
use crate::app::error::AppError;
use crate::app::events::Happening;
use crate::app::found::{bare_key, missing};
use crate::app::{Actor, App};
use engine::mesh::board::Board;
use engine::mesh::view::Entry;
use engine::mesh::way::Told;
use engine::natural;
use engine::time::Timestamp;
use protocol::ids::MachineId;
use protocol::mesh::Way;
use protocol::model::Kind;
use protocol::rest::{MachinePeers, MeshEdge, MeshMap, MeshMember, Peer};
use serde_json::json;
use std::time::Duration;

/// `Type` of events about peers of a machine.
pub(in crate::app) const PEERS: &str = "peers";
/// Principal of what the server does by itself.
const SYSTEM: &str = "system";

impl App {
    /// Whom a machine reaches in its mesh network.
    ///
    /// # Errors
    /// As every reading of a machine.
    pub(crate) async fn machine_peers(&self, actor: &Actor, key: &str) -> Result<MachinePeers, AppError> {
        let machine = self.machine_for(actor, key, "get").await?;
        let (boards, now) = (self.mesh.lock(), self.clock.now());
        let network = boards.of(machine.id);
        let Some(Network { board, .. }) = network else { return Ok(MachinePeers::default()) };
        let Some(own) = board.member(machine.id) else { return Ok(MachinePeers::default()) };
        let relay = board.relay().map(|relay| name(board, relay)).unwrap_or_default();
        let mut others: Vec<_> = board.members().filter(|(other, _)| *other != machine.id).collect();
        others.sort_by_cached_key(|(other, entry)| (natural::key(&entry.member.name), *other));
        let peers =
            others.into_iter().map(|(other, entry)| peer(board, machine.id, other, entry, now)).collect();
        Ok(MachinePeers {
            mesh_network: machine.placement.mesh_network.clone(),
            mesh_key: own.member.key.map(|key| key.to_string()).unwrap_or_default(),
            reported_at: own.reported_at.map(|at| at.to_string()),
            error: own.error.clone(),
            relay,
            peers,
        })
    }

    /// A mesh network as a map.
    ///
    /// # Errors
    /// `AUTH`; not found.
    pub(crate) async fn mesh_map(&self, actor: &Actor, key: &str) -> Result<MeshMap, AppError> {
        actor.may(Kind::Meshes.prefix(), "get", key)?;
        let content = self.content();
        let mesh = bare_key(Kind::Meshes, key).and_then(|name| content.meshes.get(name));
        let mesh = mesh.ok_or_else(|| missing(Kind::Meshes, key))?;
        let (boards, now) = (self.mesh.lock(), self.clock.now());
        let Some(Network { board, .. }) = boards.networks.get(&mesh.name) else {
            return Ok(MeshMap { name: mesh.name.clone(), ..MeshMap::default() });
        };
        let mut members: Vec<_> = board.members().collect();
        members.sort_by_cached_key(|(id, entry)| (natural::key(&entry.member.name), *id));
        let ids: Vec<MachineId> = members.iter().map(|(id, _)| *id).collect();
        Ok(MeshMap {
            name: mesh.name.clone(),
            relay: board.relay(),
            edges: edges(board, &ids, now),
            members: members.into_iter().map(|(id, entry)| shown(id, entry)).collect(),
        })
    }

    /// Pages are to look at the peers of a machine again: now, or with the next sweep.
    pub(super) fn tell_peers(&self, id: MachineId) {
        let tells = self.mesh.lock().tells(id, self.clock.now());
        if tells {
            self.publish_peers(id);
        }
    }

    pub(super) fn publish_peers(&self, id: MachineId) {
        if self.hub.subscribers() == 0 {
            return;
        }
        let mesh = self.mesh.lock().places.get(&id).map(|place| place.mesh.clone()).unwrap_or_default();
        let object = json!({"Machine": id, "MeshNetwork": mesh});
        self.tell(Happening::other(PEERS, "update", id.to_string(), SYSTEM, object));
    }
}

fn name(board: &Board, id: MachineId) -> String {
    board.member(id).map(|entry| entry.member.name.clone()).unwrap_or_default()
}

/// Another member, as `own` sees it.
fn peer(board: &Board, own: MachineId, other: MachineId, entry: &Entry, now: Timestamp) -> Peer {
    let told = board.told(own, other);
    let tunnel = board.tunnel(own, other);
    let way = if tunnel { board.way(own, other) } else { Way::Relay };
    let relay = board.relay().filter(|_| way == Way::Relay);
    Peer {
        machine: other,
        name: entry.member.name.clone(),
        addresses: entry.member.addresses.clone(),
        online: entry.online,
        tunnel,
        way,
        relay: relay.map(|relay| name(board, relay)).unwrap_or_default(),
        handshake_at: told.and_then(handshake).map(|at| at.to_string()),
        up: told.is_some_and(|told| told.up(now)),
        received: told.map_or(0, |told| told.report.received),
        sent: told.map_or(0, |told| told.report.sent),
        endpoint: told.and_then(|told| told.report.endpoint),
    }
}

fn shown(id: MachineId, entry: &Entry) -> MeshMember {
    MeshMember {
        machine: id,
        name: entry.member.name.clone(),
        addresses: entry.member.addresses.clone(),
        online: entry.online,
        roles: entry.member.roles.iter().cloned().collect(),
        key: entry.member.key.map(|key| key.to_string()).unwrap_or_default(),
        relay: entry.member.relay,
        endpoints: entry.endpoints.clone(),
        reported_at: entry.reported_at.map(|at| at.to_string()),
        error: entry.error.clone(),
    }
}

/// Every pair that has a tunnel or tries to have one.
fn edges(board: &Board, ids: &[MachineId], now: Timestamp) -> Vec<MeshEdge> {
    let mut edges = Vec::new();
    for (from, one) in (0_u32..).zip(ids) {
        for (to, other) in (0_u32..).zip(ids).skip(usize::try_from(from).unwrap_or(usize::MAX)).skip(1) {
            if board.tunnel(*one, *other) {
                edges.push(edge(board, (from, *one), (to, *other), now));
            }
        }
    }
    edges
}

fn edge(
    board: &Board,
    (from, one): (u32, MachineId),
    (to, other): (u32, MachineId),
    now: Timestamp,
) -> MeshEdge {
    let (there, back) = (board.told(one, other), board.told(other, one));
    let ends = || there.into_iter().chain(back);
    let bytes = there.map(|told| (told.report.received, told.report.sent));
    let bytes = bytes.or_else(|| back.map(|told| (told.report.sent, told.report.received)));
    let (received, sent) = bytes.unwrap_or_default();
    MeshEdge {
        from,
        to,
        way: board.way(one, other),
        up: ends().any(|told| told.up(now)),
        handshake_at: ends().filter_map(handshake).max().map(|at| at.to_string()),
        received,
        sent,
    }
}

/// When the last handshake was.
fn handshake(told: &Told) -> Option<Timestamp> {
    told.report.handshake.map(|age| told.at.minus(Duration::from_secs(age)))
}
