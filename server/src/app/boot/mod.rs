//! Boot files: what a path holds for whoever asks, by whatever door (`spec/machine-model.md` 7.3).
//!
//! 1. Which machine: what in the path names one (id, address, hardware address, name) is looked up by
//!    index, else the requester's own address. Among several, the one changed last.
//! 2. That machine's bootenv and stage templates: the one whose rendered path is asked for.
//! 3. Nobody's machine: the files of the preference `unknownBootEnv`.
//!    Whoever is known gets no token by them: what has one in it is, for that machine, what `ignore`
//!    has there, so that its loader goes on to its own files.
//! 4. Else a file of the boot tree, where kernels lie, of our media, or a network loader.
//!
//! Nothing is kept, so nothing is ever old: each answer is rendered from what is stored now.

mod admission;
mod identity;
mod image;
mod loaders;
mod nonce;
mod outside;
mod pass;
mod preview;
mod question;
mod scene;
mod token;
mod tree;

use super::App;
use super::actor::Actor;
use super::error::{AppError, AppErrorKind};
use super::media::Download;
use admission::Admission;
use engine::content::Content;
use engine::machine::Machine;
use engine::render::{Body, RenderError, Scene, file_path};
use identity::Identity;
pub(crate) use loaders::{Loaders, folders as loader_folders};
pub(super) use nonce::digest_of;
pub(crate) use outside::{AtRest, Rehearsal};
use outside::{Clearance, FromServer};
pub(crate) use pass::line as kernel_line;
use protocol::config::ServerUrl;
use protocol::ids::MachineId;
use protocol::model::{Job, JobAction, Kind, Task};
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// Files that are rendered at once, for everybody who is not logged in.
const RENDERED_AT_ONCE: usize = 4;
/// Longest wait for a turn; a loader asks again.
const TURN: Duration = Duration::from_secs(10);
/// Seconds after which somebody who got no turn should ask again.
const RETRY_AFTER: u64 = 5;
/// Target of the log's lines about boot files.
const LOG: &str = "muster::boot";
/// The port of boot files where nothing else is said: what Digital Rebar's clients expect.
pub(crate) const HTTP_PORT: u16 = 8_091;

/// How boot files are served.
#[derive(Debug, Clone)]
pub(crate) struct BootSettings {
    /// The boot tree.
    pub tree: PathBuf,
    /// Built boot media, or none.
    pub media: Option<PathBuf>,
    /// Where network loaders are.
    pub loaders: Loaders,
    /// Port of plain HTTP.
    pub http_port: u16,
    /// Whether boot files are served there.
    pub http_open: bool,
    /// Whether they are served by TFTP.
    pub tftp_open: bool,
    /// Whether the machines that boot from the network have their addresses of us.
    pub leases: bool,
    /// Port of HTTPS.
    pub https_port: u16,
    /// Most large files on their way at once by HTTP.
    pub downloads: usize,
    /// Addresses that the operator wants machines to be told; the first comes first.
    pub advertise: Vec<ServerUrl>,
}

/// What serving boot files needs beside the app.
#[derive(Debug)]
pub(crate) struct Boot {
    settings: BootSettings,
    turns: Semaphore,
    admission: Admission,
    tokens: token::Tokens,
    passes: image::Passes,
}

impl Boot {
    pub(super) fn new(settings: BootSettings) -> Self {
        Self {
            admission: Admission::new(settings.downloads),
            settings,
            turns: Semaphore::new(RENDERED_AT_ONCE),
            tokens: token::Tokens::new(),
            passes: image::Passes::default(),
        }
    }
}

/// By what a file is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Door {
    /// Over a connection, so the address is the requester's own.
    Http,
    /// By packets that may come under any name; that door counts its transfers itself.
    Tftp,
}

/// Who asks for a file, and by which of our addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Requester {
    /// By what.
    pub door: Door,
    /// The peer's address.
    pub address: IpAddr,
    /// Our own, where there was a connection.
    pub reached: Option<IpAddr>,
}

/// The machines that a request may be about.
#[derive(Debug)]
struct Meant {
    /// The likeliest first.
    machines: Vec<Machine>,
    /// The name of the known machine that asks: whose address it is, or whom the path gives away.
    asking: Option<String>,
}

/// What a path holds.
#[derive(Debug)]
pub(crate) enum BootFile {
    /// A rendered text.
    Text(String),
    /// A URL to go to.
    Elsewhere(String),
    /// A file that lies on disk. Boxed: an open file beside a few words.
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
        if image::is_asked_for(&path) {
            return self.boot_image(requester, &path).await;
        }
        let rendered = match self.machines_meant(requester, &path).await {
            Ok(meant) => self.rendered(requester, meant, &path).await?,
            // Kernels are served while the database cannot be asked.
            Err(error) => return self.stored_file(&path, requester).await?.ok_or(error),
        };
        match rendered {
            Some(file) => Ok(file),
            None => self.stored_file(&path, requester).await?.ok_or_else(nothing),
        }
    }

    /// The machines that a path may be about.
    async fn machines_meant(&self, requester: Requester, path: &str) -> Result<Meant, AppError> {
        // Anybody may be called like a folder: a name says who is meant, and not who asks.
        let (mut meant, mut called): (Vec<Machine>, Vec<Machine>) = (Vec::new(), Vec::new());
        for identity in identity::in_path(path) {
            match identity {
                Identity::Id(id) => meant.extend(self.store.machine(MachineId(id)).await?),
                Identity::Address(address) => {
                    meant.extend(self.store.machines_of_address(&address.to_string()).await?);
                }
                Identity::Mac(mac) => meant.extend(self.store.machines_of_mac(&mac).await?),
                Identity::Name(name) => called.extend(self.store.machine_of_name(&name).await?),
            }
        }
        let from = requester.address.to_canonical();
        let mut own = self.store.machines_of_address(&from.to_string()).await?;
        latest_first(&mut own);
        latest_first(&mut meant);
        let asking = own.first().or(meant.first()).map(|machine| machine.name.to_string());
        meant.extend(called);
        latest_first(&mut meant);
        meant.extend(own);
        let mut seen = BTreeSet::new();
        meant.retain(|machine| seen.insert(machine.id));
        Ok(Meant { machines: meant, asking })
    }

    /// The rendered file at a path: of the first machine that has one there, else for nobody.
    async fn rendered(
        self: &Arc<Self>,
        requester: Requester,
        meant: Meant,
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
            let clearance = Clearance::Anybody(requester, meant.asking);
            let machines = meant.machines.into_iter();
            let mut everybody = machines.map(|machine| Some(Arc::new(machine))).chain([None]);
            everybody.find_map(|machine| app.look(&clearance, machine, &content, &owned))
        });
        match found.await.map_err(AppError::internal)? {
            None => Ok(None),
            Some(Err(error)) => Err(error),
            Some(Ok(Body::Text(text))) => Ok(Some(BootFile::Text(text))),
            Some(Ok(Body::Link(url))) if url.contains("://") => Ok(Some(BootFile::Elsewhere(url))),
            Some(Ok(Body::Link(target))) => match self.stored_file(&target, requester).await? {
                Some(file) => Ok(Some(file)),
                None => Err(AppError::not_found("files", &target)),
            },
        }
    }

    /// What one machine has at a path. Blocks: templates run here.
    fn look(
        self: &Arc<Self>,
        clearance: &Clearance,
        machine: Option<Arc<Machine>>,
        content: &Arc<Content>,
        path: &str,
    ) -> Option<Result<Body, AppError>> {
        let outside = Arc::new(FromServer::new(self, machine.clone(), content, clearance.clone()));
        let is_known = machine.is_some();
        let scene = Scene {
            machine,
            content: Arc::clone(content),
            addresses: self.addresses(outside.reached()),
            outside: Arc::<FromServer>::clone(&outside),
        };
        let mut found = match scene.file_at(path) {
            Some(file) => file.map(|file| file.body),
            None => scene.kexec_file(path)?.map(Body::Text),
        };
        if !is_known
            && outside.refusal().is_some()
            && let Some(ignored) = scene.ignored_at(path)
        {
            found = ignored.map(|file| file.body);
        }
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

/// How many things in a path may name a machine, for fuzzing.
pub(crate) fn names_in_path(path: &str) -> usize {
    identity::in_path(path).len()
}

/// Whoever was changed last comes first: of two machines that claim one path, the last assigned has it.
fn latest_first(machines: &mut [Machine]) {
    machines.sort_by_key(|machine| std::cmp::Reverse(machine.revision));
}

/// What was to be rendered and cannot be, in its own words.
fn unrenderable(error: &RenderError) -> AppError {
    AppError::new(AppErrorKind::Invalid, error.to_string())
}
