//! The TFTP door: hands what `app/boot` answers to the sender of crate `pxe`.

use crate::app::SharedApp;
use std::io;
use std::net::SocketAddr;
use tokio_util::sync::CancellationToken;

/// A bound door that serves nobody yet.
#[derive(Debug)]
pub(crate) struct Tftp {
    address: SocketAddr,
}

impl Tftp {
    /// Binds the address; port 0 takes any free one.
    ///
    /// # Errors
    /// When it cannot be bound.
    pub(crate) fn bind(address: SocketAddr) -> io::Result<Self> {
        Ok(Self { address })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stopping`.
    pub(crate) async fn run(self, _app: SharedApp, stopping: CancellationToken) {
        stopping.cancelled().await;
    }
}
