//! `muster-installer`: the program that the tasks of an installation call, one verb a step. It comes with the
//! tools, so that process 1 carries nothing of it.
//!
//! Verbs are plain functions that block. What they share is an [`Install`]: what the task was told
//! ([`settings`]), the order of the server ([`order`]), what earlier verbs did ([`state`]), and somebody who
//! tells the server how far it has come ([`progress`]). Every verb may be called again after it was cut off.

mod boot;
mod chroot;
mod configure;
mod direct;
mod fail;
mod fetch;
mod image_disk;
mod layout;
mod mount;
mod network;
mod order;
mod partition;
pub(crate) mod permit;
mod progress;
mod release;
mod settings;
mod state;
mod survey;
mod system;
mod target;
mod tool;
mod write;

use crate::{mesh, terminal};
use fail::InstallError;
use network::Network;
use progress::{Reporter, Telling};
use protocol::install::{InstallOrder, Step};
use settings::Settings;
use state::{Folder, State};
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

/// One step of an installation.
struct Verb {
    step: Step,
    about: &'static str,
    work: fn(&Install) -> Result<(), InstallError>,
}

/// In the order in which tasks call them.
const VERBS: &[Verb] = &[
    Verb {
        step: Step::Survey,
        about: "hold the disks against the plan; nothing is written",
        work: survey::survey,
    },
    Verb { step: Step::Partition, about: "wipe and divide the system disk", work: partition::partition },
    Verb { step: Step::Write, about: "the image, over the network onto the disk", work: write::write },
    Verb {
        step: Step::Configure,
        about: "name, tables, seed and agent of the system",
        work: configure::configure,
    },
    Verb { step: Step::Boot, about: "loaders, boot order, and at last the marker", work: boot::boot },
];

const ABOUT: &str = concat!(
    "muster-installer ",
    env!("CARGO_PKG_VERSION"),
    "\n\nInstalls an operating system as the server's order says. The tasks of a provision run call it, one\n\
     verb a step, with MUSTER_RUN (the run), RS_JOB_UUID, RS_JOB_EPOCH and the variables of\n\
     'muster-agent run' in the environment. Every verb may be called again. Without a wipe permit of the\n\
     server no disk is written.\n\nVerbs:\n"
);
const OPTIONS: &str = "\nOther:\n  terminal   the machine's side of a terminal, which the agent starts when somebody opens one\n  mesh       the machine as a member of a mesh network, which the agent starts while it is in one; 'mesh leave'\n             takes down whatever there is of it and forgets its key; 'mesh guard', before other networks are up,\n             lets nothing leave for it in the clear. MUSTER_MESH_DIR is where it keeps that\n\nOptions:\n  --version  print the version\n  --help     print this text\n";

/// What verbs share.
pub(crate) struct Install {
    /// What the task was told.
    pub(crate) settings: Settings,
    /// What verbs leave each other.
    pub(crate) folder: Folder,
    /// Where the target's file systems are mounted.
    pub(crate) target: PathBuf,
    /// Tells the server how far it has come.
    pub(crate) progress: Reporter,
    /// Goes before the network does.
    _telling: Telling,
    /// The way to the server.
    pub(crate) network: Network,
}

impl Install {
    /// What a verb needs.
    fn begin(settings: Settings, step: Step) -> Result<Self, InstallError> {
        let folder = Folder::make(&settings.folder.join("install"))?;
        let network = Network::start()?;
        let (progress, telling) = Telling::start(&network, &settings, step);
        let target = settings.folder.join("target");
        Ok(Self { settings, folder, target, progress, _telling: telling, network })
    }

    /// The order, as the server gives it now. It is kept for the verbs to come.
    ///
    /// # Errors
    /// [`InstallError::Order`] and [`InstallError::State`].
    pub(crate) fn fetch_order(&self) -> Result<InstallOrder, InstallError> {
        let order = order::fetch(&self.network, &self.settings)?;
        self.folder.keep_order(&order)?;
        Ok(order)
    }

    /// The order of this run as it was kept, or else fetched.
    ///
    /// # Errors
    /// As [`Install::fetch_order`].
    pub(crate) fn order(&self) -> Result<InstallOrder, InstallError> {
        match self.folder.order()?.filter(|order| order.run == self.settings.run) {
            Some(order) => Ok(order),
            None => self.fetch_order(),
        }
    }

    /// What verbs of this run did so far.
    ///
    /// # Errors
    /// [`InstallError::State`].
    pub(crate) fn state(&self) -> Result<State, InstallError> {
        let kept = self.folder.state()?.filter(|state| state.run == self.settings.run);
        Ok(kept.unwrap_or_else(|| State { run: self.settings.run, ..State::default() }))
    }

    /// Keeps what was done for the verbs to come.
    ///
    /// # Errors
    /// [`InstallError::State`].
    pub(crate) fn keep(&self, state: &State) -> Result<(), InstallError> {
        Ok(self.folder.keep_state(state)?)
    }
}

/// The program.
pub fn run() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (first, more) = (arguments.next(), arguments.next());
    let text = match (first.as_deref(), more.as_deref()) {
        (Some("--version" | "-V"), None) => {
            concat!("muster-installer ", env!("CARGO_PKG_VERSION"), "\n").to_owned()
        }
        (Some("--help" | "-h"), None) => usage(),
        (Some("terminal"), None) => return terminal::run(),
        (Some("mesh"), None) => return mesh::run(mesh::Verb::Join),
        (Some("mesh"), Some("guard")) => return mesh::run(mesh::Verb::Guard),
        (Some("mesh"), Some("leave")) => return mesh::run(mesh::Verb::Leave),
        (Some(word), None) => match VERBS.iter().find(|verb| verb.step.word() == word) {
            Some(verb) => return perform(verb),
            None => return misused(),
        },
        (Some(_), Some(_)) | (None, _) => return misused(),
    };
    match io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn misused() -> ExitCode {
    // Nobody may be left to read it; the code says it, too.
    drop(io::stderr().write_all(usage().as_bytes()));
    ExitCode::from(2)
}

fn usage() -> String {
    let verbs = VERBS.iter().map(|verb| format!("  {:<9}  {}\n", verb.step.word(), verb.about));
    format!("{ABOUT}{}{OPTIONS}", verbs.collect::<String>())
}

fn perform(verb: &Verb) -> ExitCode {
    let install = Settings::read(|name| std::env::var_os(name))
        .map_err(InstallError::from)
        .and_then(|settings| Install::begin(settings, verb.step));
    match install.and_then(|install| (verb.work)(&install)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail::told(&error),
    }
}

/// Says a line to the job's log.
pub(crate) fn say(text: &str) {
    if cfg!(test) {
        // It would drown what tests have to say.
        return;
    }
    let mut out = io::stdout();
    // Without a reader the work goes on.
    drop(writeln!(out, "{text}").and_then(|()| out.flush()));
}

#[cfg(test)]
mod tests;
