//! What this server is, and how it does.

use super::{Action, Actor, App, AppError};
use protocol::ProtocolVersion;
use protocol::config::ServerUrl;
use protocol::ids::SpkiPin;
use protocol::rest::{Info, MediaFile};

/// Muster's version.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Numbers for whoever watches the server.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Figures {
    /// Registered machines.
    pub(crate) machines: usize,
    /// Of those, online.
    pub(crate) online: usize,
    /// Requests waiting for an operator.
    pub(crate) pending: usize,
    /// Approved requests whose machine has not collected its credential.
    pub(crate) approved: usize,
    /// Event subscribers.
    pub(crate) subscribers: usize,
}

impl App {
    /// What this server is.
    ///
    /// # Errors
    /// `Forbidden` without the right to.
    pub(crate) fn info(
        &self,
        actor: &Actor,
        advertise: &[ServerUrl],
        media: Vec<MediaFile>,
    ) -> Result<Info, AppError> {
        actor.require(Action::InfoRead)?;
        Ok(Info {
            id: self.keys.server_id().to_owned(),
            version: VERSION.to_owned(),
            protocol: ProtocolVersion::CURRENT.0,
            advertise: advertise.iter().map(ServerUrl::to_string).collect(),
            ca_hash: self.keys.pins().iter().map(SpkiPin::to_string).collect(),
            media,
        })
    }

    /// Whether requests can be served: the database answers.
    ///
    /// # Errors
    /// What the database says.
    pub(crate) async fn ready(&self) -> Result<(), AppError> {
        self.store.time_floor().await?;
        Ok(())
    }

    /// Numbers as they are now.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) async fn figures(&self) -> Result<Figures, AppError> {
        let now = self.clock.now();
        let machines = self.store.machines().await?.len();
        let live = self.store.live_enrollments().await?;
        let approved = live.iter().filter(|enrollment| enrollment.live_code().is_none()).count();
        Ok(Figures {
            machines,
            online: self.liveness.online(now),
            pending: self.liveness.waiting(),
            approved,
            subscribers: self.hub.subscribers(),
        })
    }
}
