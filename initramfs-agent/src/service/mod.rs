//! `muster-agent service`: the agent of an installed system. The same driver and state machine as in the boot
//! image, without what belongs to an init: no mounts, modules, DHCP, console, kernel log or clock. The network is
//! the system's own, power is `systemctl`'s, and lines go to the journal.
//!
//! It is who its key says ([`belongings`]); when the server wants the machine back in our image, [`home`] brings
//! it there.

mod belongings;
mod boot_next;
mod home;

pub(crate) use belongings::Belongings;

use crate::api::download::Way;
use crate::api::http::Client;
use crate::api::tls::{ExtraCa, Trust};
use crate::by_hand::{Desk, Levers};
use crate::console::Console;
use crate::deadline::Uptime;
use crate::driver::{Driver, Left, Luggage, News};
use crate::efivar::{EfivarError, KeyStore};
use crate::handover::{self, DoorError, Standing};
use crate::identity::{Identity, IdentityError};
use crate::inventory::{Hardware, Learnt};
use crate::net::Status;
use crate::power::{Power, PowerError, Requests};
use crate::reap::{Reaper, SpawnError};
use crate::report::chain;
use crate::runner::child::Child;
use crate::runtime;
use crate::state::TokenPlan;
use crate::tools::door::FOLDER;
use belongings::BelongingsError;
use home::Home;
use protocol::agent_api::Origin;
use protocol::cmdline::KernelArgs;
use protocol::config::Settings;
use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Arc;
use tokio::sync::{mpsc, watch};

/// Held while an agent runs.
const LOCK: &str = "service.lock";
/// The boot environment of a machine that is where it should be.
pub(crate) const DISK: &str = "local";
/// Who changes the system's power.
const SYSTEMCTL: &str = "systemctl";

/// Why the service does not run, or not on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServiceError {
    /// It was asked for something else.
    #[error("usage: muster-agent service [--root DIR]")]
    Usage,
    /// There is one already.
    #[error("another agent of this system runs already; see systemctl status muster-agent")]
    Second,
    /// The lock cannot be had.
    #[error("cannot lock {path}")]
    Lock {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// It cannot begin.
    #[error("cannot start")]
    Start(#[source] io::Error),
    /// Its files.
    #[error(transparent)]
    Belongings(#[from] BelongingsError),
    /// Its key.
    #[error(transparent)]
    Key(#[from] IdentityError),
    /// The key in the firmware.
    #[error(transparent)]
    Firmware(#[from] EfivarError),
    /// Nobody can ask it.
    #[error(transparent)]
    Door(#[from] DoorError),
    /// Signals.
    #[error(transparent)]
    Power(#[from] PowerError),
    /// The system does not do what was asked for.
    #[error("{SYSTEMCTL} {0} ended with {1}; the machine goes on")]
    Systemctl(&'static str, String),
    /// `systemctl` cannot be started.
    #[error(transparent)]
    Spawn(#[from] SpawnError),
}

/// `muster-agent service [--root DIR]`.
pub(crate) fn run(arguments: impl IntoIterator<Item = String>) -> ExitCode {
    ended(root_of(arguments).and_then(|root| runtime::block_on(serve(&root)).map_err(ServiceError::Start)?))
}

/// `muster-agent forget [--root DIR]`: the system's agent, which has ended, leaves nothing behind but its program
/// and unit; its key goes from the firmware, too.
pub(crate) fn forget(arguments: impl IntoIterator<Item = String>) -> ExitCode {
    ended(root_of(arguments).and_then(|root| {
        let belongings = Belongings::beneath(&root);
        let _alone = lock(&belongings.path(FOLDER))?;
        let store = KeyStore::beneath(&root);
        let key = belongings.key();
        if key.exists() {
            Identity::from_file(&key, store)?.0.discard()?;
        }
        Ok(belongings.clear()?)
    }))
}

fn ended(outcome: Result<(), ServiceError>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The code says it, too.
            drop(writeln!(io::stderr(), "muster-agent: {}", chain(&error)));
            ExitCode::from(if matches!(error, ServiceError::Usage) { 2 } else { 1 })
        }
    }
}

fn root_of(arguments: impl IntoIterator<Item = String>) -> Result<PathBuf, ServiceError> {
    let mut arguments = arguments.into_iter();
    match (arguments.next().as_deref(), arguments.next(), arguments.next()) {
        (None, ..) => Ok(PathBuf::from("/")),
        (Some("--root"), Some(root), None) => Ok(root.into()),
        (Some(_), ..) => Err(ServiceError::Usage),
    }
}

/// One agent at a time: held as long as the file is open.
fn lock(folder: &Path) -> Result<File, ServiceError> {
    let path = folder.join(LOCK);
    let open = || {
        fs::create_dir_all(folder)?;
        File::options().create(true).truncate(false).write(true).open(&path)
    };
    let file = open().map_err(|source| ServiceError::Lock { path: path.clone(), source })?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(ServiceError::Second),
        Err(TryLockError::Error(source)) => Err(ServiceError::Lock { path, source }),
    }
}

async fn serve(root: &Path) -> Result<(), ServiceError> {
    let belongings = Belongings::beneath(root);
    let folder = belongings.path(FOLDER);
    let _alone = lock(&folder)?;
    let requests = Requests::of_service()?;
    let (reaper, _collector) = Reaper::start().map_err(ServiceError::Start)?;
    belongings.unhook()?;
    let config = belongings.config()?;
    let settings = Settings::combine(&KernelArgs::default(), Some(&config));
    let (identity, _) = Identity::from_file(&belongings.key(), KeyStore::beneath(root))?;
    let identity = Arc::new(identity);
    let (standing, stands) = watch::channel(Standing::default());
    let mut problems = settings.problems.clone();
    let trust = Trust {
        pins: settings.ca_hash.clone(),
        extra: ExtraCa::new(&settings.ca, settings.server_id.as_deref()).unwrap_or_else(|error| {
            problems.push(chain(&error));
            None
        }),
    };
    let (_network, network) = watch::channel(Status::of_system());
    let (proxy, road) = watch::channel(settings.proxy.clone());
    let way = Way {
        servers: settings.servers.clone(),
        trust: trust.clone(),
        proxy: road.clone(),
        network: network.clone(),
    };
    let door = handover::serve(folder, identity.clone(), stands.clone());
    let mut client = Client::new(identity.clone(), trust, road, network.clone());
    let luggage = Luggage {
        token: TokenPlan::of(&settings, ""),
        settings,
        image_id: None,
        origin: Origin::Cli,
        boot_id: crate::sequence::boot_id().map_err(ServiceError::Start)?,
        identity: identity.clone(),
        hardware: Hardware::survey(watch::channel(Learnt::default()).1),
        statement: belongings.statement()?,
        belongings: Some(belongings.clone()),
        standing,
        problems,
    };
    let news = News { network, events: mpsc::channel(1).1, power: Some(requests), kernel: None };
    let helpers = (
        Desk::new(Levers { network: None, proxy }),
        Child::new(Some(reaper.clone())).working_in(belongings.workshop()?),
    );
    let console = Console::to_output().map_err(ServiceError::Start)?;
    let driver = Driver::new(luggage, news, helpers, console, Uptime::begin());
    let left = tokio::select! {
        left = driver.run(&mut client) => left,
        Err(error) = door => return Err(error.into()),
    };
    let server_id = stands.borrow().server_id.clone();
    leave(&Home { belongings, identity, config, way, reaper, server_id }, left).await
}

/// Does what the agent's work ended for.
async fn leave(home: &Home, left: Left) -> Result<(), ServiceError> {
    let mut requests = Requests::of_service()?;
    let verb = match left.power {
        Power::Halt => return Ok(()),
        Power::Off => "poweroff",
        Power::Reboot => match left.boot_env.as_deref() {
            None | Some(DISK) => "reboot",
            Some(boot_env) => home.go(boot_env).await?,
        },
    };
    systemctl(&home.reaper, verb).await?;
    // The system is on its way down and will say so.
    requests.next().await;
    Ok(())
}

async fn systemctl(reaper: &Reaper, verb: &'static str) -> Result<(), ServiceError> {
    let mut running = reaper.spawn(Command::new(SYSTEMCTL).arg(verb))?;
    match running.wait().await {
        Some(status) if status.success() => Ok(()),
        status => {
            let told = status.map_or_else(|| "an unknown code".to_owned(), |status| status.to_string());
            Err(ServiceError::Systemctl(verb, told))
        }
    }
}

/// Says a line in the journal.
fn say(text: &str) {
    let mut out = io::stdout();
    // Without a reader the work goes on.
    drop(writeln!(out, "{text}").and_then(|()| out.flush()));
}
