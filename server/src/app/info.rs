//! What this server is, and how it does.

use super::{Action, Actor, App, AppError};
use crate::store::Plan;
use engine::filter::Query;
use engine::machine::Machine;
use protocol::ProtocolVersion;
use protocol::config::ServerUrl;
use protocol::ids::SpkiPin;
use protocol::model::{Kind, Nothing, ServerInfo, Stat};
use protocol::rest::{Info, MediaFile};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

/// Muster's version.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The API of the machine model that is spoken.
const API_VERSION: &str = "v4.8.0";
/// What clients of the machine model look for before they use it (`spec/machine-model.md` 5.7).
const FEATURES: [&str; 20] = [
    "api-v3",
    "sane-exit-codes",
    "common-blob-size",
    "job-exit-states",
    "profileless-machine",
    "fsm-runner",
    "workflows",
    "default-workflow",
    "http-range-header",
    "separate-meta-api",
    "slim-objects",
    "partial-objects",
    "sprig",
    "multiarch",
    "actions-in-task-list",
    "bundle-objects",
    "task-prerequisites",
    "stage-paramer",
    "auto-boot-target",
    "regex-string-filters",
];
/// What may be done with objects of every collection, as claims name it.
const ACTIONS: [&str; 8] = ["list", "get", "create", "update", "delete", "action", "actions", "token"];

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
    /// Provision runs under way.
    pub(crate) provisions: usize,
}

impl App {
    /// What this server is. `reached` is the address that the caller found it at.
    ///
    /// # Errors
    /// `AUTH` without the right to, or when the store cannot be read.
    pub(crate) async fn info(
        &self,
        actor: &Actor,
        advertise: &[ServerUrl],
        reached: Option<IpAddr>,
        media: Vec<MediaFile>,
    ) -> Result<Info, AppError> {
        actor.require(Action::InfoRead)?;
        Ok(Info {
            id: self.keys.server_id().to_owned(),
            muster_version: VERSION.to_owned(),
            protocol: ProtocolVersion::CURRENT.0,
            advertise: advertise.iter().map(ServerUrl::to_string).collect(),
            ca_hash: self.keys.pins().iter().map(SpkiPin::to_string).collect(),
            media,
            server: self.server_info(reached).await?,
        })
    }

    /// The same in the words of the machine model.
    async fn server_info(&self, reached: Option<IpAddr>) -> Result<ServerInfo, AppError> {
        let id = self.keys.server_id().to_owned();
        let ports = &self.settings.boot;
        let machines = self.store.page(&Plan::<Machine>::of(&Query::default()), 0, Some(0)).await?.total;
        let stat = |name: &str, count| Stat { name: name.to_owned(), count };
        Ok(ServerInfo {
            version: format!("{API_VERSION}+muster-{VERSION}"),
            address: reached.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)).to_string(),
            api_port: ports.https_port,
            file_port: ports.http_port,
            arch: go_arch().to_owned(),
            os: std::env::consts::OS.to_owned(),
            features: FEATURES.map(str::to_owned).to_vec(),
            scopes: scopes(),
            stats: vec![stat("machines.count", machines), stat("subnets.count", 0)],
            server_hostname: self.settings.server_name.clone(),
            uuid: id.clone(),
            local_id: id.clone(),
            ha_id: id.clone(),
            ha_active_id: id,
            ha_is_active: true,
            ha_status: "Up".to_owned(),
            prov_enabled: true,
            secure_file_port: ports.https_port,
            tftp_port: 69,
            dhcp_port: 67,
            binl_port: 4_011,
            dns_port: 53,
            ..ServerInfo::default()
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
        let machines = self.store.page(&Plan::<Machine>::of(&Query::default()), 0, Some(0)).await?.total;
        let live = self.store.live_enrollments().await?;
        let approved = live.iter().filter(|enrollment| enrollment.live_code().is_none()).count();
        Ok(Figures {
            machines: usize::try_from(machines).unwrap_or(usize::MAX),
            online: self.liveness.online(now),
            pending: self.liveness.waiting(),
            approved,
            subscribers: self.hub.subscribers(),
            provisions: usize::try_from(self.store.count_active_runs().await?).unwrap_or(usize::MAX),
        })
    }
}

/// What claims can be about.
fn scopes() -> BTreeMap<String, BTreeMap<String, Nothing>> {
    let actions = || ACTIONS.map(|action| (action.to_owned(), Nothing {})).into();
    Kind::ALL.into_iter().map(|kind| (kind.prefix().to_owned(), actions())).collect()
}

/// This computer's architecture in Go's words.
const fn go_arch() -> &'static str {
    if cfg!(target_arch = "x86_64") {
        "amd64"
    } else if cfg!(target_arch = "aarch64") {
        "arm64"
    } else {
        std::env::consts::ARCH
    }
}
