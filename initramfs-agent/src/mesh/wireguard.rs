//! The tunnels' part of the interface, by WireGuard's own generic netlink (`include/uapi/linux/wireguard.h`): its key and
//! port, its peers, and what they are doing.
//!
//! Every message names what changes and nothing else, so that no session is reset by it. One that would be longer than
//! [`MAX_MESSAGE`] becomes several; a peer with more allowed addresses than fit goes on in the next one.
//!
//! Messages carry the private key: nothing of them is ever shown.

use super::path::Sight;
use super::plan::{Allowed, Change, PeerChange, Present};
use super::prefix::Prefix;
use super::state::PrivateKey;
use crate::runtime::beside;
use futures_util::StreamExt;
use netlink_packet_generic::ctrl::nlas::GenlCtrlAttrs;
use netlink_packet_generic::ctrl::{GenlCtrl, GenlCtrlCmd};
use netlink_packet_generic::{GenlFamily, GenlMessage};
use netlink_packet_wireguard::{
    WireguardAddressFamily, WireguardAllowedIp, WireguardAllowedIpAttr, WireguardAttribute, WireguardCmd,
    WireguardMessage, WireguardPeer, WireguardPeerAttribute, WireguardPeerFlags,
};
use nix::errno::Errno;
use protocol::mesh::PublicKey;
use rtnetlink::packet_core::{
    Emitable, NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkDeserializable, NetlinkMessage, NetlinkPayload,
    NetlinkSerializable,
};
use rtnetlink::proto::{ConnectionHandle, new_connection};
use rtnetlink::sys::SocketAddr as KernelAddress;
use rtnetlink::sys::protocols::NETLINK_GENERIC;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::io;
use std::net::IpAddr;
use std::time::Duration;
use tokio::time::timeout;

/// Longest message, in bytes: that of `wg`, which every kernel takes.
const MAX_MESSAGE: usize = 8 * 1_024;
/// How long the kernel may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Most peers that are taken from the kernel, beyond what there may be.
const MAX_SEEN: usize = 2 * protocol::mesh::MAX_PEERS;

/// What the machine cannot give to a member, with the remedy.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unavailable {
    /// The kernel has no WireGuard.
    #[error("this kernel has no WireGuard: install its module 'wireguard', or boot a kernel of 5.6 or later")]
    Wireguard,
    /// The port is somebody else's.
    #[error("UDP port {0} is taken by another program; free it, or set the param muster/mesh-port")]
    Port(u16),
}

/// Why the tunnels are not as they should be.
#[derive(Debug, thiserror::Error)]
pub(super) enum WireguardError {
    /// No way to the kernel.
    #[error("cannot speak with the kernel about tunnels")]
    Netlink(#[source] io::Error),
    /// WireGuard, or the port.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// The kernel says no.
    #[error("cannot {doing}")]
    Refused {
        /// What was to be done.
        doing: &'static str,
        /// The kernel's word.
        #[source]
        source: io::Error,
    },
    /// It says nothing.
    #[error("cannot {0}: the kernel does not answer")]
    Silent(&'static str),
}

/// The interface as the kernel shows it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Device {
    /// The key that others know it by; none before it has a private one.
    pub(super) key: Option<PublicKey>,
    /// UDP port.
    pub(super) port: u16,
    /// Its peers.
    pub(super) peers: BTreeMap<PublicKey, Peer>,
}

/// A peer as the kernel shows it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Peer {
    /// What it was told.
    pub(super) present: Present,
    /// When the last handshake was, in nanoseconds since 1970.
    pub(super) handshake: Option<i128>,
    /// Bytes that came from it.
    pub(super) received: u64,
    /// Bytes that went to it.
    pub(super) sent: u64,
}

impl Peer {
    /// The same as far as its path is concerned.
    pub(super) const fn sight(&self) -> Sight {
        Sight { handshake: self.handshake, endpoint: self.present.endpoint }
    }
}

/// WireGuard of this kernel.
pub(super) struct Wireguard {
    handle: ConnectionHandle<GenlMessage<WireguardMessage>>,
    family: u16,
    interface: String,
}

impl Wireguard {
    /// That of an interface, which may be made later.
    ///
    /// # Errors
    /// [`WireguardError`]; [`Unavailable::Wireguard`] where the kernel has none.
    pub(super) async fn open(interface: &str) -> Result<Self, WireguardError> {
        let family = family(WireguardMessage::family_name()).await?;
        let (connection, handle, _) = new_connection(NETLINK_GENERIC).map_err(WireguardError::Netlink)?;
        beside(connection);
        Ok(Self { handle, family, interface: interface.to_owned() })
    }

    /// The interface and its peers; none while there is no such interface.
    ///
    /// # Errors
    /// [`WireguardError`].
    pub(super) async fn look(&self) -> Result<Option<Device>, WireguardError> {
        let asked = WireguardMessage { cmd: WireguardCmd::GetDevice, attributes: vec![self.name()] };
        match request(&self.handle, self.family, NLM_F_DUMP, asked, "look at the tunnels").await {
            Ok(messages) => Ok(Some(device(messages))),
            Err(WireguardError::Refused { source, .. }) if is(&source, Errno::ENODEV) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Gives the interface its key. The same again changes nothing.
    ///
    /// # Errors
    /// [`WireguardError`].
    pub(super) async fn set_key(&self, key: &PrivateKey) -> Result<(), WireguardError> {
        let private = WireguardAttribute::PrivateKey(*key.reveal());
        self.set(vec![private], "give the interface its key").await
    }

    /// Gives the interface its port.
    ///
    /// # Errors
    /// [`WireguardError`].
    pub(super) async fn set_port(&self, port: u16) -> Result<(), WireguardError> {
        match self.set(vec![WireguardAttribute::ListenPort(port)], "listen on the port").await {
            Err(WireguardError::Refused { source, .. }) if is(&source, Errno::EADDRINUSE) => {
                Err(Unavailable::Port(port).into())
            }
            outcome => outcome,
        }
    }

    /// Changes peers.
    ///
    /// # Errors
    /// [`WireguardError`]: some may be changed.
    pub(super) async fn change(&self, changes: &[Change]) -> Result<(), WireguardError> {
        for peers in messages(changes) {
            self.set(vec![WireguardAttribute::Peers(peers)], "change peers").await?;
        }
        Ok(())
    }

    async fn set(&self, what: Vec<WireguardAttribute>, doing: &'static str) -> Result<(), WireguardError> {
        let mut attributes = vec![self.name()];
        attributes.extend(what);
        let message = WireguardMessage { cmd: WireguardCmd::SetDevice, attributes };
        request(&self.handle, self.family, NLM_F_ACK, message, doing).await.map(drop)
    }

    fn name(&self) -> WireguardAttribute {
        WireguardAttribute::IfName(self.interface.clone())
    }
}

/// The number under which this kernel knows a family, WireGuard. Asking for it loads the module where there is one.
async fn family(name: &str) -> Result<u16, WireguardError> {
    let (connection, handle, _) = new_connection(NETLINK_GENERIC).map_err(WireguardError::Netlink)?;
    beside(connection);
    let name = GenlCtrlAttrs::FamilyName(name.to_owned());
    let asked = GenlCtrl { cmd: GenlCtrlCmd::GetFamily, nlas: vec![name] };
    let told = match request(&handle, 0, NLM_F_ACK, asked, "look for WireGuard").await {
        Err(WireguardError::Refused { source, .. }) if is(&source, Errno::ENOENT) => {
            return Err(Unavailable::Wireguard.into());
        }
        told => told?,
    };
    let id = |told: &GenlCtrl| {
        told.nlas.iter().find_map(|nla| if let GenlCtrlAttrs::FamilyId(id) = nla { Some(*id) } else { None })
    };
    told.iter().find_map(id).ok_or(Unavailable::Wireguard.into())
}

/// One question to the kernel, and all it answers.
async fn request<F>(
    handle: &ConnectionHandle<GenlMessage<F>>,
    family: u16,
    flags: u16,
    payload: F,
    doing: &'static str,
) -> Result<Vec<F>, WireguardError>
where
    F: GenlFamily + Emitable + Debug,
    GenlMessage<F>: NetlinkSerializable + NetlinkDeserializable,
{
    let mut message = GenlMessage::from_payload(payload);
    message.set_resolved_family_id(family);
    let mut message = NetlinkMessage::from(message);
    message.header.flags = NLM_F_REQUEST | flags;
    let silent = || WireguardError::Silent(doing);
    let mut answers = handle.request(message, KernelAddress::new(0, 0)).map_err(|_| silent())?;
    let mut told = Vec::new();
    while let Some(answer) = timeout(PATIENCE, answers.next()).await.map_err(|_| silent())? {
        if let NetlinkPayload::InnerMessage(message) = answer.payload {
            told.push(message.into_parts().1);
        } else if let NetlinkPayload::Error(error) = &answer.payload
            && error.code.is_some()
        {
            return Err(WireguardError::Refused { doing, source: error.to_io() });
        } else if let NetlinkPayload::Done(done) = &answer.payload
            && done.code < 0
        {
            // A dump may end with an error, too.
            let source = io::Error::from_raw_os_error(done.code.saturating_neg());
            return Err(WireguardError::Refused { doing, source });
        }
    }
    Ok(told)
}

fn is(error: &io::Error, errno: Errno) -> bool {
    error.raw_os_error() == Some(errno as i32)
}

/// What changes peers, cut into what fits messages.
fn messages(changes: &[Change]) -> Vec<Vec<WireguardPeer>> {
    let mut messages = Vec::new();
    let (mut message, mut length) = (Vec::new(), 0);
    for piece in changes.iter().flat_map(pieces) {
        let needs = std::slice::from_ref(&piece).buffer_len();
        if length + needs > MAX_MESSAGE && !message.is_empty() {
            messages.push(std::mem::take(&mut message));
            length = 0;
        }
        length += needs;
        message.push(piece);
    }
    if !message.is_empty() {
        messages.push(message);
    }
    messages
}

/// One change, in as many pieces as it takes.
fn pieces(change: &Change) -> Vec<WireguardPeer> {
    /// So many allowed addresses of IPv6, of 40 bytes each, leave room for the rest in one message.
    const MOST: usize = 128;
    use WireguardPeerAttribute as Is;
    let change = match change {
        Change::Set(change) => change,
        Change::Remove(key) => {
            let flags = WireguardPeerFlags::RemoveMe | WireguardPeerFlags::UpdateOnly;
            return vec![WireguardPeer(vec![Is::PublicKey(key.0), Is::Flags(flags)])];
        }
    };
    let PeerChange { key, is_new, endpoint, keepalive, allowed } = change;
    let (mut flags, allowed) = match allowed {
        Allowed::Same => (WireguardPeerFlags::empty(), [].as_slice()),
        Allowed::More(more) => (WireguardPeerFlags::empty(), more.as_slice()),
        Allowed::All(all) => (WireguardPeerFlags::ReplaceAllowedIps, all.as_slice()),
    };
    if !is_new {
        // One that is gone is not made again without its addresses.
        flags |= WireguardPeerFlags::UpdateOnly;
    }
    let mut parts = allowed.chunks(MOST);
    let mut first = vec![Is::PublicKey(key.0), Is::Flags(flags)];
    // The place before what makes the kernel greet.
    first.extend(endpoint.map(Is::Endpoint));
    first.extend(keepalive.map(Is::PersistentKeepalive));
    first.extend(parts.next().map(allowed_ips));
    let more = parts.map(|part| {
        WireguardPeer(vec![
            Is::PublicKey(key.0),
            Is::Flags(WireguardPeerFlags::UpdateOnly),
            allowed_ips(part),
        ])
    });
    std::iter::once(WireguardPeer(first)).chain(more).collect()
}

fn allowed_ips(prefixes: &[Prefix]) -> WireguardPeerAttribute {
    let each = prefixes.iter().map(|prefix| {
        let family = match prefix.address() {
            IpAddr::V4(_) => WireguardAddressFamily::Ipv4,
            IpAddr::V6(_) => WireguardAddressFamily::Ipv6,
        };
        WireguardAllowedIp(vec![
            WireguardAllowedIpAttr::Family(family),
            WireguardAllowedIpAttr::IpAddr(prefix.address()),
            WireguardAllowedIpAttr::Cidr(prefix.length()),
        ])
    });
    WireguardPeerAttribute::AllowedIps(each.collect())
}

/// The interface as several messages tell it: a peer may go on in the next one. The private key, which the kernel tells
/// too, is let go.
fn device(messages: Vec<WireguardMessage>) -> Device {
    let mut device = Device::default();
    for attribute in messages.into_iter().flat_map(|message| message.attributes) {
        if let WireguardAttribute::PublicKey(key) = attribute {
            device.key = Some(PublicKey(key)).filter(|key| key.0 != [0; 32]);
        } else if let WireguardAttribute::ListenPort(port) = attribute {
            device.port = port;
        } else if let WireguardAttribute::Peers(peers) = attribute {
            for peer in peers {
                see(&mut device.peers, &peer);
            }
        }
    }
    device
}

fn see(peers: &mut BTreeMap<PublicKey, Peer>, told: &WireguardPeer) {
    let key = told.iter().find_map(|attribute| {
        if let WireguardPeerAttribute::PublicKey(key) = attribute { Some(PublicKey(*key)) } else { None }
    });
    let Some(key) = key else { return };
    if peers.len() >= MAX_SEEN && !peers.contains_key(&key) {
        return;
    }
    let peer = peers.entry(key).or_default();
    for attribute in told.iter() {
        if let WireguardPeerAttribute::Endpoint(endpoint) = attribute {
            let canonical = std::net::SocketAddr::new(endpoint.ip().to_canonical(), endpoint.port());
            peer.present.endpoint = Some(canonical);
        } else if let WireguardPeerAttribute::PersistentKeepalive(seconds) = attribute {
            peer.present.keepalive = *seconds;
        } else if let WireguardPeerAttribute::LastHandshake(time) = attribute {
            let stamp = i128::from(time.seconds) * 1_000_000_000 + i128::from(time.nano_seconds);
            peer.handshake = Some(stamp).filter(|stamp| *stamp > 0);
        } else if let WireguardPeerAttribute::RxBytes(bytes) = attribute {
            peer.received = *bytes;
        } else if let WireguardPeerAttribute::TxBytes(bytes) = attribute {
            peer.sent = *bytes;
        } else if let WireguardPeerAttribute::AllowedIps(allowed) = attribute {
            peer.present.allowed.extend(allowed.iter().filter_map(allowed_ip));
        }
    }
}

fn allowed_ip(told: &WireguardAllowedIp) -> Option<Prefix> {
    let (mut address, mut length) = (None, None);
    for attribute in told.iter() {
        if let WireguardAllowedIpAttr::IpAddr(ip) = attribute {
            address = Some(*ip);
        } else if let WireguardAllowedIpAttr::Cidr(bits) = attribute {
            length = Some(*bits);
        }
    }
    Some(Prefix::new(address?, length?))
}

#[cfg(test)]
#[path = "wireguard/tests.rs"]
mod tests;
