//! Puts a lease on its link and takes it off again: MTU, address, routes, by rtnetlink.

use super::lease::{Lease, Route};
use futures_util::TryStreamExt;
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::route::{RouteMessage, RouteProtocol, RouteScope};
use rtnetlink::{Handle, LinkUnspec, RouteMessageBuilder};
use std::net::{IpAddr, Ipv4Addr};

/// Why the kernel does not have what it should.
#[derive(Debug, Clone, thiserror::Error)]
#[error("cannot {doing} on {link}")]
pub(crate) struct ApplyError {
    doing: String,
    link: String,
    #[source]
    source: rtnetlink::Error,
}

/// Sets a link up.
///
/// # Errors
/// [`ApplyError`]: often firmware that the image does not carry.
pub(super) async fn set_up(handle: &Handle, index: u32, link: &str) -> Result<(), ApplyError> {
    let up = LinkUnspec::new_with_index(index).up().build();
    let failed = |source| ApplyError { doing: "set the link up".to_owned(), link: link.to_owned(), source };
    handle.link().set(up).execute().await.map_err(failed)
}

/// Puts a lease on its link. `metric` ranks its routes among those of other links: the lowest
/// wins. What is there already stays.
///
/// # Errors
/// [`ApplyError`] of the first thing the kernel refused that the machine cannot do without.
pub(super) async fn apply(handle: &Handle, index: u32, lease: &Lease, metric: u32) -> Result<(), ApplyError> {
    let failed = |doing: String| {
        let link = lease.link.clone();
        move |source| ApplyError { doing, link, source }
    };
    if let Some(mtu) = lease.mtu {
        let message = LinkUnspec::new_with_index(index).mtu(u32::from(mtu)).build();
        handle.link().set(message).execute().await.map_err(failed(format!("set the MTU {mtu}")))?;
    }
    let (address, prefix) = (lease.address, lease.prefix);
    handle
        .address()
        .add(index, IpAddr::V4(address), prefix)
        .replace()
        .execute()
        .await
        .map_err(failed(format!("set the address {address}/{prefix}")))?;
    for route in &lease.routes {
        let message = route_message(route, index, lease, metric);
        let doing = format!("set the route to {}/{}", route.destination, route.prefix);
        handle.route().add(message).replace().execute().await.map_err(failed(doing))?;
    }
    Ok(())
}

/// Takes every IPv4 address off a link but one; the kernel drops the routes of the others.
///
/// # Errors
/// [`ApplyError`] when the kernel refuses.
pub(super) async fn withdraw(
    handle: &Handle,
    index: u32,
    link: &str,
    keep: Option<Ipv4Addr>,
) -> Result<(), ApplyError> {
    let failed =
        |source| ApplyError { doing: "remove old addresses".to_owned(), link: link.to_owned(), source };
    let mut addresses = handle.address().get().set_link_index_filter(index).execute();
    let mut old = Vec::new();
    while let Some(message) = addresses.try_next().await.map_err(failed)? {
        if ipv4_of(&message).is_some_and(|address| Some(address) != keep) {
            old.push(message);
        }
    }
    for message in old {
        handle.address().del(message).execute().await.map_err(failed)?;
    }
    Ok(())
}

fn ipv4_of(message: &AddressMessage) -> Option<Ipv4Addr> {
    message.attributes.iter().find_map(|attribute| {
        if let AddressAttribute::Local(IpAddr::V4(address)) = attribute { Some(*address) } else { None }
    })
}

fn route_message(route: &Route, index: u32, lease: &Lease, metric: u32) -> RouteMessage {
    let message = RouteMessageBuilder::<Ipv4Addr>::new()
        .destination_prefix(route.destination, route.prefix)
        .output_interface(index)
        .pref_source(lease.address)
        .priority(metric)
        .protocol(RouteProtocol::Dhcp);
    match route.gateway {
        None => message.scope(RouteScope::Link).build(),
        Some(gateway) if lease.is_neighbour(gateway) => message.gateway(gateway).build(),
        // Clouds hand out /32 addresses with a gateway outside of them.
        Some(gateway) => message.gateway(gateway).onlink().build(),
    }
}
