//! Notices when somebody else takes away what is ours around the tunnels, as systemd-networkd does with all routes and
//! rules that are not its own when it starts. The kernel tells whoever listens of each change (rtnetlink(7)), with the
//! netlink port of who made it.
//!
//! Only what was taken away is looked for: what somebody puts beside ours is theirs. Messages that were lost count as
//! something taken away.

use super::PROTOCOL;
use crate::runtime::beside;
use futures_util::StreamExt;
use nix::net::if_::if_nametoindex;
use rtnetlink::packet_core::{NetlinkMessage, NetlinkPayload};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::link::{LinkAttribute, LinkFlags, LinkMessage};
use rtnetlink::packet_route::route::RouteProtocol;
use rtnetlink::packet_route::rule::RuleAttribute;
use rtnetlink::{MulticastGroup, new_multicast_connection};
use std::io;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

/// What the kernel tells of.
const GROUPS: [MulticastGroup; 7] = [
    MulticastGroup::Link,
    MulticastGroup::Ipv4Ifaddr,
    MulticastGroup::Ipv6Ifaddr,
    MulticastGroup::Ipv4Route,
    MulticastGroup::Ipv6Route,
    MulticastGroup::Ipv4Rule,
    MulticastGroup::Ipv6Rule,
];

/// A message of the kernel.
type Message = NetlinkMessage<RouteNetlinkMessage>;

/// Whoever listens.
#[derive(Debug)]
pub(in crate::mesh) struct Watch(mpsc::Receiver<()>);

impl Watch {
    /// Begins to listen; `port` is the netlink port by which changes of our own are made.
    ///
    /// # Errors
    /// What the kernel says.
    pub(super) fn open(interface: &str, port: u32) -> io::Result<Self> {
        let (connection, _, mut messages) = new_multicast_connection(&GROUPS)?;
        beside(connection);
        // What was taken away is looked for as a whole: one word says it, however much it is.
        let (tell, told) = mpsc::channel(1);
        let interface = interface.to_owned();
        beside(async move {
            while let Some((message, _)) = messages.next().await {
                if is_taken(&message, &interface, port)
                    && matches!(tell.try_send(()), Err(TrySendError::Closed(())))
                {
                    return;
                }
            }
        });
        Ok(Self(told))
    }

    /// Waits until somebody else took away something of ours, or may have. `false` when the kernel tells nothing any
    /// more. Cancel safe.
    pub(in crate::mesh) async fn taken(&mut self) -> bool {
        self.0.recv().await.is_some()
    }
}

/// Whether something of ours is gone by it, and not by us.
fn is_taken(message: &Message, interface: &str, port: u32) -> bool {
    let NetlinkPayload::InnerMessage(told) = &message.payload else {
        return matches!(message.payload, NetlinkPayload::Overrun(_));
    };
    let ours = RouteProtocol::Other(PROTOCOL);
    if message.header.port_number == port {
        false
    } else if let RouteNetlinkMessage::DelRoute(route) = told {
        route.header.protocol == ours
    } else if let RouteNetlinkMessage::DelRule(rule) = told {
        rule.attributes.contains(&RuleAttribute::Protocol(ours))
    } else if let RouteNetlinkMessage::DelAddress(address) = told {
        if_nametoindex(interface).is_ok_and(|index| index == address.header.index)
    } else if let RouteNetlinkMessage::DelLink(link) = told {
        is_named(link, interface)
    } else if let RouteNetlinkMessage::NewLink(link) = told {
        // With the interface down the kernel takes routes and addresses away, not all of them with a word.
        is_named(link, interface) && !link.header.flags.contains(LinkFlags::Up)
    } else {
        false
    }
}

fn is_named(link: &LinkMessage, interface: &str) -> bool {
    link.attributes.iter().any(|told| matches!(told, LinkAttribute::IfName(name) if name == interface))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mesh::network::tests::network;
    use crate::mesh::network::{By, Route, route_message, rule_message};
    use crate::mesh::plan::tests::{known, own, peer};
    use crate::mesh::plan::{Rule, layout};
    use crate::mesh::prefix::prefix;
    use crate::net::tests::wire::{Wire, run};
    use futures_util::Stream;
    use protocol::mesh::{MeshPeer, MeshSelf};
    use rtnetlink::packet_route::route::{RouteAddress, RouteAttribute, RouteMessage};
    use rtnetlink::sys::SocketAddr;
    use std::time::Duration;
    use tokio::time::timeout;

    /// Longest time until the kernel has told, on a busy machine.
    const PATIENCE: Duration = Duration::from_secs(20);
    /// The port of our own changes.
    const OWN: u32 = 7;

    fn message(port: u32, told: RouteNetlinkMessage) -> Message {
        let mut message = NetlinkMessage::from(told);
        message.header.port_number = port;
        message
    }

    fn link(name: &str, flags: LinkFlags) -> LinkMessage {
        let mut link = LinkMessage::default();
        link.header.flags = flags;
        link.attributes.push(LinkAttribute::IfName(name.to_owned()));
        link
    }

    fn dead_end() -> RouteMessage {
        route_message(&Route { to: prefix("10.20.0.0/16"), by: By::Nowhere }, 0)
    }

    #[test]
    fn what_others_take_away_of_ours_is_told_apart() {
        let is_taken = |port, told| is_taken(&message(port, told), "muster0", OWN);
        let rule = || rule_message(&Rule::NobodyNowhere, "muster0");
        assert!(is_taken(0, RouteNetlinkMessage::DelRoute(dead_end())), "the kernel itself");
        assert!(is_taken(8, RouteNetlinkMessage::DelRoute(dead_end())));
        assert!(!is_taken(OWN, RouteNetlinkMessage::DelRoute(dead_end())), "by us");
        assert!(!is_taken(8, RouteNetlinkMessage::NewRoute(dead_end())));
        let mut others = dead_end();
        others.header.protocol = RouteProtocol::Static;
        assert!(!is_taken(8, RouteNetlinkMessage::DelRoute(others)));
        assert!(is_taken(8, RouteNetlinkMessage::DelRule(rule())));
        assert!(!is_taken(OWN, RouteNetlinkMessage::DelRule(rule())));
        assert!(!is_taken(8, RouteNetlinkMessage::DelRule(Default::default())));
        let (up, down) = (LinkFlags::Up, LinkFlags::empty());
        assert!(is_taken(8, RouteNetlinkMessage::DelLink(link("muster0", up))));
        assert!(!is_taken(8, RouteNetlinkMessage::DelLink(link("eth0", up))));
        assert!(is_taken(0, RouteNetlinkMessage::NewLink(link("muster0", down))));
        assert!(!is_taken(0, RouteNetlinkMessage::NewLink(link("muster0", up))));
        assert!(!is_taken(0, RouteNetlinkMessage::NewLink(link("eth0", down))));
    }

    #[test]
    fn messages_that_were_lost_may_have_told_of_anything() {
        let lost = NetlinkMessage::new(Default::default(), NetlinkPayload::Overrun(Vec::new()));
        assert!(is_taken(&lost, "muster0", OWN));
        let silent = NetlinkMessage::new(Default::default(), NetlinkPayload::Noop);
        assert!(!is_taken(&silent, "muster0", OWN));
    }

    /// What the kernel tells until now.
    async fn told(
        wire: &Wire,
        messages: &mut (impl Stream<Item = (Message, SocketAddr)> + Unpin),
    ) -> Vec<Message> {
        wire.here("ip route add blackhole 203.0.113.0/24 && ip route del blackhole 203.0.113.0/24");
        let last = RouteAttribute::Destination(RouteAddress::Inet([203, 0, 113, 0].into()));
        let mut told = Vec::new();
        loop {
            let (message, _) =
                timeout(PATIENCE, messages.next()).await.expect("the kernel is silent").unwrap();
            let is_last = matches!(&message.payload, NetlinkPayload::InnerMessage(RouteNetlinkMessage::DelRoute(route))
                if route.attributes.contains(&last));
            told.push(message);
            if is_last {
                return told;
            }
        }
    }

    #[test]
    fn kernel_tells_what_others_take_away_and_our_own_changes_are_known() {
        run(
            "mesh::network::watch::tests::kernel_tells_what_others_take_away_and_our_own_changes_are_known",
            async |wire| {
                let folder = tempfile::tempdir().unwrap();
                let mut network = network(wire, folder.path());
                let (connection, _, mut messages) = new_multicast_connection(&GROUPS).unwrap();
                beside(connection);
                let behind = MeshPeer { routes: vec!["192.168.7.0/24".parse().unwrap()], ..peer(2) };
                let relay = layout(&known(MeshSelf { relay: true, ..own() }, &[behind]), &[]);
                let plain = layout(&known(own(), &[peer(2)]), &[]);
                for wanted in [&relay, &plain, &relay] {
                    network.prepare(wanted).await.unwrap();
                    network.settle(wanted, 0).await.unwrap();
                }
                let port = network.port;
                let is_taken = |told: Vec<Message>| told.iter().any(|one| is_taken(one, "muster0", port));
                // The cable was down before.
                told(wire, &mut messages).await;
                for wanted in [&plain, &relay] {
                    network.settle(wanted, 0).await.unwrap();
                    assert!(!is_taken(told(wire, &mut messages).await), "by us");
                }
                for command in [
                    "ip route del unreachable 10.20.0.0/16 proto 183 metric 4294967280",
                    "ip -6 route del unreachable fd00:20::/64 proto 183 metric 4294967280",
                    "ip route del 192.168.7.0/24 dev muster0",
                    "ip -6 rule del priority 5185",
                    "ip addr del 10.20.0.1/32 dev muster0",
                    "ip link set muster0 down",
                ] {
                    wire.here(command);
                    assert!(is_taken(told(wire, &mut messages).await), "{command}");
                    network.doubt();
                    network.prepare(&relay).await.unwrap();
                    network.settle(&relay, 0).await.unwrap();
                    assert!(!is_taken(told(wire, &mut messages).await), "put right after {command}");
                }
                wire.here("ip link del muster0");
                assert!(is_taken(told(wire, &mut messages).await));
            },
        );
    }
}
