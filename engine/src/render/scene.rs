//! What a rendering is about and what it may ask for.

use crate::bootenv;
use crate::content::Content;
use crate::machine::Machine;
use protocol::model::{BootEnv, Job, Stage, Task};
use std::fmt::Debug;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// What `.GenerateInfiniteToken` calls infinite: a token on a disk is found one day, and one that is
/// needed longer is made anew by the machine itself.
pub const INFINITE: Duration = Duration::from_secs(7 * 24 * 3_600);

/// A token that a template asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenWanted {
    /// For a machine nobody knows: it may register, nothing else.
    Unknown,
    /// For the machine, for as long as the preference `knownTokenTimeout` says.
    Known,
    /// For the machine, for [`INFINITE`].
    Infinite,
    /// For the machine: to read and change one of its profiles, for so long.
    Profile {
        /// Which.
        name: String,
        /// How long.
        lifetime: Duration,
    },
}

/// What a rendering asks the server for, and only when a template really does.
pub trait Outside: Debug + Send + Sync {
    /// A token for the machine of the rendering.
    ///
    /// # Errors
    /// Why there is none, as a fragment.
    fn token(&self, wanted: &TokenWanted) -> Result<String, String>;

    /// The kernel arguments that lead our agent to this server, with what the server lets whom they
    /// are for register by, behind `further` ones: a line that every loader hands on whole.
    ///
    /// # Errors
    /// Why there is none, as a fragment.
    fn kernel_args(&self, further: &str) -> Result<String, String>;

    /// What the server tells of itself at `/info`.
    fn info(&self) -> serde_json::Value;

    /// A job of the machine.
    fn job(&self, id: &str) -> Option<Job>;
}

/// Answers every question without a server: for checking whether something can be rendered at all.
#[derive(Debug, Clone, Copy, Default)]
pub struct Nowhere;

impl Outside for Nowhere {
    fn token(&self, _: &TokenWanted) -> Result<String, String> {
        Ok("token".to_owned())
    }

    fn kernel_args(&self, further: &str) -> Result<String, String> {
        Ok(further.to_owned())
    }

    fn info(&self) -> serde_json::Value {
        serde_json::json!({"Id": ""})
    }

    fn job(&self, _: &str) -> Option<Job> {
        Some(Job::default())
    }
}

/// How machines reach this server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addresses {
    /// The address that the requester came to.
    pub ip: IpAddr,
    /// The server's name.
    pub host: String,
    /// Port of plain HTTP for boot files.
    pub http_port: u16,
    /// Whether boot files are to be had there. Else loaders get them by TFTP.
    pub http_open: bool,
    /// Port of HTTPS.
    pub https_port: u16,
}

/// For whom is rendered, from what, and where questions go.
#[derive(Debug, Clone)]
pub struct Scene {
    /// The machine; none for one that nobody knows.
    pub machine: Option<Arc<Machine>>,
    /// Everything that it refers to.
    pub content: Arc<Content>,
    /// How the server is reached.
    pub addresses: Arc<Addresses>,
    /// Where tokens come from.
    pub outside: Arc<dyn Outside>,
}

impl Scene {
    /// The machine's boot environment, or the one for unknown machines.
    pub(super) fn bootenv(&self) -> Option<&Arc<BootEnv>> {
        let name = match &self.machine {
            Some(machine) => machine.fields.boot_env.as_str(),
            None => self.content.pref("unknownBootEnv"),
        };
        self.content.bootenvs.get(name)
    }

    /// The machine's stage.
    pub(super) fn stage(&self) -> Option<&Arc<Stage>> {
        self.content.stages.get(&self.machine.as_ref()?.fields.stage)
    }

    /// The machine's architecture.
    pub(super) fn arch(&self) -> &str {
        self.machine.as_ref().map_or(bootenv::DEFAULT_ARCH, |machine| &machine.fields.arch)
    }

    /// The machine in words.
    pub(super) fn subject(&self) -> String {
        match &self.machine {
            Some(machine) => format!("machine {}", machine.name),
            None => "a machine that is not known".to_owned(),
        }
    }
}

/// A scene with what is at work in it: the dot of templates.
#[derive(Debug)]
pub(super) struct Data {
    pub(super) scene: Scene,
    pub(super) env: Option<Arc<BootEnv>>,
    pub(super) stage: Option<Arc<Stage>>,
    pub(super) task: Option<Arc<Task>>,
    pub(super) job: Option<Arc<Job>>,
    /// Which of the machine's hardware addresses it is about.
    pub(super) mac: usize,
    pub(super) asked: super::asked::Asked,
    /// What templates of cloud-init know beside; none in all others.
    pub(super) facts: Option<Arc<super::seed::Facts>>,
}

impl Data {
    /// A scene at rest: the machine's own bootenv and stage, its first hardware address.
    pub(super) fn of(scene: &Scene) -> Self {
        Self {
            env: scene.bootenv().cloned(),
            stage: scene.stage().cloned(),
            task: None,
            job: None,
            mac: 0,
            asked: super::asked::Asked::default(),
            facts: None,
            scene: scene.clone(),
        }
    }

    /// The hardware address it is about.
    pub(super) fn mac(&self) -> Option<&str> {
        Some(self.scene.machine.as_ref()?.fields.hardware_addrs.get(self.mac)?.as_str())
    }
}
