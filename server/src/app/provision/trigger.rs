//! A run is asked for: everything that can be known before the machine goes anywhere is found out here,
//! and told to whoever asked.

use super::{RETRIES, RUNS};
use crate::app::App;
use crate::app::Resolved;
use crate::app::actor::Actor;
use crate::app::enroll::busy;
use crate::app::error::{AppError, AppErrorKind};
use crate::app::events::Did;
use crate::app::found::missing;
use engine::change::{AuditKind, AuditRow, Change, Changes, Revision};
use engine::machine::Machine;
use engine::provision::{self, Asked, Followed, Goods, Run, params};
use protocol::install::{Mode, Provision, ProvisionRequest};
use protocol::model::Kind;
use uuid::Uuid;

/// What a run will work with, as far as it is known.
struct Found {
    /// Name of the Image.
    image: String,
    /// Whether the installed system gets our agent.
    agent: bool,
    /// Why its documents cannot be rendered.
    unrenderable: Vec<String>,
    /// Image, as far as it is ready, and plan.
    goods: Goods,
    /// How far an image has come that is not ready.
    importing: Option<(u8, String)>,
}

impl App {
    /// Asks for a run.
    ///
    /// # Errors
    /// `AUTH`; not found; locked; a conflict while the machine is in another run; invalid for what cannot be
    /// installed, and for disks that hold something when nobody typed the machine's name.
    pub(crate) async fn provision(
        &self,
        actor: &Actor,
        key: &str,
        request: &ProvisionRequest,
    ) -> Result<Provision, AppError> {
        let machine = self.machine_for(actor, key, "provision").await?;
        if request.mode == Mode::Clear {
            return self.clear(actor, &machine).await;
        }
        let run = Uuid::new_v4();
        for _ in 0..RETRIES {
            let machine =
                self.store.machine(machine.id).await?.ok_or_else(|| missing(Kind::Machines, key))?;
            self.may_begin(&machine, request)?;
            // Asks a registry, perhaps: nobody waits for the machine's turn meanwhile.
            let found = self.find_out(&machine, request, run).await?;
            if let Some(run) = self.begin_run(actor, &machine, request, run, found).await? {
                return Ok(self.run_view(&run));
            }
        }
        Err(busy())
    }

    /// What of the machine speaks against a run.
    fn may_begin(&self, machine: &Machine, request: &ProvisionRequest) -> Result<(), AppError> {
        let content = self.content();
        let protected = params::write_protected(&content, machine).map_err(|why| invalid(machine, why))?;
        provision::may_begin(machine, request.mode, protected)?;
        if request.mode == Mode::Rebuild {
            provision::confirmed(machine, &self.disk_plan(machine), &request.confirm)?;
        }
        Ok(())
    }

    async fn find_out(
        &self,
        machine: &Machine,
        request: &ProvisionRequest,
        run: Uuid,
    ) -> Result<Found, AppError> {
        let mut found = Found {
            image: String::new(),
            agent: false,
            unrenderable: Vec::new(),
            goods: Goods::default(),
            importing: None,
        };
        if request.mode != Mode::Rebuild {
            return Ok(found);
        }
        let content = self.content();
        let chosen = params::image(&content, machine, &request.image).map_err(|why| invalid(machine, why))?;
        found.image = chosen.value;
        found.agent = params::inject_agent(&content, machine).map_err(|why| invalid(machine, why))?;
        found.goods.plan = self.disk_plan(machine);
        if let Err(unrenderable) = self.render_seed(machine, &run.to_string()).await {
            found.unrenderable = unrenderable;
            return Ok(found);
        }
        match self.resolve_image(&found.image, &machine.fields.arch).await? {
            Resolved::Ready(ready) => found.goods.image = ready.order,
            Resolved::Importing { percent, message } => found.importing = Some((percent, message)),
        }
        Ok(found)
    }

    /// Stores the run; none when the machine changed meanwhile.
    async fn begin_run(
        &self,
        actor: &Actor,
        machine: &Machine,
        request: &ProvisionRequest,
        id: Uuid,
        found: Found,
    ) -> Result<Option<Run>, AppError> {
        let _turn = self.turns.of(machine.id.0).await;
        let (content, cause) = (self.content(), actor.cause(self.clock.now()));
        let Found { image, agent, unrenderable, goods, importing } = found;
        let settings = self.settings_digest(machine);
        let asked = Asked { id, request, image, agent, settings, cause: &cause };
        let begun = provision::begin(machine, &asked);
        let Followed { run, machine: mut after, .. } = match importing {
            _ if !unrenderable.is_empty() => provision::render_failed(machine, &asked, &unrenderable),
            None => provision::release(&begun.run, &begun.machine, &goods.image.digest, &content, &cause)?,
            Some((percent, message)) => {
                let run = provision::held_back(&begun.run, percent, &message, cause.at);
                Followed { run, ..begun }
            }
        };
        after.errors = self.machine_errors(&after, &content).await;
        let row = AuditRow::new(AuditKind::ProvisionRequested, &cause).machine(machine.id);
        let changes = Changes::new(cause.at)
            .on(content.revision)
            .and(Change::UpdateMachine(Box::new(after.clone())))
            .and(Change::InsertRun(Box::new(run.clone())))
            .and(Change::PutGoods { run: id, goods: Box::new(goods) })
            .audit(row.reason(told(&run)));
        let happenings = vec![
            self.machine_happening(Did::Update, &cause.principal, &after, Some(machine)),
            self.run_happening(Did::Create, &cause.principal, &run),
        ];
        let revision: Option<Revision> = self.try_commit(changes, happenings).await?;
        Ok(revision.map(|revision| Run { revision, ..run }))
    }

    /// Drops the run that was asked for and has not begun.
    async fn clear(&self, actor: &Actor, machine: &Machine) -> Result<Provision, AppError> {
        let Some(run) = self.active_run(machine).await? else {
            let message = format!("machine {} is in no provision run that could be cleared", machine.name);
            return Err(invalid(machine, message));
        };
        if run.started_at.is_some() {
            let message = format!("provision run {} has begun: cancel it", run.id);
            return Err(AppError::new(AppErrorKind::Conflict, message).about(RUNS, run.id.to_string()));
        }
        self.cancel_found(actor, &run).await
    }
}

fn invalid(machine: &Machine, message: String) -> AppError {
    AppError::new(AppErrorKind::Invalid, message).about(Kind::Machines.prefix(), machine.id.to_string())
}

/// The run as the audit log tells of it.
fn told(run: &Run) -> String {
    match run.mode {
        Mode::Rebuild => {
            format!("run {}: rebuild with image {}, workflow {}", run.id, run.image, run.workflow)
        }
        Mode::Discover | Mode::Clear => format!("run {}: discover, workflow {}", run.id, run.workflow),
    }
}
