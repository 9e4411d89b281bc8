//! Which VIPs are in force, and who may be given which.

use super::Terms;
use crate::content::Content;
use crate::mesh::board::Board;
use crate::mesh::view::Entry;
use protocol::cidr::Cidr;
use protocol::ids::MachineId;
use protocol::mesh::MeshVip;
use protocol::model::Vip;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// A member has an address that a VIP is for: nobody is given the VIP meanwhile.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{address} is the address of machine {name}; take the machine out of the mesh network, or give the VIP another Prefix"
)]
pub struct Conflict {
    /// The address.
    pub address: IpAddr,
    /// The member's name.
    pub name: String,
}

/// The VIPs in force: those that are enabled, of networks that there are, and in nobody's way. `board` finds a network.
pub fn terms<'a>(content: &Content, board: impl Fn(&str) -> Option<&'a Board>) -> Vec<Terms> {
    let each = content.vips.iter().filter(|vip| vip.enabled).filter_map(|vip| {
        let board = board(&vip.mesh_network)?;
        let prefix: Cidr = vip.prefix.parse().ok()?;
        if conflict(prefix, board).is_some() {
            return None;
        }
        let may = |(id, entry): (MachineId, &Entry)| may_hold(vip, id, entry).then_some(id);
        Some(Terms {
            name: vip.name.clone(),
            mesh: vip.mesh_network.clone(),
            prefix,
            check: vip.check.clone(),
            candidates: board.members().filter_map(may).collect(),
        })
    });
    each.collect()
}

/// What each member may be given to hold.
pub fn offers(terms: &[Terms]) -> BTreeMap<MachineId, Vec<MeshVip>> {
    let mut offers: BTreeMap<MachineId, Vec<MeshVip>> = BTreeMap::new();
    for vip in terms {
        let offer = MeshVip { name: vip.name.clone(), prefix: vip.prefix, check: vip.check.clone() };
        for member in &vip.candidates {
            offers.entry(*member).or_default().push(offer.clone());
        }
    }
    offers
}

/// The first member whose address is in the prefix.
pub fn conflict(prefix: Cidr, board: &Board) -> Option<Conflict> {
    board.members().find_map(|(_, entry)| {
        let address = entry.member.addresses.iter().find(|address| prefix.contains(**address))?;
        Some(Conflict { address: *address, name: entry.member.name.clone() })
    })
}

/// Whether a VIP is for this member: it is named, by name or UUID, or has the role.
fn may_hold(vip: &Vip, id: MachineId, entry: &Entry) -> bool {
    let id = id.to_string();
    vip.machines.iter().any(|machine| *machine == id || *machine == entry.member.name)
        || !vip.role.is_empty() && entry.member.roles.contains(&vip.role)
}
