//! What the run's own job asks and tells, under its machine's token: only while that job is under way, and
//! the run is the one that its machine is in.

use super::{RETRIES, RUNS};
use crate::app::App;
use crate::app::actor::Actor;
use crate::app::enroll::busy;
use crate::app::error::{AppError, AppErrorKind};
use engine::change::Changes;
use engine::job::Job;
use engine::machine::Machine;
use engine::provision::{self, Run, params};
use engine::run;
use protocol::config::{AgentConfig, ServerUrl};
use protocol::install::{
    AgentOrder, BootOrder, FirstBoot, InstallOrder, Mode, PermitAnswer, Progress, ProgressAnswer, Provision,
};
use protocol::inventory::clean_line;
use protocol::model::JobState;
use uuid::Uuid;

/// Longest message of progress that is taken, in bytes.
const MAX_MESSAGE: usize = 256;

/// The run that a job works on.
pub(super) struct Work {
    pub(super) run: Run,
    pub(super) machine: Machine,
    pub(super) job: Job,
}

impl App {
    /// What is to be installed. `servers` are the addresses that the installed agent is told unless the
    /// machine's param says others.
    ///
    /// # Errors
    /// As every call of a run's job: `AUTH` for everybody else; a conflict when run or job are over, or the
    /// lease is void; invalid when something cannot be rendered any more.
    pub(crate) async fn install_order(
        &self,
        actor: &Actor,
        key: &str,
        lease: Option<i64>,
        servers: Vec<ServerUrl>,
    ) -> Result<InstallOrder, AppError> {
        let Work { run, machine, .. } = self.work(actor, key, lease).await?;
        if run.mode != Mode::Rebuild {
            return Err(conflict(&run, "installs nothing"));
        }
        let content = self.content();
        let refused = |why: String| AppError::new(AppErrorKind::Invalid, why).about(RUNS, run.id.to_string());
        let goods = self.store.goods(run.id).await?;
        let seed = self.render_seed(&machine, &run.id.to_string()).await;
        let told = params::agent_hosts(&content, &machine).map_err(refused)?;
        let agent = run.agent.then(|| self.agent_order(if told.is_empty() { servers } else { told }));
        Ok(InstallOrder {
            run: run.id,
            machine: machine.id.0,
            hostname: engine::cloud_init::hostname(&machine),
            image: self.image_sources(goods.image, &run.image).await?,
            plan: goods.plan,
            touched: run.touched,
            layout: params::layout(&content, &machine).map_err(refused)?,
            seed: seed.map_err(|errors| refused(errors.join("; ")))?,
            boot: BootOrder {
                reboot: run.reboot,
                kernel_args: params::kernel_args(&content, &machine).map_err(refused)?,
                set_firmware_order: params::firmware_order(&content, &machine).map_err(refused)?,
                server_id: self.keys.server_id().to_owned(),
            },
            agent: agent.transpose()?,
            permit: String::new(),
        })
    }

    fn agent_order(&self, servers: Vec<ServerUrl>) -> Result<AgentOrder, AppError> {
        let config = AgentConfig {
            server: servers,
            ca_hash: self.keys.pins(),
            built_at: Some(self.clock.now().as_seconds()),
            ..AgentConfig::unpersonalised()
        };
        let config = config.render().map_err(AppError::internal)?;
        Ok(AgentOrder { config: String::from_utf8(config).map_err(AppError::internal)? })
    }

    /// The permit to erase what the run's plan erases. From now on the machine's disk counts as written.
    ///
    /// # Errors
    /// As [`App::install_order`].
    pub(crate) async fn permit(
        &self,
        actor: &Actor,
        key: &str,
        lease: Option<i64>,
    ) -> Result<PermitAnswer, AppError> {
        for _ in 0..RETRIES {
            let Work { run, machine, job } = self.work(actor, key, lease).await?;
            if run.mode != Mode::Rebuild {
                return Err(conflict(&run, "installs nothing"));
            }
            let goods = self.store.goods(run.id).await?;
            let cause = actor.cause(self.clock.now());
            let permit = self.wipe_permit(&machine, &run, &goods, &job, &cause).await?;
            let after = provision::touched(&run, &machine);
            let changes = Changes::new(cause.at);
            if self.commit_run(run, machine, after, changes, &cause.principal).await?.is_some() {
                return Ok(PermitAnswer { permit });
            }
        }
        Err(busy())
    }

    /// How far the job has come. A step is stored when it begins, and what is within it now and then.
    ///
    /// # Errors
    /// As [`App::install_order`]; not for a run that is over, which the answer says.
    pub(crate) async fn progress(
        &self,
        actor: &Actor,
        key: &str,
        lease: Option<i64>,
        mut told: Progress,
    ) -> Result<ProgressAnswer, AppError> {
        clean_line(&mut told.message, MAX_MESSAGE);
        told.percent = told.percent.min(100);
        for _ in 0..RETRIES {
            let run = self.own_run(actor, key).await?;
            if !run.is_active() {
                return Ok(ProgressAnswer { cancelled: true });
            }
            let Work { run, machine, .. } = self.work(actor, key, lease).await?;
            let cause = actor.cause(self.clock.now());
            if told.step < run.step() {
                return Ok(ProgressAnswer { cancelled: false });
            }
            let is_due = self.live_progress.note(run.id, &told, cause.at);
            if told.step == run.step() && !is_due {
                self.tell(self.run_happening(super::Did::Update, &cause.principal, &run));
                return Ok(ProgressAnswer { cancelled: false });
            }
            let after = provision::reported(&run, &machine, &told, &self.content(), cause.at);
            let changes = Changes::new(cause.at);
            if self.commit_run(run, machine, after, changes, &cause.principal).await?.is_some() {
                return Ok(ProgressAnswer { cancelled: false });
            }
        }
        Err(busy())
    }

    /// The installed system reports its first boot: the run is over.
    ///
    /// # Errors
    /// As [`App::install_order`].
    pub(crate) async fn first_boot(
        &self,
        actor: &Actor,
        key: &str,
        lease: Option<i64>,
        told: &FirstBoot,
    ) -> Result<Provision, AppError> {
        for _ in 0..RETRIES {
            let own = self.own_run(actor, key).await?;
            if matches!(
                own.status,
                protocol::install::ProvisionStatus::Completed | protocol::install::ProvisionStatus::Degraded
            ) {
                // Told once more, because its answer was lost.
                return Ok(self.run_view(&own));
            }
            let Work { run, machine, .. } = self.work(actor, key, lease).await?;
            let cause = actor.cause(self.clock.now());
            let Some(after) = provision::first_boot(&run, &machine, told, cause.at) else {
                return Err(conflict(&run, "waits for no first boot: the machine did not boot its disk"));
            };
            let changes = Changes::new(cause.at);
            if let Some(run) = self.commit_run(run, machine, after, changes, &cause.principal).await? {
                return Ok(self.run_view(&run));
            }
        }
        Err(busy())
    }

    /// The run, for its machine's token alone: what it asks for holds secrets that are for nobody else.
    pub(super) async fn own_run(&self, actor: &Actor, key: &str) -> Result<Run, AppError> {
        let found = match key.parse::<Uuid>() {
            Ok(id) => self.store.run(id).await?,
            Err(_) => None,
        };
        found.filter(|run| actor.is_token_of(run.machine)).ok_or_else(|| {
            let message = "this is for the job of the run alone, under its machine's token";
            AppError::new(AppErrorKind::Forbidden, message).about(RUNS, key)
        })
    }

    /// The run, its machine and its job, when all three are under way.
    pub(super) async fn work(&self, actor: &Actor, key: &str, lease: Option<i64>) -> Result<Work, AppError> {
        let run = self.own_run(actor, key).await?;
        if !run.is_active() {
            return Err(conflict(&run, &format!("is over: it is {}", run.status)));
        }
        let machine = self.store.machine(run.machine).await?;
        let machine = machine.ok_or_else(|| conflict(&run, "has lost its machine"))?;
        if machine.latest_run.as_ref().map(|latest| latest.id) != Some(run.id) {
            return Err(conflict(&run, "is not its machine's latest"));
        }
        let job = self.current_job(&machine).await?;
        let is_under_way = |job: &Job| {
            matches!(job.fields.state, JobState::Created | JobState::Running)
                && job.fields.workflow == run.workflow
                && machine.fields.current_task >= 0
        };
        let Some(job) = job.filter(is_under_way).filter(|_| !run.held) else {
            return Err(conflict(&run, "has no job under way"));
        };
        run::check_lease(&job, lease)?;
        Ok(Work { run, machine, job })
    }
}

pub(super) fn conflict(run: &Run, reason: &str) -> AppError {
    let message = format!("provision run {} {reason}", run.id);
    AppError::new(AppErrorKind::Conflict, message).about(RUNS, run.id.to_string())
}
