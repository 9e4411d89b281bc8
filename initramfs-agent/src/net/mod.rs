//! The network of the machine: every physical link up, an address on each with a carrier.
//!
//! [`Network::start`] spawns one task ([`runner`]) that hears what the kernel says about links,
//! addresses and routers, asks the [`planner::Planner`] what to do about it, and does it; more
//! tasks run the DHCP clients of each link. It never gives up: a cable plugged in an hour later
//! works. What it has done is told as [`NetEvent`]s; how things stand is always in [`Status`],
//! which also says what to tell a person when there is no network (E10, E12 of
//! `spec/security.md` 2.5).
//!
//! IPv6 by itself is the kernel's work: link-local addresses, router advertisements, addresses
//! and default routes made of them. This code says on which links, hears about name servers
//! ([`advice`]), and asks DHCPv6 where routers want that ([`dhcp6`]).

mod adverts;
pub(crate) mod advice;
mod blueprint;
mod dhcp;
pub(crate) mod dhcp6;
mod kernel;
mod known;
mod lease;
mod link;
mod planner;
pub(crate) mod resolv_conf;
pub(crate) mod resolve;
mod runner;
mod status;
#[cfg(test)]
pub(crate) mod tests;

pub(crate) use dhcp::DhcpProblem;
pub(crate) use kernel::ApplyError;
pub(crate) use lease::{Lease, Source};
pub(crate) use status::{LinkStatus, Role, Status, Trouble};

use crate::modules::{Modules, ModulesError};
use protocol::ids::MacAddr;
use protocol::net::NetPlan;
use runner::Runner;
use std::io;
use std::net::{IpAddr, Ipv6Addr};
use tokio::sync::{mpsc, watch};

/// Room for events that nobody has read yet. The network waits when it is full.
const EVENT_ROOM: usize = 64;

/// Something that happened.
#[derive(Debug)]
pub(crate) enum NetEvent {
    /// A link appeared.
    LinkFound {
        /// Its name.
        link: String,
        /// Its hardware address.
        mac: MacAddr,
        /// Its driver.
        driver: String,
    },
    /// A link has a carrier.
    LinkUp {
        /// Its name.
        link: String,
    },
    /// A link lost its carrier.
    LinkDown {
        /// Its name.
        link: String,
    },
    /// A link has an address, new or changed.
    Lease(Lease),
    /// A link lost its address.
    Lost {
        /// Its name.
        link: String,
        /// The address.
        address: IpAddr,
    },
    /// Something does not work yet; it is tried again.
    Problem {
        /// The link.
        link: String,
        /// What and why.
        problem: NetProblem,
    },
}

/// What does not work.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NetProblem {
    /// No address by DHCP.
    #[error(transparent)]
    Dhcp(#[from] DhcpProblem),
    /// The kernel refuses.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// The driver of a bond or VLAN cannot be loaded.
    #[error("{device} cannot be made")]
    Module {
        /// The device.
        device: String,
        /// Why not.
        #[source]
        source: ModulesError,
    },
    /// A second spec for one device.
    #[error(
        "muster.net={0} is ignored: the device is set up already; put all of its addresses into one muster.net="
    )]
    Double(String),
    /// Somebody else has the address.
    #[error("another machine on this link has {0}; give this machine another address")]
    Duplicate(Ipv6Addr),
}

/// Why there can be no network at all.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NetError {
    /// No netlink.
    #[error("cannot talk to the kernel about network links")]
    Netlink(#[source] io::Error),
}

/// The running network; clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Network {
    status: watch::Receiver<Status>,
    plans: mpsc::Sender<NetPlan>,
}

impl Network {
    /// Starts. With [`NetPlan::Ask`], links are set up and nothing else until
    /// [`Network::replan`] says more. `host_name` is what DHCP servers are told; `modules` loads
    /// what bonds and VLANs need. Needs a tokio runtime with I/O and time. Events must be read;
    /// the network waits when nobody does.
    ///
    /// # Errors
    /// [`NetError`] when the kernel has no netlink.
    pub(crate) fn start(
        plan: NetPlan,
        host_name: Option<String>,
        modules: Option<Modules>,
    ) -> Result<(Self, mpsc::Receiver<NetEvent>), NetError> {
        let (tell, events) = mpsc::channel(EVENT_ROOM);
        let (plans, new_plans) = mpsc::channel(1);
        let status = Runner::start(plan, host_name, modules, tell, new_plans).map_err(NetError::Netlink)?;
        Ok((Self { status, plans }, events))
    }

    /// A network that does nothing but show a status, and what it is told to do.
    #[cfg(test)]
    pub(crate) fn pretended(status: watch::Receiver<Status>) -> (Self, mpsc::Receiver<NetPlan>) {
        let (plans, told) = mpsc::channel(1);
        (Self { status, plans }, told)
    }

    /// How things stand, now and after every change.
    pub(crate) fn status(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    /// Takes back what was set up and goes by another plan.
    pub(crate) async fn replan(&self, plan: NetPlan) {
        // The network ends with the runtime, and with it everybody who could hear about it.
        drop(self.plans.send(plan).await);
    }
}
