//! Machines' errors follow what machines refer to.
//!
//! Whether a content object is available is seen when it is shown; a machine's `Errors` are stored,
//! since lists are filtered by them. They are found again at each save of the machine, and after a
//! change of content for the machines concerned: here, by one task, in pieces, while everybody else
//! goes on. Changes that come meanwhile are done together afterwards. `head.checked_revision` says
//! how far it got, so that a server that was killed in between makes good for it when it starts.

use super::App;
use super::boot::Rehearsal;
use super::error::AppError;
use super::events::Did;
use crate::report::chain;
use crate::store::About;
use engine::change::{Change, Changes, Revision};
use engine::content::Content;
use engine::machine::{self, Machine};
use engine::render::Scene;
use protocol::model::{Kind, Stage};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

/// Machines that are looked at in one piece.
const PIECE: u32 = 256;
/// Longest wait of a request for the machines that its change concerns.
const PATIENCE: Duration = Duration::from_secs(2);
/// Time between two looks whether files of the boot tree came or went.
const TREE_CHECK: Duration = Duration::from_secs(30);
/// Pause after the store failed.
const PAUSE: Duration = Duration::from_secs(5);
/// The profile that every machine has.
const GLOBAL: &str = "global";
/// Principal of what the server does by itself.
const SYSTEM: &str = "system";

/// Which machines a change concerns.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Concern {
    All,
    BootEnv(String),
    Stage(String),
    Workflow(String),
    Profile(String),
    Mesh(String),
}

impl Concern {
    fn about(&self) -> About<'_> {
        match self {
            Self::All => About::All,
            Self::BootEnv(name) => About::BootEnv(name),
            Self::Stage(name) => About::Stage(name),
            Self::Workflow(name) => About::Workflow(name),
            Self::Profile(name) => About::Profile(name),
            Self::Mesh(name) => About::Mesh(name),
        }
    }
}

/// What is still to be looked at.
#[derive(Debug)]
pub(crate) struct Revalidation {
    pending: Mutex<BTreeSet<Concern>>,
    wake: Notify,
    /// How often something was asked for, and up to which of them it is done.
    asked: Mutex<u64>,
    done: watch::Sender<u64>,
    /// Whether somebody does it.
    attended: AtomicBool,
}

impl Revalidation {
    pub(super) fn new() -> Self {
        Self {
            pending: Mutex::default(),
            wake: Notify::new(),
            asked: Mutex::default(),
            done: watch::Sender::new(0),
            attended: AtomicBool::new(false),
        }
    }

    /// Asks for something; the answer's number is done when [`Self::done`] has reached it.
    fn ask(&self, concerns: BTreeSet<Concern>) -> u64 {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        self.pending.lock().unwrap_or_else(PoisonError::into_inner).extend(concerns);
        *asked += 1;
        self.wake.notify_one();
        *asked
    }

    /// What is to be done, and the number of the last question that it answers.
    fn take(&self) -> (BTreeSet<Concern>, u64) {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        let mut concerns = std::mem::take(&mut *pending);
        if concerns.contains(&Concern::All) {
            concerns = BTreeSet::from([Concern::All]);
        }
        (concerns, *asked)
    }

    fn put_back(&self, concerns: BTreeSet<Concern>) {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner).extend(concerns);
    }
}

/// How a walk over machines ended.
enum Walked {
    /// All were looked at.
    Whole,
    /// The content is another by now: begin again with that.
    Overtaken,
}

impl App {
    /// What a machine's `Errors` are by this content: what it refers to and is not there or not
    /// available, and what cannot be rendered for it. Templates run off the async threads.
    pub(crate) async fn machine_errors(&self, machine: &Machine, content: &Arc<Content>) -> Vec<String> {
        match self.errors_of(vec![machine.clone()], content).await {
            Ok(list) => list.into_iter().flat_map(|(_, errors)| errors).collect(),
            Err(error) => vec![format!("the machine's files were not checked: {error}")],
        }
    }

    /// The same changes, in which machines have the errors that this content gives them.
    pub(super) async fn with_errors_found(&self, mut changes: Changes, content: &Arc<Content>) -> Changes {
        for change in &mut changes.list {
            if let Change::InsertMachine(machine) | Change::UpdateMachine(machine) = change {
                machine.errors = self.machine_errors(machine, content).await;
            }
        }
        changes
    }

    /// Machines with the errors that they have now.
    async fn errors_of(
        &self,
        machines: Vec<Machine>,
        content: &Arc<Content>,
    ) -> Result<Vec<(Machine, Vec<String>)>, tokio::task::JoinError> {
        let (addresses, content) = (self.addresses(None), Arc::clone(content));
        let outside = Arc::new(Rehearsal::new(self, &addresses));
        tokio::task::spawn_blocking(move || {
            let errors = |machine: Machine| {
                let machine = Arc::new(machine);
                let mut errors = machine::errors(&machine, &content);
                let scene = Scene {
                    machine: Some(Arc::clone(&machine)),
                    content: Arc::clone(&content),
                    addresses: Arc::clone(&addresses),
                    outside: Arc::<Rehearsal>::clone(&outside),
                };
                errors.extend(scene.errors());
                drop(scene);
                (Arc::unwrap_or_clone(machine), errors)
            };
            machines.into_iter().map(errors).collect()
        })
        .await
    }

    /// Looks again at the machines that changed objects concern, and waits for it for a moment: it
    /// is done anyway, and a large site's machines take longer than a request should.
    pub(crate) async fn revalidate(&self, changed: &[(Kind, String)]) {
        let content = self.content();
        let concerns = changed.iter().flat_map(|(kind, key)| concerns(&content, *kind, key)).collect();
        self.ask_and_wait(concerns).await;
    }

    async fn ask_and_wait(&self, concerns: BTreeSet<Concern>) {
        if concerns.is_empty() {
            return;
        }
        let mut done = self.revalidation.done.subscribe();
        let number = self.revalidation.ask(concerns);
        if !self.revalidation.attended.load(Ordering::Relaxed) {
            return;
        }
        let reached = timeout(PATIENCE, done.wait_for(|reached| *reached >= number)).await;
        if reached.is_err() {
            tracing::debug!("machines are still looked at again after a change of content");
        }
    }

    /// Looks at machines as they are asked for, and at the boot tree now and then, until told to stop.
    pub(crate) async fn run_revalidation(self: Arc<Self>, stopping: CancellationToken) {
        self.revalidation.attended.store(true, Ordering::Relaxed);
        if let Err(error) = self.take_up().await {
            tracing::error!(error = %chain(&error), "it is not known which machines were checked");
            self.revalidation.put_back(BTreeSet::from([Concern::All]));
        }
        loop {
            // Read before the list is taken: what changed up to here is on it.
            let known = self.content().revision;
            let (concerns, number) = self.revalidation.take();
            let pause = match self.look_again(&concerns, known, &stopping).await {
                Ok(Walked::Whole) => {
                    self.revalidation.done.send_replace(number);
                    TREE_CHECK
                }
                Ok(Walked::Overtaken) => {
                    self.revalidation.put_back(concerns);
                    Duration::ZERO
                }
                Err(error) => {
                    tracing::error!(error = %chain(&error), "machines cannot be looked at again; trying again");
                    self.revalidation.put_back(concerns);
                    PAUSE
                }
            };
            let failed = pause == PAUSE;
            tokio::select! {
                () = stopping.cancelled() => return,
                () = sleep(pause) => {}
                () = self.revalidation.wake.notified(), if !failed => {}
            }
            if let Err(error) = self.look_at_boot_tree().await {
                tracing::error!(error = %chain(&error), "the boot tree cannot be looked at");
            }
        }
    }

    /// What the last run left: machines that were not looked at since the content changed.
    async fn take_up(&self) -> Result<(), AppError> {
        let (content, checked) = self.store.content_revisions().await?;
        if checked < content {
            self.revalidation.ask(BTreeSet::from([Concern::All]));
        }
        Ok(())
    }

    async fn look_again(
        &self,
        concerns: &BTreeSet<Concern>,
        known: Revision,
        stopping: &CancellationToken,
    ) -> Result<Walked, AppError> {
        if concerns.is_empty() {
            return Ok(Walked::Whole);
        }
        let content = self.content();
        for concern in concerns {
            let mut after = None;
            loop {
                let machines = self.store.machines_about(concern.about(), after, PIECE).await?;
                let Some(last) = machines.last() else { break };
                after = Some(last.id);
                self.mesh_looks_again(&machines, &content);
                let found = self.errors_of(machines, &content).await.map_err(AppError::internal)?;
                let changed = found.into_iter().filter(|(machine, errors)| machine.errors != *errors);
                if let Walked::Overtaken = self.save(changed.collect(), &content).await? {
                    return Ok(Walked::Overtaken);
                }
                if stopping.is_cancelled() {
                    return Ok(Walked::Overtaken);
                }
            }
        }
        let checked = Changes::new(self.clock.now()).and(Change::MachinesChecked(known));
        self.commit(checked, Vec::new()).await?;
        Ok(Walked::Whole)
    }

    /// Stores errors that are others now; a machine that was saved meanwhile has new ones already.
    async fn save(
        &self,
        machines: Vec<(Machine, Vec<String>)>,
        content: &Content,
    ) -> Result<Walked, AppError> {
        for (before, errors) in machines {
            let mut after = before.clone();
            after.errors = errors;
            let told = self.machine_happening(Did::Save, SYSTEM, &after, Some(&before));
            let change = Change::UpdateMachine(Box::new(after));
            let changes = Changes::new(self.clock.now()).on(content.revision).and(change);
            match self.commit(changes, vec![told]).await {
                Ok(_) => {}
                Err(error) if error.is_stale() => {
                    if self.store.content_revisions().await?.0 != content.revision {
                        self.refresh_content().await?;
                        return Ok(Walked::Overtaken);
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Walked::Whole)
    }
}

/// The machines that an object concerns, by way of what refers to it.
fn concerns(content: &Content, kind: Kind, key: &str) -> BTreeSet<Concern> {
    match kind {
        // Templates and schemas are used by names that only a rendering knows.
        Kind::Templates | Kind::Params | Kind::Tasks => BTreeSet::from([Concern::All]),
        Kind::BootEnvs => of_bootenv(content, key),
        Kind::Stages => of_stage(content, key),
        Kind::Workflows => BTreeSet::from([Concern::Workflow(key.to_owned())]),
        Kind::Profiles => of_profile(content, key),
        Kind::Meshes => BTreeSet::from([Concern::Mesh(key.to_owned())]),
        // Looked at when a run begins, and when somebody asks for a preview.
        Kind::Images | Kind::RegistryCredentials | Kind::Secrets | Kind::Variables => BTreeSet::new(),
        // Machines do not name them.
        Kind::Vips => BTreeSet::new(),
        Kind::Contexts | Kind::Jobs | Kind::Machines | Kind::Pools | Kind::Roles | Kind::Users => {
            BTreeSet::new()
        }
    }
}

fn of_bootenv(content: &Content, name: &str) -> BTreeSet<Concern> {
    let boots = |stage: &&Arc<Stage>| stage.boot_env == name;
    let stages = content.stages.iter().filter(boots).flat_map(|stage| of_stage(content, &stage.name));
    stages.chain([Concern::BootEnv(name.to_owned())]).collect()
}

fn of_stage(content: &Content, name: &str) -> BTreeSet<Concern> {
    let runs = content.workflows.iter().filter(|flow| flow.stages.iter().any(|stage| stage == name));
    let workflows = runs.map(|flow| Concern::Workflow(flow.name.clone()));
    workflows.chain([Concern::Stage(name.to_owned())]).collect()
}

/// Machines with the profile, with one that has it in it, or in a stage with either.
fn of_profile(content: &Content, name: &str) -> BTreeSet<Concern> {
    let mut names = BTreeSet::from([name.to_owned()]);
    loop {
        let known = names.len();
        for profile in content.profiles.iter() {
            if profile.profiles.iter().any(|inner| names.contains(inner)) {
                names.insert(profile.name.clone());
            }
        }
        if names.len() == known {
            break;
        }
    }
    if names.contains(GLOBAL) {
        return BTreeSet::from([Concern::All]);
    }
    let has = |stage: &&Arc<Stage>| stage.profiles.iter().any(|profile| names.contains(profile));
    let stages = content.stages.iter().filter(has).map(|stage| Concern::Stage(stage.name.clone()));
    stages.chain(names.iter().cloned().map(Concern::Profile)).collect()
}
