//! Use cases, one file each. Each asks first whether the caller may, then reads, lets
//! `engine` decide, commits once, and tells the hub.

use crate::comebacks::Comebacks;
use crate::habits::Habits;
use crate::hub::Hub;
use crate::images::Images;
use crate::keys::Keys;
use crate::limits::Limits;
use crate::liveness::Liveness;
use crate::store::{Store, StoreError};
use engine::machine::{Machine, Presence};
use engine::time::Timestamp;
use protocol::agent_api::{AgentSettings, Approved};
use protocol::config::ServerUrl;
use protocol::rest;
use std::path::PathBuf;
use std::sync::Arc;

mod actor;
mod agents;
mod approve;
mod audit;
mod auth;
mod boot;
mod ca;
mod clock;
mod contents;
mod disk_plan;
mod enroll;
mod error;
mod events;
mod found;
mod images;
mod info;
mod install_script;
mod jobs;
mod lists;
mod machine_tokens;
mod machines;
mod media;
mod mesh;
mod meta;
mod names;
mod objects;
mod params;
mod password;
mod permit;
mod pools;
mod prove;
mod provision;
mod redeem;
mod register;
mod revalidate;
mod revoke;
mod secrets;
mod seed;
mod sessions;
mod setup;
mod snapshot;
mod succession;
mod sweep;
mod terminals;
mod token_keys;
mod tokens;
mod turns;
mod users;
mod watch;
mod whoami;

#[cfg(test)]
mod tests;

pub(crate) use actor::{Action, Actor, MachineActor, MachineTokenActor, UserActor};
pub(crate) use auth::{ApiTokenWish, LoggedIn, LoginOrigin};
pub(crate) use boot::{
    BootFile, BootSettings, Door, HTTP_PORT, Loaders, Requester, kernel_line, loader_folders, names_in_path,
};
pub(crate) use clock::Clock;
pub(crate) use enroll::accepted;
pub use error::AppError;
pub(crate) use error::AppErrorKind;
pub(crate) use events::Happening;
pub(crate) use found::Shown;
pub(crate) use images::{ImageFile, Resolved};
pub(crate) use info::{Figures, VERSION};
pub(crate) use jobs::{CleanUp, LogPart, retry_after};
pub(crate) use lists::Listed;
pub(crate) use media::{Download, Media, interface_addresses, own_addresses};
pub(crate) use names::ReverseDns;
pub(crate) use objects::{Deleted, Known};
pub(crate) use terminals::{Ended, FromMachine, MachineSide, Seat, ToMachine};
pub(crate) use watch::{News, Watch};

/// What an operator chose when the server was started.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// Name by which the server calls itself on consoles.
    pub server_name: String,
    /// Addresses that machines are told, in order.
    pub advertise: Vec<ServerUrl>,
    /// How boot files are served.
    pub boot: BootSettings,
    /// Where recordings of terminals lie.
    pub terminals: PathBuf,
}

/// Everything the use cases work with. One per server; `http` shares it.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) store: Store,
    pub(crate) keys: Keys,
    pub(crate) hub: Arc<Hub>,
    pub(crate) limits: Limits,
    pub(crate) liveness: Liveness,
    pub(crate) comebacks: Comebacks,
    pub(crate) habits: Habits,
    pub(crate) clock: Clock,
    pub(crate) settings: Settings,
    pub(crate) reverse_dns: ReverseDns,
    pub(crate) passwords: password::Passwords,
    pub(crate) snapshot: snapshot::Snapshot,
    pub(crate) turns: turns::Turns,
    /// Machines that join one mesh network take turns, each of them holding its own turn already.
    pub(crate) mesh_turns: turns::Turns,
    mesh: Arc<mesh::Mesh>,
    pub(crate) media: Media,
    pub(crate) images: Arc<Images>,
    pub(crate) terminals: terminals::Terminals,
    blob_door: images::BlobDoor,
    live_progress: provision::LiveProgress,
    boot: boot::Boot,
    revalidation: revalidate::Revalidation,
}

impl App {
    /// Takes up the work where the last run left it: waiting machines count as polled now, so
    /// that a restart changes nothing on any console. `clock` goes on from the store's floor already.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) async fn open(
        store: Store,
        keys: Keys,
        clock: Clock,
        settings: Settings,
        reverse_dns: ReverseDns,
        images: Images,
    ) -> Result<Self, StoreError> {
        let app = Self {
            media: Media::new(settings.boot.media.clone(), settings.boot.advertise.clone()),
            images: Arc::new(images),
            terminals: terminals::Terminals::new(settings.terminals.clone()),
            blob_door: images::BlobDoor::new(),
            boot: boot::Boot::new(settings.boot.clone()),
            revalidation: revalidate::Revalidation::new(),
            store,
            keys,
            hub: Arc::new(Hub::new()),
            limits: Limits::new(),
            liveness: Liveness::new(),
            comebacks: Comebacks::default(),
            habits: Habits::default(),
            clock,
            settings,
            reverse_dns,
            passwords: password::Passwords::new(),
            turns: turns::Turns::new(),
            mesh_turns: turns::Turns::new(),
            mesh: Arc::new(mesh::Mesh::new()),
            live_progress: provision::LiveProgress::default(),
            snapshot: snapshot::Snapshot::default(),
        };
        app.load_content().await?;
        let now = app.clock.now();
        for enrollment in app.store.live_enrollments().await? {
            if enrollment.live_code().is_some() {
                app.liveness.waits(enrollment.id, enrollment.source, now);
            }
        }
        for (machine, last_seen) in app.store.last_seen().await? {
            app.liveness.recall(machine, last_seen, now);
        }
        app.load_meshes().await?;
        Ok(app)
    }

    /// Now, by the server's clock.
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// When a machine was last heard of and whether it is online.
    pub(crate) fn presence(&self, machine: &Machine, now: Timestamp) -> Presence {
        self.liveness.presence(machine.id, now)
    }

    /// A machine as REST shows it now.
    pub(crate) fn view(&self, machine: &Machine) -> rest::Machine {
        let now = self.clock.now();
        let mut view = machine.view(self.presence(machine, now));
        view.own.roles = engine::provision::params::role_names(&self.content(), machine);
        view.own.pending_changes = self.has_pending_changes(machine);
        view.own.wait_reason = engine::run::why_waiting(machine, now).unwrap_or_default();
        view
    }

    /// What a registered machine is told.
    pub(crate) fn welcome(&self, machine: &Machine) -> Approved {
        let now = self.clock.now();
        Approved {
            machine: machine.who(),
            enrol_nonce: self.keys.nonce(now),
            agent_config: AgentSettings { ca_hash: self.keys.pins(), ..AgentSettings::default() },
            server_time: now.as_seconds(),
        }
    }
}

/// The app as handlers share it.
pub(crate) type SharedApp = Arc<App>;
