//! Boot files: what a path holds for whoever asks, by whatever door (`spec/machine-model.md` 7.3).
//!
//! 1. Which machine: what in the path names one (id, address, hardware address, name) is looked up by
//!    index, else the requester's own address. Among several, the one changed last.
//! 2. That machine's bootenv and stage templates: the one whose rendered path is asked for.
//! 3. Nobody's machine: the files of the preference `unknownBootEnv`.
//! 4. Else a file of the boot tree, where kernels lie.
//!
//! Nothing is kept, so nothing is ever old: each answer is rendered from what is stored now.

mod identity;
mod nonce;
mod outside;
mod scene;
mod tree;

use super::App;
use super::actor::Actor;
use super::error::{AppError, AppErrorKind};
use super::media::Download;
use crate::places::Places;
use engine::content::Content;
use engine::machine::Machine;
use engine::render::{Body, RenderError, Scene, file_path};
use identity::Identity;
pub(super) use nonce::digest_of;
use outside::{Clearance, FromServer};
use protocol::config::ServerUrl;
use protocol::ids::MachineId;
use protocol::model::{Job, JobAction, Kind, Task};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// Files that are rendered at once, for everybody who is not logged in.
const RENDERED_AT_ONCE: usize = 4;
/// Longest wait for a turn; a loader asks again.
const TURN: Duration = Duration::from_secs(10);
/// Seconds after which somebody who got no turn should ask again.
const RETRY_AFTER: u64 = 5;
/// Files of the boot tree on their way at once, altogether and to one source.
const DOWNLOADS_AT_ONCE: usize = 1_024;
const DOWNLOADS_PER_SOURCE: usize = 64;
/// The port of boot files where nothing else is said: what Digital Rebar's clients expect.
pub(crate) const HTTP_PORT: u16 = 8_091;

/// How boot files are served.
#[derive(Debug, Clone)]
pub(crate) struct BootSettings {
    /// The boot tree.
    pub tree: PathBuf,
    /// Port of plain HTTP.
    pub http_port: u16,
    /// Port of HTTPS.
    pub https_port: u16,
    /// Addresses that the operator wants machines to be told; the first comes first.
    pub advertise: Vec<ServerUrl>,
}

/// What serving boot files needs beside the app.
#[derive(Debug)]
pub(crate) struct Boot {
    settings: BootSettings,
    turns: Semaphore,
    downloads: Arc<Places>,
    /// The last bootstrap token that a file for unknown machines had in it.
    token: Mutex<Option<outside::Handed>>,
}

impl Boot {
    pub(super) fn new(settings: BootSettings) -> Self {
        Self {
            settings,
            turns: Semaphore::new(RENDERED_AT_ONCE),
            downloads: Places::new(DOWNLOADS_AT_ONCE, DOWNLOADS_PER_SOURCE),
            token: Mutex::default(),
        }
    }
}

/// Who asks for a file, and by which of our addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Requester {
    /// The peer's address.
    pub address: IpAddr,
    /// Our own, where there was a connection.
    pub reached: Option<IpAddr>,
}

/// What a path holds.
#[derive(Debug)]
pub(crate) enum BootFile {
    /// A rendered text.
    Text(String),
    /// A URL to go to.
    Elsewhere(String),
    /// A file of the boot tree. Boxed: an open file beside a few words.
    Tree(Box<Download>),
}

impl App {
    /// What a path holds for whoever asks.
    ///
    /// # Errors
    /// `NotFound` when it holds nothing, `forbidden` when it has a token in it that is for somebody
    /// else, `ValidationError` when it cannot be rendered, `Unavailable` when too many ask.
    pub(crate) async fn boot_file(
        self: &Arc<Self>,
        requester: Requester,
        path: &str,
    ) -> Result<BootFile, AppError> {
        let nothing = || AppError::not_found("files", path);
        let path = file_path(path).map_err(|_| nothing())?;
        let rendered = match self.machines_meant(requester, &path).await {
            Ok(machines) => self.rendered(requester, machines, &path).await?,
            // Kernels are served while the database cannot be asked.
            Err(error) => return self.tree_file(&path, requester.address).await?.ok_or(error),
        };
        match rendered {
            Some(file) => Ok(file),
            None => self.tree_file(&path, requester.address).await?.ok_or_else(nothing),
        }
    }

    /// The machines that a path may be about, the likeliest first.
    async fn machines_meant(&self, requester: Requester, path: &str) -> Result<Vec<Machine>, AppError> {
        let mut meant: Vec<Machine> = Vec::new();
        for identity in identity::in_path(path) {
            match identity {
                Identity::Id(id) => meant.extend(self.store.machine(MachineId(id)).await?),
                Identity::Address(address) => {
                    meant.extend(self.store.machines_of_address(&address.to_string()).await?);
                }
                Identity::Mac(mac) => meant.extend(self.store.machines_of_mac(&mac).await?),
                Identity::Name(name) => meant.extend(self.store.machine_of_name(&name).await?),
            }
        }
        let mut own = self.store.machines_of_address(&requester.address.to_string()).await?;
        // Whoever was changed last: of two machines that claim one path, the last assigned has it.
        for machines in [&mut meant, &mut own] {
            machines.sort_by_key(|machine| std::cmp::Reverse(machine.revision));
        }
        meant.extend(own);
        let mut seen = std::collections::BTreeSet::new();
        meant.retain(|machine| seen.insert(machine.id));
        Ok(meant)
    }

    /// The rendered file at a path: of the first machine that has one there, else for nobody.
    async fn rendered(
        self: &Arc<Self>,
        requester: Requester,
        machines: Vec<Machine>,
        path: &str,
    ) -> Result<Option<BootFile>, AppError> {
        let content = self.content();
        let turn = timeout(TURN, self.boot.turns.acquire()).await;
        let busy = "too many boot files are rendered at once; try again";
        let _turn = turn
            .map_err(|_| AppError::new(AppErrorKind::Unavailable, busy).after(RETRY_AFTER))?
            .map_err(AppError::internal)?;
        let (app, owned) = (Arc::clone(self), path.to_owned());
        let found = tokio::task::spawn_blocking(move || {
            let everybody = machines.into_iter().map(|machine| Some(Arc::new(machine))).chain([None]);
            everybody.into_iter().find_map(|machine| app.look(requester, machine, &content, &owned))
        });
        match found.await.map_err(AppError::internal)? {
            None => Ok(None),
            Some(Err(error)) => Err(error),
            Some(Ok(Body::Text(text))) => Ok(Some(BootFile::Text(text))),
            Some(Ok(Body::Link(url))) if url.contains("://") => Ok(Some(BootFile::Elsewhere(url))),
            Some(Ok(Body::Link(target))) => match self.tree_file(&target, requester.address).await? {
                Some(file) => Ok(Some(file)),
                None => Err(AppError::not_found("files", &target)),
            },
        }
    }

    /// What one machine has at a path. Blocks: templates run here.
    fn look(
        self: &Arc<Self>,
        requester: Requester,
        machine: Option<Arc<Machine>>,
        content: &Arc<Content>,
        path: &str,
    ) -> Option<Result<Body, AppError>> {
        let clearance = Clearance::Anybody(requester);
        let outside = Arc::new(FromServer::new(self, machine.clone(), content, clearance));
        let scene = Scene {
            machine,
            content: Arc::clone(content),
            addresses: self.addresses(requester.reached),
            outside: Arc::<FromServer>::clone(&outside),
        };
        let found = match scene.file_at(path) {
            Some(file) => file.map(|file| file.body),
            None => scene.kexec_file(path)?.map(Body::Text),
        };
        Some(found.map_err(|error| match outside.refusal() {
            Some(refusal) => AppError::new(AppErrorKind::Forbidden, refusal),
            None => unrenderable(&error),
        }))
    }

    /// The files and scripts of a job's task. A task that is no task, such as a `chroot:` entry, has
    /// none. Whoever asks was allowed to.
    ///
    /// # Errors
    /// `ValidationError` with everything that keeps them from being rendered.
    pub(crate) async fn actions(
        self: &Arc<Self>,
        actor: &Actor,
        machine: &Machine,
        job: &Job,
        os: Option<&str>,
    ) -> Result<Vec<JobAction>, AppError> {
        let content = self.content();
        let task: Arc<Task> = match content.tasks.get(&job.task) {
            Some(task) => Arc::clone(task),
            None if job.task.contains(':') => return Ok(Vec::new()),
            None => {
                let message = format!("there is no task {}", job.task);
                return Err(AppError::new(AppErrorKind::Invalid, message));
            }
        };
        let (job, os) = (job.clone(), os.map(str::to_owned));
        let work = move |scene: &Scene| scene.actions(&task, &job, os.as_deref());
        self.in_scene(actor, machine, content, work).await?.map_err(|problems| {
            let mut problems = problems.into_iter();
            let mut error = AppError::new(AppErrorKind::Invalid, problems.next().unwrap_or_default());
            error.further = problems.collect();
            error
        })
    }

    /// A text rendered for a machine.
    ///
    /// # Errors
    /// `ValidationError` when it is no template, or fails.
    pub(crate) async fn render_text(
        self: &Arc<Self>,
        actor: &Actor,
        machine: &str,
        text: String,
    ) -> Result<String, AppError> {
        let machine = self.machine_to_render(actor, machine).await?;
        let done = self.in_scene(actor, &machine, self.content(), move |scene| scene.text(&text));
        done.await?.map_err(|error| unrenderable(&error))
    }

    /// A template of the content rendered for a machine.
    ///
    /// # Errors
    /// `NotFound` when there is none of this id, `ValidationError` when it fails.
    pub(crate) async fn render_template(
        self: &Arc<Self>,
        actor: &Actor,
        id: &str,
        machine: &str,
    ) -> Result<String, AppError> {
        actor.may(Kind::Templates.prefix(), "get", id)?;
        let machine = self.machine_to_render(actor, machine).await?;
        let content = self.content();
        if !content.templates.has(id) {
            return Err(AppError::not_found("templates", id));
        }
        let id = id.to_owned();
        let done = self.in_scene(actor, &machine, content, move |scene| scene.template(&id));
        done.await?.map_err(|error| unrenderable(&error))
    }

    async fn machine_to_render(&self, actor: &Actor, key: &str) -> Result<Machine, AppError> {
        let machine = self.find_machine(key).await?;
        let id = machine.as_ref().map_or_else(|| key.to_owned(), |machine| machine.id.to_string());
        actor.may(Kind::Machines.prefix(), "get", &id)?;
        machine.ok_or_else(|| AppError::not_found("machines", key))
    }

    /// Works in a machine's scene, off the async threads.
    async fn in_scene<T: Send + 'static>(
        self: &Arc<Self>,
        actor: &Actor,
        machine: &Machine,
        content: Arc<Content>,
        work: impl FnOnce(&Scene) -> T + Send + 'static,
    ) -> Result<T, AppError> {
        let (app, machine) = (Arc::clone(self), Arc::new(machine.clone()));
        // Tokens are for those who could ask for them by themselves.
        let allowed = actor.may(Kind::Machines.prefix(), "token", &machine.id.to_string());
        let done = tokio::task::spawn_blocking(move || {
            let clearance = Clearance::Client(allowed.map_err(|refused| refused.message));
            work(&Scene {
                machine: Some(Arc::clone(&machine)),
                content: Arc::clone(&content),
                addresses: app.addresses(None),
                outside: Arc::new(FromServer::new(&app, Some(machine), &content, clearance)),
            })
        });
        done.await.map_err(AppError::internal)
    }
}

/// What was to be rendered and cannot be, in its own words.
fn unrenderable(error: &RenderError) -> AppError {
    AppError::new(AppErrorKind::Invalid, error.to_string())
}
