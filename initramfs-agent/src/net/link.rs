//! What the kernel says about links, read into what the planner needs.

use protocol::ids::MacAddr;
use rtnetlink::packet_core::Nla;
use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::address::{AddressAttribute, AddressFlags, AddressMessage};
use rtnetlink::packet_route::link::{
    AfSpecInet6, AfSpecUnspec, Inet6IfaceFlags, InfoData, InfoKind, InfoVlan, LinkAttribute, LinkFlags,
    LinkInfo, LinkLayerType, LinkMessage, LinkProtoInfoInet6,
};
use rtnetlink::packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol,
};
use std::net::{IpAddr, Ipv6Addr};
use std::path::Path;

/// Most network cards without a driver that are named.
const MAX_CARDS: usize = 64;

/// What a link is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A network card, or one end of a veth pair: that is a cable between network namespaces,
    /// which is where this code is tested.
    Hardware,
    /// A bond.
    Bond,
    /// A VLAN on another link.
    Vlan {
        /// Its number.
        id: u16,
        /// Kernel's number of the link below.
        base: u32,
    },
}

/// What the last router advertisement asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Adverts {
    /// Addresses by DHCPv6 (the M flag).
    pub(super) managed: bool,
    /// Name servers by DHCPv6 (the O flag).
    pub(super) other: bool,
}

impl Adverts {
    /// What the kernel noted; nothing until a router was heard on this carrier.
    fn from_flags(flags: Inet6IfaceFlags) -> Self {
        let is_heard = flags.contains(Inet6IfaceFlags::RaRcvd);
        Self {
            managed: is_heard && flags.contains(Inet6IfaceFlags::RaManaged),
            other: is_heard && flags.contains(Inet6IfaceFlags::Otherconf),
        }
    }

    /// Reads a message about the IPv6 side of a link: its number and the flags.
    pub(super) fn read(message: &LinkMessage) -> Option<(u32, Self)> {
        /// `IFLA_INET6_FLAGS` of `include/uapi/linux/if_link.h`.
        const FLAGS: u16 = 1;
        if message.header.interface_family != AddressFamily::Inet6 {
            return None;
        }
        message.attributes.iter().find_map(|attribute| {
            let LinkAttribute::ProtoInfoInet6(infos) = attribute else { return None };
            infos.iter().find_map(|info| {
                let LinkProtoInfoInet6::Other(value) = info else { return None };
                let mut bits = [0; 4];
                if value.kind() != FLAGS || value.value_len() != bits.len() {
                    return None;
                }
                value.emit_value(&mut bits);
                let flags = Inet6IfaceFlags::from_bits_retain(u32::from_ne_bytes(bits));
                Some((message.header.index, Self::from_flags(flags)))
            })
        })
    }
}

/// One look at a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sighting {
    pub(super) index: u32,
    pub(super) name: String,
    /// Address in use.
    pub(super) mac: MacAddr,
    /// Address it was made with: a member of a bond answers to that of the bond.
    pub(super) own_mac: Option<MacAddr>,
    pub(super) kind: Kind,
    /// The bond or bridge it is a port of.
    pub(super) controller: Option<u32>,
    pub(super) mtu: u32,
    pub(super) is_up: bool,
    pub(super) has_carrier: bool,
    /// What the router says, `None` when the kernel did not tell.
    pub(super) adverts: Option<Adverts>,
}

impl Sighting {
    /// Reads a link message; `None` for links that are no Ethernet, and for bridges, tunnels
    /// and whatever else somebody may have made.
    pub(super) fn read(message: &LinkMessage) -> Option<Self> {
        let header = &message.header;
        let is_whole = header.interface_family == AddressFamily::Unspec;
        if !is_whole
            || header.link_layer_type != LinkLayerType::Ether
            || header.flags.contains(LinkFlags::Loopback)
        {
            return None;
        }
        let mac = |bytes: &[u8]| <[u8; 6]>::try_from(bytes).ok().map(MacAddr);
        let (mut name, mut address, mut own_mac, mut controller) = (None, None, None, None);
        let (mut kind, mut below, mut mtu, mut adverts) = (Some(Link::Hardware), None, 0, None);
        for attribute in &message.attributes {
            if let LinkAttribute::IfName(text) = attribute {
                name = Some(text.clone());
            } else if let LinkAttribute::Address(bytes) = attribute {
                address = mac(bytes);
            } else if let LinkAttribute::PermAddress(bytes) = attribute {
                own_mac = mac(bytes).filter(|mac| mac.0 != [0; 6]);
            } else if let LinkAttribute::LinkInfo(infos) = attribute {
                kind = Link::read(infos);
            } else if let LinkAttribute::Controller(index) = attribute {
                controller = Some(*index).filter(|index| *index != 0);
            } else if let LinkAttribute::Link(index) = attribute {
                below = Some(*index);
            } else if let LinkAttribute::Mtu(bytes) = attribute {
                mtu = *bytes;
            } else if let LinkAttribute::AfSpecUnspec(specs) = attribute {
                adverts = specs.iter().find_map(read_flags).map(Adverts::from_flags);
            }
        }
        let kind = match kind? {
            Link::Hardware => Kind::Hardware,
            Link::Bond => Kind::Bond,
            Link::Vlan(id) => Kind::Vlan { id, base: below? },
        };
        Some(Self {
            index: header.index,
            name: name?,
            mac: address?,
            own_mac,
            kind,
            controller,
            mtu,
            is_up: header.flags.contains(LinkFlags::Up),
            // The flag, not the operational state: the kernel tells that one up to a second
            // late (`net/core/link_watch.c`), and some drivers never.
            has_carrier: header.flags.contains(LinkFlags::Up | LinkFlags::LowerUp),
            adverts,
        })
    }

    /// Every hardware address it goes by.
    pub(super) fn macs(&self) -> Vec<MacAddr> {
        self.own_mac.into_iter().chain([self.mac]).collect()
    }
}

/// A link by itself, before it is known what is below.
enum Link {
    Hardware,
    Bond,
    Vlan(u16),
}

impl Link {
    fn read(infos: &[LinkInfo]) -> Option<Self> {
        let kind =
            infos.iter().find_map(|info| if let LinkInfo::Kind(kind) = info { Some(kind) } else { None });
        let vlan = infos.iter().find_map(|info| {
            if let LinkInfo::Data(InfoData::Vlan(vlan)) = info { vlan.iter().find_map(vlan_id) } else { None }
        });
        match kind {
            None | Some(InfoKind::Veth) => Some(Self::Hardware),
            Some(InfoKind::Bond) => Some(Self::Bond),
            Some(InfoKind::Vlan) => vlan.map(Self::Vlan),
            Some(_) => None,
        }
    }
}

fn vlan_id(info: &InfoVlan) -> Option<u16> {
    if let InfoVlan::Id(id) = info { Some(*id) } else { None }
}

fn read_flags(spec: &AfSpecUnspec) -> Option<Inet6IfaceFlags> {
    let AfSpecUnspec::Inet6(parts) = spec else { return None };
    parts.iter().find_map(|part| if let AfSpecInet6::Flags(flags) = part { Some(*flags) } else { None })
}

/// One look at an IPv6 address of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct AddressSeen {
    pub(super) index: u32,
    pub(super) address: Ipv6Addr,
    pub(super) prefix: u8,
    /// The kernel still asks whether somebody else has it (duplicate address detection).
    pub(super) is_tentative: bool,
    /// Somebody else has it.
    pub(super) is_duplicate: bool,
    /// The kernel made it from an advertisement: those end, ours do not.
    pub(super) is_from_router: bool,
}

impl AddressSeen {
    /// Reads an address message; `None` for IPv4, which needs nobody's confirmation.
    pub(super) fn read(message: &AddressMessage) -> Option<Self> {
        let (mut address, mut flags) = (None, AddressFlags::empty());
        for attribute in &message.attributes {
            // Of a pair of addresses, the local one is ours.
            if let AddressAttribute::Local(IpAddr::V6(ip)) = attribute {
                address = Some(*ip);
            } else if let AddressAttribute::Address(IpAddr::V6(ip)) = attribute {
                address = address.or(Some(*ip));
            } else if let AddressAttribute::Flags(bits) = attribute {
                flags = *bits;
            }
        }
        Some(Self {
            index: message.header.index,
            address: address?,
            prefix: message.header.prefix_len,
            is_tentative: flags.contains(AddressFlags::Tentative),
            is_duplicate: flags.contains(AddressFlags::Dadfailed),
            is_from_router: !flags.contains(AddressFlags::Permanent),
        })
    }
}

/// The next hop of an IPv6 default route that a router's advertisement made, and its link.
pub(super) fn default_router(message: &RouteMessage) -> Option<(u32, Ipv6Addr)> {
    let RouteHeader { address_family, destination_prefix_length, protocol, .. } = message.header;
    if address_family != AddressFamily::Inet6
        || destination_prefix_length != 0
        || protocol != RouteProtocol::Ra
    {
        return None;
    }
    let (mut link, mut router) = (None, None);
    for attribute in &message.attributes {
        if let RouteAttribute::Oif(index) = attribute {
            link = Some(*index);
        } else if let RouteAttribute::Gateway(RouteAddress::Inet6(address)) = attribute {
            router = Some(*address);
        }
    }
    Some((link?, router?))
}

/// PCI network cards without a driver, as `8086:1533`: what to put into a report.
pub(super) fn driverless_cards(pci_devices: &Path) -> Vec<String> {
    /// Base class "network controller" of the PCI code and id assignment specification.
    const NETWORK: &str = "0x02";
    let Ok(entries) = std::fs::read_dir(pci_devices) else { return Vec::new() };
    let text = |path: &Path| std::fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    let mut cards: Vec<String> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|device| text(&device.join("class")).starts_with(NETWORK))
        .filter(|device| !device.join("driver").exists())
        .map(|device| {
            let id = |name: &str| text(&device.join(name)).trim_start_matches("0x").to_owned();
            format!("{}:{}", id("vendor"), id("device"))
        })
        .collect();
    cards.sort();
    cards.truncate(MAX_CARDS);
    cards
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::fixture::Fixture;

    #[test]
    fn only_ethernet_hardware_is_looked_after() {
        let message = |kind: Option<InfoKind>, layer: LinkLayerType, flags: LinkFlags| {
            let mut message = LinkMessage::default();
            message.header.index = 7;
            message.header.link_layer_type = layer;
            message.header.flags = flags;
            message.attributes = vec![
                LinkAttribute::IfName("eth0".to_owned()),
                LinkAttribute::Address(vec![2, 0, 0, 0, 0, 1]),
            ];
            message.attributes.extend(kind.map(|kind| LinkAttribute::LinkInfo(vec![LinkInfo::Kind(kind)])));
            Sighting::read(&message)
        };
        let up = LinkFlags::Up | LinkFlags::LowerUp;
        assert!(message(None, LinkLayerType::Ether, up).unwrap().has_carrier);
        assert!(!message(None, LinkLayerType::Ether, LinkFlags::Up).unwrap().has_carrier);
        assert!(!message(None, LinkLayerType::Ether, LinkFlags::LowerUp).unwrap().is_up);
        assert!(message(Some(InfoKind::Veth), LinkLayerType::Ether, up).is_some());
        for kind in [InfoKind::Bridge, InfoKind::Dummy, InfoKind::Vlan] {
            assert_eq!(message(Some(kind), LinkLayerType::Ether, up), None);
        }
        assert_eq!(message(Some(InfoKind::Bond), LinkLayerType::Ether, up).unwrap().kind, Kind::Bond);
        assert_eq!(message(None, LinkLayerType::Infiniband, up), None);
    }

    #[test]
    fn vlan_bond_member_and_router_flags_are_read() {
        let mut message = LinkMessage::default();
        message.header.index = 9;
        message.header.link_layer_type = LinkLayerType::Ether;
        message.attributes = vec![
            LinkAttribute::IfName("eth0.5".to_owned()),
            LinkAttribute::Address(vec![2, 0, 0, 0, 0, 1]),
            LinkAttribute::PermAddress(vec![2, 0, 0, 0, 0, 9]),
            LinkAttribute::Controller(4),
            LinkAttribute::Link(3),
            LinkAttribute::Mtu(1_400),
            LinkAttribute::LinkInfo(vec![
                LinkInfo::Kind(InfoKind::Vlan),
                LinkInfo::Data(InfoData::Vlan(vec![InfoVlan::Id(5)])),
            ]),
            LinkAttribute::AfSpecUnspec(vec![AfSpecUnspec::Inet6(vec![AfSpecInet6::Flags(
                Inet6IfaceFlags::RaRcvd | Inet6IfaceFlags::Otherconf,
            )])]),
        ];
        let seen = Sighting::read(&message).unwrap();
        assert_eq!((seen.kind, seen.controller, seen.mtu), (Kind::Vlan { id: 5, base: 3 }, Some(4), 1_400));
        assert_eq!(seen.macs(), [MacAddr([2, 0, 0, 0, 0, 9]), MacAddr([2, 0, 0, 0, 0, 1])]);
        assert_eq!(seen.adverts, Some(Adverts { managed: false, other: true }));
        assert_eq!(Adverts::read(&message), None, "this one is about the link");
        message.header.interface_family = AddressFamily::Inet6;
        assert_eq!(Sighting::read(&message), None, "this one is not");
        let stale = Adverts::from_flags(Inet6IfaceFlags::RaManaged);
        assert_eq!(stale, Adverts::default(), "of another network, before the cable was moved");
    }

    #[test]
    fn address_counts_once_the_kernel_is_sure() {
        let mut message = AddressMessage::default();
        message.header.index = 3;
        message.header.prefix_len = 64;
        let read = |message: &mut AddressMessage, flags| {
            message.attributes = vec![
                AddressAttribute::Address("fd00::5".parse::<IpAddr>().unwrap()),
                AddressAttribute::Flags(flags),
            ];
            let seen = AddressSeen::read(message).unwrap();
            (seen.is_tentative, seen.is_duplicate, seen.is_from_router)
        };
        assert_eq!(read(&mut message, AddressFlags::Tentative), (true, false, true));
        assert_eq!(read(&mut message, AddressFlags::Permanent), (false, false, false));
        let failed = AddressFlags::Permanent | AddressFlags::Dadfailed | AddressFlags::Tentative;
        assert_eq!(read(&mut message, failed), (true, true, false));
        message.attributes = vec![AddressAttribute::Local("10.0.0.5".parse::<IpAddr>().unwrap())];
        assert_eq!(AddressSeen::read(&message), None);
    }

    #[test]
    fn card_without_a_driver_is_found() {
        let fixture = Fixture::new(&[
            ("pci/0000:00:03.0/class", "0x020000\n"),
            ("pci/0000:00:03.0/vendor", "0x8086\n"),
            ("pci/0000:00:03.0/device", "0x1533\n"),
            ("pci/0000:00:04.0/class", "0x020000\n"),
            ("pci/0000:00:05.0/class", "0x010000\n"),
        ]);
        fixture.bytes("drivers/igb", b"");
        fixture.link("pci/0000:00:04.0/driver", "../../drivers/igb");
        assert_eq!(driverless_cards(&fixture.root().join("pci")), ["8086:1533"]);
    }
}
