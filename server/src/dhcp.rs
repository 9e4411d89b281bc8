//! The DHCP door: asks `app/boot` what a client should boot, for the server of crate `pxe`.

use crate::app::SharedApp;
use pxe::dhcp::Range;
use std::io;
use std::net::Ipv4Addr;
use tokio_util::sync::CancellationToken;

/// How DHCP is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DhcpOptions {
    /// Our address on the network whose machines are answered.
    pub address: Ipv4Addr,
    /// Addresses to lease; none beside an existing server.
    pub range: Option<Range>,
}

/// A bound door that answers nobody yet.
#[derive(Debug)]
pub(crate) struct Dhcp {
    options: DhcpOptions,
}

impl Dhcp {
    /// Binds ports 67 and 4011.
    ///
    /// # Errors
    /// When they cannot be bound, and when addresses are to be leased where somebody does already.
    pub(crate) fn bind(options: DhcpOptions) -> io::Result<Self> {
        Ok(Self { options })
    }

    /// Answers until `stopping`.
    pub(crate) async fn run(self, _app: SharedApp, stopping: CancellationToken) {
        tracing::info!(address = %self.options.address, "dhcp");
        stopping.cancelled().await;
    }
}
