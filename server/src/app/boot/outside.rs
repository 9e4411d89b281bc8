//! What templates get from the server when they ask: tokens, jobs, what the server is.

use super::super::info::VERSION;
use super::super::{App, SharedApp};
use super::Requester;
use super::pass::{Pass, line};
use engine::content::Content;
use engine::machine::Machine;
use engine::render::{Addresses, INFINITE, Nowhere, Outside, TokenWanted};
use protocol::model::Job;
use protocol::nonce::BootNonce;
use protocol::token::BootstrapToken;
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::runtime::Handle;
use uuid::Uuid;

/// For whom is rendered.
#[derive(Debug, Clone)]
pub(super) enum Clearance {
    /// Whoever asks by a door without a log-in, and the machine that it is, where that is known.
    Anybody(Requester, Option<String>),
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

    /// A token for a machine goes to that machine: whoever else asks for its files gets none.
    fn is_for(&self, machine: &Machine) -> Result<(), String> {
        let requester = match &self.clearance {
            Clearance::Anybody(requester, _) => requester,
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
        Err(self.refused(refusal))
    }

    fn refused(&self, refusal: String) -> String {
        self.refusal.get_or_init(|| refusal).clone()
    }

    /// Where the requester came to.
    pub(super) fn reached(&self) -> Option<IpAddr> {
        match self.clearance {
            Clearance::Anybody(requester, _) => requester.reached,
            Clearance::Client(_) => None,
        }
    }

    fn for_machine(&self, lifetime: Duration) -> Result<String, String> {
        let machine = self.machine.as_deref().ok_or("there is no machine")?;
        self.is_for(machine)?;
        self.app.machine_token(machine, lifetime).map_err(|error| error.message)
    }

    /// A token to register by, for whoever is not known.
    fn for_nobody(&self) -> Result<BootstrapToken, String> {
        if let Clearance::Anybody(requester, Some(name)) = &self.clearance {
            return Err(self.refused(format!(
                "this file has a token for machines that are not known in it, and {} is machine {name}",
                requester.address.to_canonical()
            )));
        }
        let lifetime = seconds(&self.content, "unknownTokenTimeout")?;
        self.runtime.block_on(self.app.token_for_anybody(lifetime)).map_err(|error| error.message)
    }
}

impl Outside for FromServer {
    fn token(&self, wanted: &TokenWanted) -> Result<String, String> {
        match wanted {
            TokenWanted::Unknown => Ok(self.for_nobody()?.reveal().to_owned()),
            TokenWanted::Known => self.for_machine(seconds(&self.content, "knownTokenTimeout")?),
            TokenWanted::Infinite => self.for_machine(INFINITE),
            TokenWanted::Profile { lifetime, .. } => self.for_machine(*lifetime),
        }
    }

    fn kernel_args(&self, further: &str) -> Result<String, String> {
        let reached = self.reached();
        let pass = match (&self.machine, &self.clearance) {
            (None, _) => Pass::Token(self.for_nobody()?),
            (Some(machine), Clearance::Anybody(requester, _)) => {
                self.runtime.block_on(self.app.pass_of(machine, *requester))
            }
            (Some(_), Clearance::Client(_)) => Pass::Nothing,
        };
        let servers = self.app.servers_for(reached);
        if servers.is_empty() {
            return Err(
                "this server knows no address that machines could reach; start it with --advertise".into()
            );
        }
        line(further, &self.app.agent_args(servers, &pass)?, &self.app.addresses(reached).loading())
    }

    fn info(&self) -> serde_json::Value {
        info(&self.app, &self.app.addresses(self.reached()))
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

/// Answers what is known without asking, and hands nothing out: for what is kept on a disk, where tokens
/// would be found one day. An installed agent has a key of its own.
#[derive(Debug)]
pub(crate) struct AtRest {
    info: serde_json::Value,
}

impl AtRest {
    /// For what this server renders.
    pub(crate) fn of(app: &App) -> Self {
        Self { info: info(app, &app.addresses(None)) }
    }
}

impl Outside for AtRest {
    fn token(&self, _: &TokenWanted) -> Result<String, String> {
        Err("tokens are not for what stays on a disk; the installed agent has a key of its own".to_owned())
    }

    fn kernel_args(&self, _: &str) -> Result<String, String> {
        Err("kernel arguments of Muster's image are for boot files".to_owned())
    }

    fn info(&self) -> serde_json::Value {
        self.info.clone()
    }

    fn job(&self, _: &str) -> Option<Job> {
        None
    }
}

/// What templates hear of this server.
pub(super) fn info(app: &App, addresses: &Addresses) -> serde_json::Value {
    serde_json::json!({
        "Address": addresses.ip,
        "ApiPort": addresses.https_port,
        "FilePort": addresses.http_port,
        "SecureFilePort": addresses.https_port,
        "Id": app.keys.server_id(),
        "LocalId": app.keys.server_id(),
        "Version": VERSION,
        "Os": std::env::consts::OS,
        "ServerHostname": app.settings.server_name,
    })
}

/// A preference in seconds.
pub(super) fn seconds(content: &Content, pref: &str) -> Result<Duration, String> {
    let text = content.pref(pref);
    let seconds = text.parse().map_err(|_| format!("the preference {pref} is {text:?}, which is no number"));
    seconds.map(Duration::from_secs)
}

/// Answers as the server would, and hands nothing out: for finding out what cannot be rendered.
pub(crate) struct Rehearsal {
    /// Arguments as long as those that are good for something.
    args: Result<String, String>,
    /// Where loaders load from.
    base: String,
    info: serde_json::Value,
}

impl fmt::Debug for Rehearsal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rehearsal").finish_non_exhaustive()
    }
}

impl Rehearsal {
    /// For machines that are told these addresses.
    pub(crate) fn new(app: &App, addresses: &Addresses) -> Self {
        let pass = Pass::Nonce(BootNonce::from_random([0; 16]));
        let args = app.agent_args(app.servers_for(Some(addresses.ip)), &pass);
        Self { args, base: addresses.loading(), info: info(app, addresses) }
    }
}

impl Outside for Rehearsal {
    fn token(&self, wanted: &TokenWanted) -> Result<String, String> {
        Nowhere.token(wanted)
    }

    fn kernel_args(&self, further: &str) -> Result<String, String> {
        line(further, self.args.as_deref().map_err(String::clone)?, &self.base)
    }

    fn info(&self) -> serde_json::Value {
        self.info.clone()
    }

    fn job(&self, id: &str) -> Option<Job> {
        Nowhere.job(id)
    }
}
