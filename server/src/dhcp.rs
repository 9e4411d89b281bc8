//! The DHCP door: asks `app/boot` what a client should boot, for the server of crate `pxe`, and keeps
//! the leases of a lab's network in the data directory.

use crate::app::SharedApp;
use crate::keys::{KeysError, files, random};
use crate::report::chain;
use protocol::ids::MacAddr;
use protocol::token::{base64url, from_base64url};
use pxe::dhcp::{BindError, Holder, Host, Lease, MAX_LEASES, MAX_NAME, Options, Range, Server};
use pxe::question::{Answer, Client};
use serde::{Deserialize, Serialize};
use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use thiserror::Error;
use tokio::runtime::Handle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// File of the data directory: addresses that were given.
const LEASES: &str = "dhcp-leases.json";
/// Longest wait for what a client should boot. Firmware asks again after a few seconds, and everybody
/// else waits meanwhile.
const PATIENCE: Duration = Duration::from_secs(2);

/// How DHCP is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DhcpOptions {
    /// Our address on the network whose machines are answered.
    pub address: Ipv4Addr,
    /// Addresses to lease; none beside an existing server.
    pub range: Option<Range>,
}

/// Why DHCP cannot be answered.
#[derive(Debug, Error)]
pub enum DhcpError {
    /// On the network; with what there is to do about it.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The leases of the last run cannot be read.
    #[error(
        "the leases in {path} cannot be read; remove the file when no machine has an address of --dhcp-range"
    )]
    Leases {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// No random numbers.
    #[error(transparent)]
    Random(#[from] KeysError),
    /// The server is stopping.
    #[error("the search for another DHCP server was broken off")]
    BrokenOff(#[from] tokio::task::JoinError),
}

/// A lease in the file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Kept {
    address: Ipv4Addr,
    #[serde(flatten)]
    holder: KeptHolder,
}

/// Who may hold it.
#[derive(Debug, Serialize, Deserialize)]
enum KeptHolder {
    /// A card.
    Mac(MacAddr),
    /// Another client, by the bytes of its name in base64url.
    Client(String),
}

impl From<&Lease> for Kept {
    fn from(lease: &Lease) -> Self {
        let holder = match &lease.holder {
            Holder::Card(mac) => KeptHolder::Mac(MacAddr(*mac)),
            Holder::Named(name) => KeptHolder::Client(base64url(name)),
        };
        Self { address: lease.address, holder }
    }
}

impl TryFrom<Kept> for Lease {
    type Error = io::Error;

    fn try_from(kept: Kept) -> io::Result<Self> {
        let holder = match kept.holder {
            KeptHolder::Mac(mac) => Holder::Card(mac.0),
            KeptHolder::Client(name) => {
                let name = from_base64url(&name).filter(|name| name.len() <= MAX_NAME);
                Holder::Named(name.ok_or_else(|| invalid("a client's name is none".to_owned()))?)
            }
        };
        Ok(Self { address: kept.address, holder })
    }
}

/// A bound door that answers nobody yet.
#[derive(Debug)]
pub(crate) struct Dhcp {
    server: Server,
    leases: PathBuf,
}

impl Dhcp {
    /// Binds ports 67 and 4011. With a range, that takes the five seconds in which another server may
    /// answer.
    ///
    /// # Errors
    /// When they cannot be bound, and when addresses are to be leased where somebody does already.
    pub(crate) async fn bind(options: DhcpOptions, data_dir: &Path) -> Result<Self, DhcpError> {
        let path = data_dir.join(LEASES);
        let leases = match options.range {
            Some(_) => read(&path).map_err(|source| DhcpError::Leases { path: path.clone(), source })?,
            None => Vec::new(),
        };
        let options = Options { address: options.address, range: options.range, leases, random: random()? };
        let server = tokio::task::spawn_blocking(move || Server::bind(options)).await??;
        Ok(Self { server, leases: path })
    }

    /// Answers until `stopping`.
    pub(crate) async fn run(self, app: SharedApp, stopping: CancellationToken) {
        let Self { server, leases } = self;
        let network = server.network();
        tracing::info!(target: "muster::boot", address = %network.address, interface = %network.interface, "DHCP");
        let stop = server.stop_handle();
        let mut house = House { app, runtime: Handle::current(), leases };
        let mut serving = tokio::task::spawn_blocking(move || server.run(&mut house));
        let ended = tokio::select! {
            ended = &mut serving => ended,
            () = stopping.cancelled() => {
                if let Err(error) = stop.stop() {
                    tracing::error!(%error, "DHCP cannot be stopped");
                    return;
                }
                serving.await
            }
        };
        match ended {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "DHCP is answered no more"),
            Err(error) => tracing::error!(%error, "DHCP is answered no more"),
        }
    }
}

/// Ourselves, as the server of crate `pxe` sees us, from its thread.
struct House {
    app: SharedApp,
    runtime: Handle,
    leases: PathBuf,
}

impl Host for House {
    fn what_boots(&mut self, client: &Client) -> Answer {
        let asked = timeout(PATIENCE, self.app.what_boots(client));
        match self.runtime.block_on(asked) {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => Answer::Silence(chain(&error)),
            Err(_) => Answer::Silence(format!("nobody knew within {} seconds", PATIENCE.as_secs())),
        }
    }

    fn keep(&mut self, leases: &[Lease]) -> io::Result<()> {
        let kept: Vec<Kept> = leases.iter().map(Kept::from).collect();
        files::write(&self.leases, &serde_json::to_vec(&kept)?, 0o600)
    }
}

fn invalid(why: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

/// The leases of the last run; none when there was none.
fn read(path: &Path) -> io::Result<Vec<Lease>> {
    let Some(bytes) = files::read(path)? else { return Ok(Vec::new()) };
    let kept: Vec<Kept> = serde_json::from_slice(&bytes)?;
    if u32::try_from(kept.len()).map_or(true, |count| count > MAX_LEASES) {
        return Err(invalid(format!("more than {MAX_LEASES} leases")));
    }
    kept.into_iter().map(Lease::try_from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leases() -> Vec<Lease> {
        let named = |byte| Holder::Named(vec![byte; MAX_NAME]);
        let card = Lease { address: Ipv4Addr::new(10, 0, 0, 1), holder: Holder::Card([2; 6]) };
        let others = (1..MAX_LEASES).map(|number| {
            let address = Ipv4Addr::from_bits(0x0a00_0001 + number);
            Lease { address, holder: named(number.to_be_bytes()[3]) }
        });
        std::iter::once(card).chain(others).collect()
    }

    #[test]
    fn leases_come_back_from_their_file_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(LEASES);
        assert_eq!(read(&path).unwrap(), Vec::new());
        let kept: Vec<Kept> = leases().iter().map(Kept::from).collect();
        files::write(&path, &serde_json::to_vec(&kept).unwrap(), 0o600).unwrap();
        assert_eq!(read(&path).unwrap(), leases());
    }

    #[test]
    fn the_file_says_addresses_and_cards_as_people_write_them() {
        let kept: Vec<Kept> = leases().iter().take(1).map(Kept::from).collect();
        let text = serde_json::to_string(&kept).unwrap();
        assert_eq!(text, r#"[{"Address":"10.0.0.1","Mac":"02:02:02:02:02:02"}]"#);
    }

    #[test]
    fn a_damaged_file_is_no_empty_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(LEASES);
        for text in
            ["", "[{]", r#"[{"Address":"10.0.0.1"}]"#, r#"[{"Address":"x","Mac":"02:02:02:02:02:02"}]"#]
        {
            files::write(&path, text.as_bytes(), 0o600).unwrap();
            assert!(read(&path).is_err(), "{text}");
        }
    }
}
