//! What the kernel is asked to do about links: by rtnetlink, and by `/proc/sys` where that has
//! no words (whether routers are listened to).

use super::lease::{Lease, Route};
use super::planner::RETRY;
use futures_util::TryStreamExt;
use nix::errno::Errno;
use protocol::net::BondMode;
use rtnetlink::packet_core::ErrorMessage;
use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::address::{AddressAttribute, AddressMessage};
use rtnetlink::packet_route::link::{BondLacpRate, BondMode as KernelMode};
use rtnetlink::packet_route::route::{RouteMessage, RouteProtocol, RouteScope};
use rtnetlink::{Handle, LinkBond, LinkUnspec, LinkVlan, RouteMessageBuilder};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use tokio::time::timeout;

/// How often the carrier of a bond's members is looked at, in milliseconds.
const MII_MONITOR: u32 = 100;

/// Why the kernel does not have what it should.
#[derive(Debug, thiserror::Error)]
#[error("cannot {doing} on {link}")]
pub(crate) struct ApplyError {
    doing: String,
    link: String,
    #[source]
    source: Refusal,
}

/// What the kernel, or the way to it, says.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error(transparent)]
    Netlink(#[from] rtnetlink::Error),
    #[error(transparent)]
    Setting(#[from] io::Error),
    #[error("the kernel does not answer within {} s", RETRY.as_secs())]
    Late,
}

/// Asks the kernel for something, and waits no longer than a person would.
async fn ask<T>(
    link: &str,
    doing: impl FnOnce() -> String,
    request: impl Future<Output = Result<T, rtnetlink::Error>>,
) -> Result<T, ApplyError> {
    let outcome =
        timeout(RETRY, request).await.map_or(Err(Refusal::Late), |done| done.map_err(Refusal::from));
    outcome.map_err(|source| ApplyError { doing: doing(), link: link.to_owned(), source })
}

/// One device as the kernel knows it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Device<'a> {
    /// The way to the kernel.
    pub(super) handle: &'a Handle,
    /// Its number.
    pub(super) index: u32,
    /// Its name.
    pub(super) name: &'a str,
}

impl Device<'_> {
    /// Sets it up.
    ///
    /// # Errors
    /// [`ApplyError`]: often firmware that the image does not carry.
    pub(super) async fn set_up(&self) -> Result<(), ApplyError> {
        let up = LinkUnspec::new_with_index(self.index).up().build();
        ask(self.name, || "set the link up".to_owned(), self.handle.link().set(up).execute()).await
    }

    /// Sets the MTU, in bytes.
    ///
    /// # Errors
    /// [`ApplyError`] when the card cannot.
    pub(super) async fn set_mtu(&self, mtu: u32) -> Result<(), ApplyError> {
        let message = LinkUnspec::new_with_index(self.index).mtu(mtu).build();
        ask(self.name, || format!("set the MTU {mtu}"), self.handle.link().set(message).execute()).await
    }

    /// Puts it into a bond: down first, as the kernel wants it, and the bond sets it up again.
    ///
    /// # Errors
    /// [`ApplyError`].
    pub(super) async fn join(&self, bond: u32) -> Result<(), ApplyError> {
        let down = LinkUnspec::new_with_index(self.index).down().build();
        ask(self.name, || "set the link down".to_owned(), self.handle.link().set(down).execute()).await?;
        let join = LinkUnspec::new_with_index(self.index).controller(bond).build();
        ask(self.name, || "join the bond".to_owned(), self.handle.link().set(join).execute()).await
    }

    /// Makes a VLAN on it.
    ///
    /// # Errors
    /// [`ApplyError`]. One that is there already is none.
    pub(super) async fn make_vlan(&self, name: &str, id: u16) -> Result<(), ApplyError> {
        let message = LinkVlan::new(name, self.index, id).build();
        let made = self.handle.link().add(message).execute();
        ask(self.name, || format!("make VLAN {id}"), async { unless(Errno::EEXIST, made.await) }).await
    }

    /// Takes it away.
    ///
    /// # Errors
    /// [`ApplyError`]. One that is gone already is none.
    pub(super) async fn remove(&self) -> Result<(), ApplyError> {
        let gone = self.handle.link().del(self.index).execute();
        ask(self.name, || "remove the device".to_owned(), async { unless(Errno::ENODEV, gone.await) }).await
    }

    /// Puts a lease's address on it. One that is there already stays.
    ///
    /// # Errors
    /// [`ApplyError`].
    pub(super) async fn set_address(&self, lease: &Lease) -> Result<(), ApplyError> {
        let (address, prefix) = (lease.address, lease.prefix);
        let request = self.handle.address().add(self.index, address, prefix).replace().execute();
        ask(self.name, || format!("set the address {address}/{prefix}"), request).await
    }

    /// Sets a lease's routes. `metric` ranks them among those of other links: the lowest wins.
    ///
    /// # Errors
    /// [`ApplyError`] of the first that the kernel refused.
    pub(super) async fn set_routes(&self, lease: &Lease, metric: u32) -> Result<(), ApplyError> {
        for route in &lease.routes {
            let Some(message) = route_message(route, self.index, lease, metric) else { continue };
            let request = self.handle.route().add(message).replace().execute();
            ask(self.name, || format!("set the route to {}", route.to), request).await?;
        }
        Ok(())
    }

    /// Takes off a lease's routes, set with the same `metric`. One that is gone already, or that a
    /// later one took the place of, is none.
    ///
    /// # Errors
    /// [`ApplyError`] of the first that the kernel refused.
    pub(super) async fn drop_routes(&self, lease: &Lease, metric: u32) -> Result<(), ApplyError> {
        for route in &lease.routes {
            let Some(message) = route_message(route, self.index, lease, metric) else { continue };
            let gone = self.handle.route().del(message).execute();
            let doing = || format!("remove the route to {}", route.to);
            ask(self.name, doing, async { unless(Errno::ESRCH, gone.await) }).await?;
        }
        Ok(())
    }

    /// Takes off the addresses that `which` chooses; the kernel drops their routes.
    ///
    /// # Errors
    /// [`ApplyError`] when the kernel refuses.
    pub(super) async fn withdraw(&self, which: impl Fn(IpAddr) -> bool) -> Result<(), ApplyError> {
        let doing = || "remove old addresses".to_owned();
        let addresses = self.handle.address().get().set_link_index_filter(self.index).execute();
        let all: Vec<AddressMessage> = ask(self.name, doing, addresses.try_collect()).await?;
        for message in all.into_iter().filter(|message| address_of(message).is_some_and(&which)) {
            let gone = self.handle.address().del(message).execute();
            ask(self.name, doing, async { unless(Errno::EADDRNOTAVAIL, gone.await) }).await?;
        }
        Ok(())
    }

    /// Says whether routers are listened to here (`Documentation/networking/ip-sysctl.rst`). A
    /// kernel without IPv6 has nothing to set.
    ///
    /// # Errors
    /// [`ApplyError`] when `/proc/sys` is not there or not ours.
    pub(super) fn listen_to_routers(&self, is_wanted: bool) -> Result<(), ApplyError> {
        // 2: also where the machine forwards packets.
        self.set("accept_ra", if is_wanted { "2" } else { "0" })
    }

    /// Starts IPv6 afresh: every address goes, and routers are asked again.
    ///
    /// # Errors
    /// [`ApplyError`] when `/proc/sys` is not there or not ours.
    pub(super) fn restart_ipv6(&self) -> Result<(), ApplyError> {
        self.set("disable_ipv6", "1")?;
        self.set("disable_ipv6", "0")
    }

    fn set(&self, key: &str, value: &str) -> Result<(), ApplyError> {
        let path = Path::new("/proc/sys/net/ipv6/conf").join(self.name).join(key);
        match std::fs::write(path, value) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                let doing = format!("set {key}={value}");
                Err(ApplyError { doing, link: self.name.to_owned(), source: error.into() })
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

/// Makes a bond without members.
///
/// # Errors
/// [`ApplyError`].
pub(super) async fn make_bond(handle: &Handle, name: &str, mode: BondMode) -> Result<(), ApplyError> {
    let message = || {
        let bond = LinkBond::new(name).mode(kernel_mode(mode)).miimon(MII_MONITOR);
        // Otherwise a switch that comes back is heard after 30 seconds.
        let bond = if mode == BondMode::Lacp { bond.ad_lacp_rate(BondLacpRate::Fast) } else { bond };
        bond.build()
    };
    let doing = || "make the bond".to_owned();
    match handle.link().add(message()).execute().await {
        // Where it is part of the kernel it has made a bond0 of its own, in another mode.
        Err(error) if is(&error, Errno::EEXIST) => {
            let by_name = LinkUnspec::new_with_name(name).build();
            ask(name, doing, handle.link().del_with_message(by_name).execute()).await?;
            ask(name, doing, handle.link().add(message()).execute()).await
        }
        outcome => ask(name, doing, async { outcome }).await,
    }
}

fn kernel_mode(mode: BondMode) -> KernelMode {
    match mode {
        BondMode::ActiveBackup => KernelMode::ActiveBackup,
        BondMode::Lacp => KernelMode::Ieee8023Ad,
        BondMode::BalanceXor => KernelMode::BalanceXor,
        BondMode::BalanceRr => KernelMode::BalanceRr,
        BondMode::BalanceTlb => KernelMode::BalanceTlb,
        BondMode::BalanceAlb => KernelMode::BalanceAlb,
    }
}

fn unless(errno: Errno, outcome: Result<(), rtnetlink::Error>) -> Result<(), rtnetlink::Error> {
    match outcome {
        Err(error) if is(&error, errno) => Ok(()),
        outcome => outcome,
    }
}

fn is(error: &rtnetlink::Error, errno: Errno) -> bool {
    let code = |message: &ErrorMessage| message.code.is_some_and(|code| code.get() == -(errno as i32));
    matches!(error, rtnetlink::Error::NetlinkError(message) if code(message))
}

/// The address of a message, except for those that belong to the link itself.
fn address_of(message: &AddressMessage) -> Option<IpAddr> {
    let find = |choose: fn(&AddressAttribute) -> Option<IpAddr>| message.attributes.iter().find_map(choose);
    let local = find(|attribute| if let AddressAttribute::Local(ip) = attribute { Some(*ip) } else { None });
    match (message.header.family, local) {
        (_, Some(address)) => Some(address),
        (AddressFamily::Inet6, None) => {
            find(|attribute| if let AddressAttribute::Address(ip) = attribute { Some(*ip) } else { None })
        }
        (_, None) => None,
    }
}

/// A route as the kernel wants it; `None` when its parts are of different families.
fn route_message(route: &Route, index: u32, lease: &Lease, metric: u32) -> Option<RouteMessage> {
    // Clouds hand out /32 addresses with a gateway outside of them.
    let is_far = route.via.is_some_and(|via| !lease.is_neighbour(via));
    match (route.to.address, lease.address, route.via) {
        (IpAddr::V4(to), IpAddr::V4(own), None | Some(IpAddr::V4(_))) => {
            let message = RouteMessageBuilder::<Ipv4Addr>::new()
                .destination_prefix(to, route.to.length)
                .output_interface(index)
                .pref_source(own)
                .priority(metric)
                .protocol(RouteProtocol::Dhcp);
            Some(match route.via {
                Some(IpAddr::V4(via)) if is_far => message.gateway(via).onlink().build(),
                Some(IpAddr::V4(via)) => message.gateway(via).build(),
                Some(IpAddr::V6(_)) | None => message.scope(RouteScope::Link).build(),
            })
        }
        // Without a preferred source: the kernel refuses one it is not sure of yet.
        (IpAddr::V6(to), IpAddr::V6(_), None | Some(IpAddr::V6(_))) => {
            let message = RouteMessageBuilder::<Ipv6Addr>::new()
                .destination_prefix(to, route.to.length)
                .output_interface(index)
                .priority(metric)
                .protocol(RouteProtocol::Dhcp);
            Some(match route.via {
                Some(IpAddr::V6(via)) if is_far => message.gateway(via).onlink().build(),
                Some(IpAddr::V6(via)) => message.gateway(via).build(),
                Some(IpAddr::V4(_)) | None => message.build(),
            })
        }
        (IpAddr::V4(_) | IpAddr::V6(_), IpAddr::V4(_) | IpAddr::V6(_), _) => None,
    }
}
