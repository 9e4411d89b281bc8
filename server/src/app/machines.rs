//! Registered machines: made, changed and deleted by operators, programs and agents. The rules are
//! `engine::machine`'s.

use super::App;
use super::actor::Actor;
use super::enroll::busy;
use super::error::{AppError, AppErrorKind};
use super::events::Did;
use super::found::{Found, Shown, bare_key, json, missing};
use super::objects::{Deleted, Fields, How, KEPT, Pair, VOLATILE, fields_of, force, text};
use super::provision::Heard;
use super::terminals::no_switch;
use crate::keys;
use crate::store::{Conflict, StoreError};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use engine::change::{Cause, Changes};
use engine::claims;
use engine::content::Content;
use engine::filter::Shape;
use engine::machine::{self, Fresh, Machine, Removal, Wish};
use engine::patch::{Patch, Target};
use engine::problem::{Problem, ProblemKind};
use protocol::ids::MachineId;
use protocol::model::Kind;
use serde_json::Value;
use std::sync::Arc;
use uuid::Uuid;

/// How often a decision is taken again because somebody else's commit came between.
const RETRIES: usize = 16;

impl App {
    /// The machine that a key of a path names: `UUID`, `Key:UUID`, `Uuid:UUID` or `Name:NAME`. A
    /// bare name names none.
    pub(super) async fn find_machine(&self, key: &str) -> Result<Option<Machine>, AppError> {
        if let Some(name) = key.strip_prefix("Name:") {
            return Ok(self.store.machine_of_name(name).await?);
        }
        match bare_key(Kind::Machines, key).and_then(|id| id.to_ascii_lowercase().parse().ok()) {
            Some(id) => Ok(self.store.machine(id).await?),
            None => Ok(None),
        }
    }

    /// Makes a machine.
    pub(super) async fn create_machine(&self, actor: &Actor, wanted: &Fields) -> Result<Machine, AppError> {
        let given = text(wanted, "Uuid").to_ascii_lowercase();
        for _ in 0..RETRIES {
            let (content, cause) = (self.content(), actor.cause(self.clock.now()));
            let secret = fresh_secret()?;
            let wish = wish(actor, &content, &cause, false, &secret);
            let mut machine = machine::create(&Value::Object(wanted.clone()), &wish)?;
            let placed = self.place(None, &mut machine, &content).await?;
            if !machine.membership.by_default {
                placed.or_refuse(&machine)?;
            }
            let machine = self.with_errors(machine, &content).await;
            let changes = placed.with(machine.saved(None, content.revision, &cause));
            let mut told = vec![self.machine_happening(Did::Create, &cause.principal, &machine, None)];
            told.extend(placed.told(self, &cause.principal));
            match self.commit(changes, told).await {
                Ok(revision) => {
                    self.liveness.recall(machine.id, None, self.clock.now());
                    return Ok(Machine { revision, ..machine });
                }
                Err(error) => self.may_try_again(error, &machine, !given.is_empty()).await?,
            }
        }
        Err(busy())
    }

    /// What a refused insert means: somebody else's content came between, or the machine is there.
    async fn may_try_again(
        &self,
        error: StoreError,
        machine: &Machine,
        chosen: bool,
    ) -> Result<(), AppError> {
        let taken = matches!(error, StoreError::Conflict(Conflict::Exists | Conflict::NameTaken));
        if taken && chosen && self.store.machine(machine.id).await?.is_some() {
            let message = "there is a machine with this Uuid";
            let key = machine.id.to_string();
            return Err(Problem::new(ProblemKind::Exists, Kind::Machines, key, message).into());
        }
        if matches!(error, StoreError::Conflict(Conflict::NameTaken)) {
            return Err(name_taken(machine));
        }
        if error.is_stale() { self.refresh_content().await } else { Err(error.into()) }
    }

    /// Makes of a machine what `wish` makes of its key and of how REST shows it. It may be asked
    /// again when somebody else's change came between.
    pub(super) async fn edit_machine(
        &self,
        actor: &Actor,
        id: MachineId,
        how: How,
        wish: impl Fn(&str, Value) -> Result<Fields, AppError>,
    ) -> Result<Machine, AppError> {
        let decide = |machine: &Machine, context: &Wish<'_>| {
            let before = json(&self.view(machine))?;
            let mut wanted = wish(&id.to_string(), before.clone())?;
            if text(&wanted, "Uuid").is_empty() {
                wanted.insert("Uuid".to_owned(), id.to_string().into());
            }
            // Clients that do not know them leave them as they are, and need no right to.
            for own in ["Roles", "MeshNetwork"] {
                if let Some(value) = before.get(own).filter(|_| !wanted.contains_key(own)) {
                    wanted.insert(own.to_owned(), value.clone());
                }
            }
            let wanted = with_params(wanted);
            let paths = claims::changed(&before, &wanted, &KEPT);
            actor.may_change(Kind::Machines.prefix(), &id.to_string(), &paths)?;
            Ok(machine::edit(machine, &wanted, context)?)
        };
        self.change_machine(actor, id, how, decide).await
    }

    /// Loads a machine, lets `decide` say what becomes of it, and stores that.
    pub(super) async fn change_machine(
        &self,
        actor: &Actor,
        id: MachineId,
        how: How,
        decide: impl Fn(&Machine, &Wish<'_>) -> Result<Machine, AppError>,
    ) -> Result<Machine, AppError> {
        let _turn = self.turns.of(id.0).await;
        for _ in 0..RETRIES {
            let before = self.store.machine(id).await?.ok_or_else(|| gone(id))?;
            let (content, cause) = (self.content(), actor.cause(self.clock.now()));
            let guard = self.lease_guard(&before, how.lease).await?;
            let secret = fresh_secret()?;
            let mut after = decide(&before, &wish(actor, &content, &cause, how.force, &secret))?;
            let placed = self.place(Some(&before), &mut after, &content).await?;
            if after.placement.mesh_network != before.placement.mesh_network {
                placed.or_refuse(&after)?;
            }
            let follows = self.follow_run(&mut after, Heard::Changed(None), &cause).await?;
            let after = self.with_errors(after, &content).await;
            if after == before {
                return Ok(before);
            }
            let changes = placed.with(after.saved(Some(&before), content.revision, &cause));
            let changes = guard.into_iter().fold(changes, Changes::and);
            let mut told = vec![self.machine_happening(Did::Update, &cause.principal, &after, Some(&before))];
            told.extend(placed.told(self, &cause.principal));
            let changes = self.with_run(follows, changes, &mut told, &cause);
            match self.commit(changes, told).await {
                Ok(revision) => return Ok(Machine { revision, ..after }),
                Err(StoreError::Conflict(Conflict::NameTaken)) => return Err(name_taken(&after)),
                Err(error) if error.is_stale() => self.refresh_content().await?,
                Err(error) => return Err(error.into()),
            }
        }
        Err(busy())
    }

    /// Deletes a machine and forgets its key: it asks with a new code when it comes back. One that
    /// has a last workflow goes through that first, unless the caller insists.
    pub(super) async fn delete_machine(
        &self,
        actor: &Actor,
        id: MachineId,
        force: bool,
    ) -> Result<Deleted, AppError> {
        let _turn = self.turns.of(id.0).await;
        for _ in 0..RETRIES {
            let machine = self.store.machine(id).await?.ok_or_else(|| gone(id))?;
            let (content, cause) = (self.content(), actor.cause(self.clock.now()));
            let secret = fresh_secret()?;
            let removal = machine::delete(&machine, &wish(actor, &content, &cause, force, &secret))?;
            let principal = &cause.principal;
            let (changes, told, deleted) = match removal {
                Removal::Now(changes) => {
                    let mut changes = changes.on(content.revision).and(no_switch(id));
                    let mut told = vec![self.machine_happening(Did::Delete, principal, &machine, None)];
                    told.extend(self.mesh_happening(&machine.placement.mesh_network, principal));
                    if let Some((change, happening)) = self.orphaned_job(&machine, &cause).await? {
                        changes = changes.and(change);
                        told.push(happening);
                    }
                    if let Some((change, happening)) = self.run_of_the_gone(&machine, &cause).await? {
                        changes = changes.and(change);
                        told.push(happening);
                    }
                    (changes, told, Deleted::Now(json(&self.view(&machine))?))
                }
                Removal::Later(after) => {
                    let mut after = *after;
                    let follows = self.follow_run(&mut after, Heard::Changed(None), &cause).await?;
                    let after = self.with_errors(after, &content).await;
                    let shown = Deleted::Later(json(&self.view(&after))?);
                    if after == machine {
                        return Ok(shown);
                    }
                    let mut told =
                        vec![self.machine_happening(Did::Update, principal, &after, Some(&machine))];
                    let changes = after.saved(Some(&machine), content.revision, &cause);
                    (self.with_run(follows, changes, &mut told, &cause), told, shown)
                }
            };
            match self.commit(changes, told).await {
                Ok(_) => {
                    if matches!(deleted, Deleted::Now(_)) {
                        self.liveness.forget(id);
                    }
                    return Ok(deleted);
                }
                Err(error) if error.is_stale() => self.refresh_content().await?,
                Err(error) => return Err(error.into()),
            }
        }
        Err(busy())
    }

    /// Starts a machine's workflow from its beginning: the one that the patch sets, else the one
    /// it has. It is runnable afterwards.
    ///
    /// # Errors
    /// As every change of a machine.
    pub(crate) async fn start_machine(
        &self,
        actor: &Actor,
        key: &str,
        query: &[Pair],
        patch: &Patch,
    ) -> Result<Shown, AppError> {
        let how = How { force: force(query)?, lease: None };
        let Some(machine) = self.find_machine(key).await? else {
            return actor.may(Kind::Machines.prefix(), "update", key).and(Err(missing(Kind::Machines, key)));
        };
        let key = machine.id.to_string();
        let decide = |machine: &Machine, context: &Wish<'_>| {
            let before = json(&self.view(machine))?;
            let target = Target { model: Kind::Machines, key: &key, volatile: &VOLATILE };
            let stopped = json(&self.view(&machine::stopped(machine)))?;
            let mut wanted = fields_of(Kind::Machines, patch.apply(&target, stopped)?)?;
            if text(&wanted, "Workflow").is_empty() {
                wanted.insert("Workflow".to_owned(), machine.fields.workflow.clone().into());
            }
            wanted.insert("Runnable".to_owned(), true.into());
            let wanted = with_params(wanted);
            actor.may_change(Kind::Machines.prefix(), &key, &claims::changed(&before, &wanted, &KEPT))?;
            Ok(machine::start(machine, &wanted, context)?)
        };
        let machine = self.change_machine(actor, machine.id, how, decide).await?;
        self.show(&Found::Machine(Box::new(machine)), &Shape::default()).await
    }

    /// Deletes a machine as [`App::delete`] does.
    ///
    /// # Errors
    /// As there.
    pub(crate) async fn cleanup_machine(&self, actor: &Actor, key: &str) -> Result<Deleted, AppError> {
        self.delete(actor, Kind::Machines, key, &[]).await
    }

    async fn with_errors(&self, mut machine: Machine, content: &Arc<Content>) -> Machine {
        machine.errors = self.machine_errors(&machine, content).await;
        machine
    }
}

/// A wish that does not speak of params wants none: each of those that go is then judged by its name.
fn with_params(mut wanted: Fields) -> Value {
    if wanted.get("Params").is_none_or(Value::is_null) {
        wanted.insert("Params".to_owned(), Value::Object(Fields::new()));
    }
    Value::Object(wanted)
}

/// What the engine has to know to decide about a machine.
pub(super) fn wish<'a>(
    actor: &Actor,
    content: &'a Content,
    cause: &'a Cause,
    force: bool,
    secret: &'a str,
) -> Wish<'a> {
    let fresh = Fresh { id: Uuid::new_v4(), secret };
    Wish { content, cause, force, by_user: actor.is_user(), fresh }
}

/// Random text for a secret: 96 bits.
pub(super) fn fresh_secret() -> Result<String, AppError> {
    Ok(URL_SAFE_NO_PAD.encode(keys::random::<12>().map_err(AppError::internal)?))
}

fn gone(id: MachineId) -> AppError {
    missing(Kind::Machines, &id.to_string())
}

fn name_taken(machine: &Machine) -> AppError {
    let message = format!("another machine is called {}; choose a different name", machine.name);
    AppError::new(AppErrorKind::Invalid, message).about(Kind::Machines.prefix(), machine.id.to_string())
}
