//! What templates get from the server when they ask: tokens, jobs, what the server is.

use super::super::error::AppError;
use super::super::info::VERSION;
use super::super::tokens::SERVER;
use super::super::{App, SharedApp};
use super::Requester;
use engine::admission::Terms;
use engine::change::Cause;
use engine::content::Content;
use engine::machine::Machine;
use engine::render::{INFINITE, Outside, TokenWanted};
use engine::time::Timestamp;
use protocol::model::Job;
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;
use tokio::runtime::Handle;
use uuid::Uuid;

/// A token that was handed out to unknown machines is handed out again for so long: firmware asks
/// for several files, and an attacker for many.
const HANDED_AGAIN: Duration = Duration::from_secs(20);

/// A bootstrap token that was handed out lately.
pub(super) struct Handed {
    token: String,
    at: Timestamp,
}

impl fmt::Debug for Handed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handed").field("at", &self.at).finish_non_exhaustive()
    }
}

/// For whom is rendered.
#[derive(Debug, Clone)]
pub(super) enum Clearance {
    /// Whoever asks by a door without a log-in.
    Anybody(Requester),
    /// Somebody who is logged in and may have a token of the machine, or why not.
    Client(Result<(), String>),
}

/// The server, asked from within a rendering. Lives on a thread that may block.
pub(super) struct FromServer {
    app: SharedApp,
    machine: Option<Arc<Machine>>,
    content: Arc<Content>,
    clearance: Clearance,
    runtime: Handle,
    refusal: OnceLock<String>,
}

impl fmt::Debug for FromServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FromServer").field("clearance", &self.clearance).finish_non_exhaustive()
    }
}

impl FromServer {
    /// Call it on a thread of the runtime.
    pub(super) fn new(
        app: &SharedApp,
        machine: Option<Arc<Machine>>,
        content: &Arc<Content>,
        clearance: Clearance,
    ) -> Self {
        Self {
            app: Arc::clone(app),
            machine,
            content: Arc::clone(content),
            clearance,
            runtime: Handle::current(),
            refusal: OnceLock::new(),
        }
    }

    /// Why the requester got no token, if it was refused one.
    pub(super) fn refusal(&self) -> Option<&str> {
        self.refusal.get().map(String::as_str)
    }

    /// A preference in seconds.
    fn seconds(&self, pref: &str) -> Result<Duration, String> {
        let text = self.content.pref(pref);
        let seconds =
            text.parse().map_err(|_| format!("the preference {pref} is {text:?}, which is no number"));
        seconds.map(Duration::from_secs)
    }

    /// A token for a machine goes to that machine: whoever else asks for its files gets none.
    fn is_for(&self, machine: &Machine) -> Result<(), String> {
        let requester = match &self.clearance {
            Clearance::Anybody(requester) => requester,
            Clearance::Client(allowed) => return allowed.clone(),
        };
        let from = requester.address.to_canonical();
        let own = machine.fields.address.parse::<IpAddr>().is_ok_and(|own| own == from);
        if own || from.is_loopback() {
            return Ok(());
        }
        let refusal = format!(
            "this file has a token of machine {} in it, which its own address alone gets; set the \
             machine's Address to {from} if that is it",
            machine.name
        );
        Err(self.refusal.get_or_init(|| refusal).clone())
    }

    fn for_machine(&self, lifetime: Duration) -> Result<String, String> {
        let machine = self.machine.as_deref().ok_or("there is no machine")?;
        self.is_for(machine)?;
        self.app.machine_token(machine, lifetime).map_err(|error| error.message)
    }

    fn for_nobody(&self) -> Result<String, String> {
        let lifetime = self.seconds("unknownTokenTimeout")?;
        self.runtime.block_on(self.app.token_for_anybody(lifetime)).map_err(|error| error.message)
    }
}

impl Outside for FromServer {
    fn token(&self, wanted: &TokenWanted) -> Result<String, String> {
        match wanted {
            TokenWanted::Unknown => self.for_nobody(),
            TokenWanted::Known => self.for_machine(self.seconds("knownTokenTimeout")?),
            TokenWanted::Infinite => self.for_machine(INFINITE),
            TokenWanted::Profile { lifetime, .. } => self.for_machine(*lifetime),
        }
    }

    fn info(&self) -> serde_json::Value {
        let reached = match self.clearance {
            Clearance::Anybody(requester) => requester.reached,
            Clearance::Client(_) => None,
        };
        let addresses = self.app.addresses(reached);
        serde_json::json!({
            "Address": addresses.ip,
            "ApiPort": addresses.https_port,
            "FilePort": addresses.http_port,
            "SecureFilePort": addresses.https_port,
            "Id": self.app.keys.server_id(),
            "LocalId": self.app.keys.server_id(),
            "Version": VERSION,
            "Os": std::env::consts::OS,
            "ServerHostname": self.app.settings.server_name,
        })
    }

    fn job(&self, id: &str) -> Option<Job> {
        let id = Uuid::parse_str(id).ok()?;
        match self.runtime.block_on(self.app.store.job(id)) {
            Ok(job) => job.map(|job| job.fields),
            Err(error) => {
                tracing::error!(error = %crate::report::chain(&error), "a job cannot be read for a template");
                None
            }
        }
    }
}

impl App {
    /// A bootstrap token for whoever boots: it registers machines and nothing else.
    async fn token_for_anybody(&self, lifetime: Duration) -> Result<String, AppError> {
        let now = self.clock.now();
        if let Some(token) = recent(&self.boot.token, now) {
            return Ok(token);
        }
        let (sealed, issued) = self.new_token(SERVER, lifetime.as_secs(), Terms::default()).await?;
        self.keep_token(&Cause::system(now), issued).await?;
        let token = sealed.token.reveal().to_owned();
        let handed = Handed { token: token.clone(), at: now };
        *self.boot.token.lock().unwrap_or_else(PoisonError::into_inner) = Some(handed);
        Ok(token)
    }
}

fn recent(handed: &Mutex<Option<Handed>>, now: Timestamp) -> Option<String> {
    let handed = handed.lock().unwrap_or_else(PoisonError::into_inner);
    let handed = handed.as_ref().filter(|handed| now.since(handed.at) < HANDED_AGAIN)?;
    Some(handed.token.clone())
}
