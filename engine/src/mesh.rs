//! Mesh networks: what their addresses are, and which machine has which (`spec/bootstrap-and-dashboard.md`
//! 7.4).
//!
//! A machine in a mesh network has a number there, and its address of each family is that number counted
//! from the network's own address: `10.20.0.0/16` and `fd00:20::/64` give number 5 `10.20.0.5` and
//! `fd00:20::5`. The lowest free number is given, and given back when the machine leaves. The store keeps
//! each number once for a network and once for a machine, so that a decision on an outdated [`Standing`]
//! is refused and taken again.

pub mod board;
pub mod endpoints;
mod key;
pub mod view;
pub mod vip;
pub mod way;

use crate::change::Change;
use crate::content::Content;
use crate::machine::Machine;
use protocol::cidr::Cidr;
use protocol::mesh::PublicKey;
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Networks that IPv4 mesh networks are part of (RFC 1918).
const PRIVATE: [Private; 3] = [
    Private { network: Ipv4Addr::new(10, 0, 0, 0), prefix: 8 },
    Private { network: Ipv4Addr::new(172, 16, 0, 0), prefix: 12 },
    Private { network: Ipv4Addr::new(192, 168, 0, 0), prefix: 16 },
];
/// The first byte of unique local addresses that nobody assigns (RFC 4193).
const UNIQUE_LOCAL: u8 = 0xfd;
/// Longest IPv4 prefix: two machines and the two addresses that no machine has.
const LONGEST_V4: u8 = 30;
/// Shortest and longest IPv6 prefix.
const V6_PREFIXES: std::ops::RangeInclusive<u8> = 48..=120;
/// Most machines of a mesh network: as many as the largest private IPv4 network has addresses for.
pub const MAX_MEMBERS: u32 = (1 << 24) - 2;
/// Most networks that a mesh network is made of: one of each family.
const MAX_CIDRS: usize = 2;

struct Private {
    network: Ipv4Addr,
    prefix: u8,
}

impl Private {
    /// Whether a network of this address and prefix is part of it.
    fn holds(&self, network: Ipv4Addr, prefix: u8) -> bool {
        prefix >= self.prefix
            && (network.to_bits() ^ self.network.to_bits()) >> (32 - u32::from(self.prefix)) == 0
    }
}

/// A machine's place in its mesh network.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Membership {
    /// Its addresses: IPv4 first. None while it is in no network, or has no place in the one it names.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<IpAddr>,
    /// Nobody chose the network for it: it was the default.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub by_default: bool,
    /// Its WireGuard public key, as it told. Kept beyond its leaving until it has heard of that: as long
    /// as there is one, the machine may have tunnels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<PublicKey>,
}

impl Membership {
    /// Its IPv4 address.
    pub fn v4(&self) -> Option<IpAddr> {
        self.addresses.iter().copied().find(IpAddr::is_ipv4)
    }

    /// Its IPv6 address.
    pub fn v6(&self) -> Option<IpAddr> {
        self.addresses.iter().copied().find(IpAddr::is_ipv6)
    }

    pub(crate) fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

/// The networks of a mesh network, at least one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    v4: Option<Cidr>,
    v6: Option<Cidr>,
    /// The lowest number that a VIP has an address of: machines get those below it.
    ceiling: u32,
}

impl Network {
    /// Reads the networks of a mesh network.
    ///
    /// # Errors
    /// Everything that speaks against them.
    pub fn parse(cidrs: &[String]) -> Result<Self, Vec<String>> {
        let mut network = Self { v4: None, v6: None, ceiling: u32::MAX };
        let mut problems = Vec::new();
        if cidrs.is_empty() || cidrs.len() > MAX_CIDRS {
            return Err(vec![format!(
                "has {} networks; give a private IPv4 network, a unique local IPv6 network, or one of each",
                cidrs.len()
            )]);
        }
        for text in cidrs {
            match member_network(text) {
                Err(problem) => problems.push(problem),
                Ok(cidr) => {
                    let family = if cidr.network().is_ipv4() { &mut network.v4 } else { &mut network.v6 };
                    if let Some(first) = family.replace(cidr) {
                        problems.push(format!("{first} and {cidr} are of one family; give one of each"));
                    }
                }
            }
        }
        if problems.is_empty() { Ok(network) } else { Err(problems) }
    }

    /// Its networks, IPv4 first.
    pub fn cidrs(&self) -> impl Iterator<Item = Cidr> {
        self.v4.into_iter().chain(self.v6)
    }

    /// How many machines it has addresses for.
    pub fn capacity(&self) -> u32 {
        // The first address is the network's own, and the last one of IPv4 reaches everybody in it.
        let of_v4 = |cidr: Cidr| (1_u64 << (32 - u32::from(cidr.prefix()).min(32))) - 2;
        let of_v6 = |cidr: Cidr| {
            let bits = 128 - u32::from(cidr.prefix()).min(128);
            if bits >= 32 { u64::from(u32::MAX) } else { (1_u64 << bits) - 1 }
        };
        let fewest = self.v4.map(of_v4).into_iter().chain(self.v6.map(of_v6)).min().unwrap_or(0);
        let below = self.ceiling.saturating_sub(1);
        u32::try_from(fewest).unwrap_or(u32::MAX).min(MAX_MEMBERS).min(below)
    }

    /// The same without the numbers from the first of these VIPs on, as far as they are in it. Numbers are given from
    /// below, so that none is left out.
    #[must_use]
    pub fn below(mut self, vips: impl Iterator<Item = Cidr>) -> Self {
        for vip in vips {
            let own = self.cidrs().find(|own| own.contains(vip.network()));
            let number = own.and_then(|own| u32::try_from(offset(own, vip.network())).ok());
            self.ceiling = number.unwrap_or(u32::MAX).min(self.ceiling);
        }
        self
    }

    /// Why a VIP of this mesh network cannot have this prefix: it is in the lower half of one of its networks, which
    /// is for machines, or takes one in.
    pub fn place_problem(&self, name: &str, vip: Cidr) -> Option<String> {
        let is_family = |own: &Cidr| own.network().is_ipv4() == vip.network().is_ipv4();
        let Some(own) = self.cidrs().find(is_family) else {
            let family = if vip.network().is_ipv4() { "IPv4" } else { "IPv6" };
            return Some(format!("mesh network {name} has no {family} network"));
        };
        if !own.overlaps(&vip) {
            return None;
        }
        if vip.prefix() <= own.prefix() {
            return Some(format!("{vip} takes in {own} of mesh network {name}"));
        }
        let bits = if vip.network().is_ipv4() { 32 } else { 128 } - u32::from(own.prefix());
        let half = 1_u128.checked_shl(bits.saturating_sub(1)).unwrap_or(u128::MAX);
        let first = u32::try_from(half).unwrap_or(u32::MAX).min(MAX_MEMBERS + 2);
        if offset(own, vip.network()) >= u128::from(first) {
            return None;
        }
        let first = counted(own, first);
        Some(format!(
            "{vip} is where machines of mesh network {name} get their addresses; take one from {first} on"
        ))
    }

    /// The addresses of a number, IPv4 first.
    pub fn addresses(&self, number: u32) -> Vec<IpAddr> {
        self.cidrs().map(|cidr| counted(cidr, number)).collect()
    }

    /// The first pair of networks, one of each, that have addresses in common.
    pub fn overlap(&self, other: &Self) -> Option<(Cidr, Cidr)> {
        let pairs = self.cidrs().flat_map(|own| other.cidrs().map(move |its| (own, its)));
        pairs.into_iter().find(|(own, its)| own.overlaps(its))
    }

    /// The number that the next machine gets; none while all are taken.
    pub fn next(&self, standing: Standing) -> Option<u32> {
        let number = standing.released.unwrap_or_else(|| standing.highest.saturating_add(1));
        (1..=self.capacity()).contains(&number).then_some(number)
    }
}

/// The address of a number in a network.
fn counted(cidr: Cidr, number: u32) -> IpAddr {
    match cidr.network() {
        IpAddr::V4(base) => Ipv4Addr::from_bits(base.to_bits().wrapping_add(number)).into(),
        IpAddr::V6(base) => Ipv6Addr::from_bits(base.to_bits().wrapping_add(number.into())).into(),
    }
}

/// The number of an address of a network.
fn offset(cidr: Cidr, address: IpAddr) -> u128 {
    match (cidr.network(), address) {
        (IpAddr::V4(base), IpAddr::V4(address)) => address.to_bits().wrapping_sub(base.to_bits()).into(),
        (IpAddr::V6(base), IpAddr::V6(address)) => address.to_bits().wrapping_sub(base.to_bits()),
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => u128::MAX,
    }
}

/// The first address of a network, whichever of its addresses it is written with.
pub(crate) fn first_address(cidr: Cidr) -> IpAddr {
    let prefix = u32::from(cidr.prefix());
    match cidr.network() {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32 - prefix.min(32)).unwrap_or(0);
            Ipv4Addr::from_bits(address.to_bits() & mask).into()
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128 - prefix.min(128)).unwrap_or(0);
            Ipv6Addr::from_bits(address.to_bits() & mask).into()
        }
    }
}

/// A network that machines may have addresses of.
fn member_network(text: &str) -> Result<Cidr, String> {
    let cidr: Cidr = text.parse().map_err(|error: protocol::cidr::CidrError| error.to_string())?;
    let prefix = cidr.prefix();
    let first = first_address(cidr);
    let fits = match cidr.network() {
        IpAddr::V4(network) => {
            if !PRIVATE.iter().any(|private| private.holds(network, prefix)) {
                return Err(format!(
                    "{cidr} is no private network; take one of 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16"
                ));
            }
            prefix <= LONGEST_V4
        }
        IpAddr::V6(network) => {
            if network.octets().first() != Some(&UNIQUE_LOCAL) {
                return Err(format!("{cidr} is no unique local network; take one of fd00::/8"));
            }
            V6_PREFIXES.contains(&prefix)
        }
    };
    if !fits {
        let (shortest, longest) = (V6_PREFIXES.start(), V6_PREFIXES.end());
        return Err(format!(
            "{cidr} is of a size that is not taken; IPv4 networks are /8 to /{LONGEST_V4}, IPv6 networks \
             /{shortest} to /{longest}"
        ));
    }
    if first != cidr.network() {
        return Err(format!("{cidr} is an address in a network; write {first}/{prefix}"));
    }
    Ok(cidr)
}

/// What the store knows of the numbers of a mesh network.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Standing {
    /// The lowest one that was given back and is free.
    pub released: Option<u32>,
    /// The highest one that was ever given; 0 before the first. Whatever is below it is taken or was
    /// given back.
    pub highest: u32,
}

/// Why a machine has no place in a mesh network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoPlace {
    /// There is no such network.
    #[error("mesh network {0} does not exist")]
    Missing(String),
    /// All its addresses are taken.
    #[error("mesh network {name} is full: all of its {capacity} addresses are taken")]
    Full {
        /// Its name.
        name: String,
        /// How many machines it has addresses for.
        capacity: u32,
    },
}

/// The mesh network that a machine needs a place in; none when it has what it asks for. `before` is none
/// for a new machine.
pub fn wants<'a>(before: Option<&Machine>, after: &'a Machine) -> Option<&'a str> {
    let name = after.placement.mesh_network.as_str();
    let stays = before.is_some_and(|before| before.placement.mesh_network == name);
    (!name.is_empty() && (!stays || after.membership.addresses.is_empty())).then_some(name)
}

/// Brings a machine into the mesh network that it names, out of the one that it was in. Answers what to
/// store beside the machine.
///
/// # Errors
/// When it has no place there. It has no address then; what it leaves is among the changes of
/// [`leave`] alone.
pub fn join(machine: &mut Machine, content: &Content, standing: Standing) -> Result<Change, NoPlace> {
    machine.membership.addresses.clear();
    let name = machine.placement.mesh_network.clone();
    let Some(network) = content.mesh(&name) else { return Err(NoPlace::Missing(name)) };
    let Some(number) = network.next(standing) else {
        return Err(NoPlace::Full { name, capacity: network.capacity() });
    };
    machine.membership.addresses = network.addresses(number);
    Ok(Change::JoinMesh { mesh: name, number, machine: machine.id })
}

/// What to store first when a machine is in another mesh network than before, or in none.
pub fn leave(before: &Machine, after: &mut Machine) -> Option<Change> {
    if before.placement.mesh_network == after.placement.mesh_network {
        return None;
    }
    after.membership = Membership { key: before.membership.key, ..Membership::default() };
    (!before.membership.addresses.is_empty()).then_some(Change::LeaveMesh(before.id))
}

/// Why a machine that names a mesh network has no address there; none while all is well.
pub(crate) fn problem(machine: &Machine, content: &Content) -> Option<String> {
    let name = &machine.placement.mesh_network;
    if name.is_empty() || !machine.membership.addresses.is_empty() {
        return None;
    }
    if !content.meshes.has(name) {
        return Some(NoPlace::Missing(name.clone()).to_string());
    }
    Some(format!("it has no address in mesh network {name}, which was full or not there: save it again"))
}

impl Machine {
    /// A new machine goes to the mesh network that new machines join, unless one was chosen for it.
    pub fn goes_to_default_mesh(&mut self, content: &Content) {
        let default = content.default_mesh();
        if self.placement.mesh_network.is_empty() && !default.is_empty() {
            default.clone_into(&mut self.placement.mesh_network);
            self.membership.by_default = true;
        }
    }

    /// Its roles and mesh network as far as somebody chose them.
    pub fn chosen_placement(&self) -> crate::admission::Placement {
        let mut placement = self.placement.clone();
        if self.membership.by_default {
            placement.mesh_network.clear();
        }
        placement
    }
}

#[cfg(test)]
mod tests;
