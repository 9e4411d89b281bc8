//! The DHCPv4 client of one link: asks until somebody answers, then keeps the lease alive.
//!
//! `mozim` speaks RFC 2131 from DISCOVER to REBIND; this file gives it a fresh start whenever
//! it got nowhere (it keeps its retry delays for ever, and a refused request is repeated instead
//! of starting over), and turns its states into reports.

use super::known::Names;
use super::lease::{Lease, LeaseError};
use mozim::{DhcpError, DhcpV4Client, DhcpV4Config, DhcpV4State};
use protocol::ids::MacAddr;
use std::io;
use std::net::IpAddr;
use std::time::Duration;
use tokio::sync::mpsc;

/// How long one attempt may take. mozim asks after 0, 4, 12 and 28 seconds, so that switches
/// that learn for 30 seconds before they forward (spanning tree) are outlived by the second.
pub(super) const ATTEMPT: Duration = Duration::from_secs(30);
/// How long a server that made an offer may take to confirm it. mozim repeats a request that was
/// refused; starting over is quicker.
const CONFIRMATION: Duration = Duration::from_secs(8);
/// Pause after an attempt that failed at once, so that a broken link is no busy loop.
pub(super) const PAUSE: Duration = Duration::from_secs(3);

/// Whom to ask for.
#[derive(Debug, Clone)]
pub(super) struct Asker {
    /// Kernel's number of the link.
    pub(super) index: u32,
    /// Name of the link.
    pub(super) name: String,
    /// Hardware address in use.
    pub(super) mac: MacAddr,
    /// Host name to tell the server, when the machine has one.
    pub(super) host_name: Option<String>,
}

/// What a client reports.
#[derive(Debug)]
pub(super) enum Report {
    /// A lease, new or renewed.
    Lease(Lease),
    /// The lease ran out and nobody renewed it.
    Expired(IpAddr),
    /// Name servers without an address (DHCPv6).
    Names(Names),
    /// Nothing useful came; the client goes on.
    Problem(DhcpProblem),
}

/// Why there is no address yet.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum DhcpProblem {
    /// Silence.
    #[error(
        "no DHCP server answers on {link} ({mac}) after {} s; check its VLAN and DHCP server, or set muster.net=addr=..", .waited.as_secs()
    )]
    Silence {
        /// Link.
        link: String,
        /// Its hardware address, as the server's log shows it.
        mac: MacAddr,
        /// How long was waited in all.
        waited: Duration,
    },
    /// An offer, and then nothing or a refusal.
    #[error(
        "a DHCP server on {link} offers {mac} an address and then does not give it; look for a second DHCP server, or a pool that is full"
    )]
    Unconfirmed {
        /// Link.
        link: String,
        /// Its hardware address, as the server's log shows it.
        mac: MacAddr,
    },
    /// A lease that cannot be used.
    #[error(transparent)]
    Lease(#[from] LeaseError),
    /// The client failed.
    #[error("the DHCP client on {link} failed")]
    Client {
        /// Link.
        link: String,
        /// Cause.
        #[source]
        source: DhcpError,
    },
    /// The router says there is a DHCPv6 server, and there is none.
    #[error(
        "no DHCPv6 server answers on {link} ({mac}) after {} s, although its router promises one; check the server, or the M and O flags of the router", .waited.as_secs()
    )]
    Silence6 {
        /// Link.
        link: String,
        /// Its hardware address, as the server's log shows it.
        mac: MacAddr,
        /// How long was waited in all.
        waited: Duration,
    },
    /// The DHCPv6 server has nothing for this machine.
    #[error("the DHCPv6 server on {link} gives {mac} no address (status {code} {words:?}); check its pool")]
    Refused6 {
        /// Link.
        link: String,
        /// Its hardware address.
        mac: MacAddr,
        /// Status code (RFC 8415 21.13).
        code: u16,
        /// The server's words.
        words: String,
    },
    /// The DHCPv6 client has no socket.
    #[error("the DHCPv6 client on {link} cannot send: {kind}")]
    Socket6 {
        /// Link.
        link: String,
        /// What the kernel says.
        kind: io::ErrorKind,
    },
}

impl DhcpProblem {
    /// Whether it says again what it said after the first attempt.
    pub(super) fn is_repeated(&self) -> bool {
        match self {
            Self::Silence { waited, .. } | Self::Silence6 { waited, .. } => *waited > ATTEMPT,
            Self::Unconfirmed { .. }
            | Self::Lease(_)
            | Self::Client { .. }
            | Self::Refused6 { .. }
            | Self::Socket6 { .. } => false,
        }
    }
}

/// Asks for ever; ends when nobody listens to its reports any more.
pub(super) async fn run(asker: Asker, reports: mpsc::Sender<(u32, Report)>) {
    let mut waited = Duration::ZERO;
    loop {
        let outcome = attempt(&asker, &reports).await;
        let report = match outcome {
            Ended::Unheard => return,
            Ended::Expired(address) => {
                waited = Duration::ZERO;
                Report::Expired(address)
            }
            Ended::Silence => {
                waited += ATTEMPT;
                Report::Problem(DhcpProblem::Silence { link: asker.name.clone(), mac: asker.mac, waited })
            }
            Ended::Failed(problem) => {
                tokio::time::sleep(PAUSE).await;
                Report::Problem(problem)
            }
        };
        if reports.send((asker.index, report)).await.is_err() {
            return;
        }
    }
}

/// How one attempt ended. One that got a lease ends only when the lease does.
enum Ended {
    Silence,
    Expired(IpAddr),
    Failed(DhcpProblem),
    Unheard,
}

async fn attempt(asker: &Asker, reports: &mpsc::Sender<(u32, Report)>) -> Ended {
    let failed = |source| Ended::Failed(DhcpProblem::Client { link: asker.name.clone(), source });
    let mut client = match config(asker) {
        Ok(config) => match DhcpV4Client::init(config, None).await {
            Ok(client) => client,
            Err(error) => return failed(error),
        },
        Err(error) => return failed(error),
    };
    let mut give_up = tokio::time::Instant::now() + ATTEMPT;
    let (mut bound, mut is_offered): (Option<IpAddr>, bool) = (None, false);
    loop {
        let state = if bound.is_some() {
            client.run().await
        } else {
            match tokio::time::timeout_at(give_up, client.run()).await {
                Ok(state) => state,
                Err(_elapsed) if is_offered => {
                    let (link, mac) = (asker.name.clone(), asker.mac);
                    return Ended::Failed(DhcpProblem::Unconfirmed { link, mac });
                }
                Err(_elapsed) => return Ended::Silence,
            }
        };
        match (state, bound) {
            (Ok(DhcpV4State::Done(offer)), _) => {
                let lease = match Lease::from_dhcp(&asker.name, asker.mac, &offer) {
                    Ok(lease) => lease,
                    Err(error) => return Ended::Failed(error.into()),
                };
                bound = Some(lease.address);
                if reports.send((asker.index, Report::Lease(lease))).await.is_err() {
                    return Ended::Unheard;
                }
            }
            // The address may not be used any longer without a client that renews it.
            (Ok(DhcpV4State::InitReboot) | Err(_), Some(address)) => return Ended::Expired(address),
            (Ok(DhcpV4State::Selecting), None) => {
                is_offered = true;
                give_up = tokio::time::Instant::now() + CONFIRMATION;
            }
            (
                Ok(
                    DhcpV4State::InitReboot
                    | DhcpV4State::Selecting
                    | DhcpV4State::Renewing
                    | DhcpV4State::Rebinding,
                ),
                _,
            ) => {}
            (Err(error), None) => return failed(error),
        }
    }
}

fn config(asker: &Asker) -> Result<DhcpV4Config, DhcpError> {
    let mut config = DhcpV4Config::new(&asker.name);
    // The defaults ask for all we use: mask, router, DNS, host name, domain, MTU, search list
    // and classless routes.
    config.set_iface_index(asker.index).set_iface_mac_raw(&asker.mac.0)?.use_mac_as_client_id();
    if let Some(name) = &asker.host_name {
        config.set_host_name(name);
    }
    Ok(config)
}
