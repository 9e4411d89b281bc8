//! Registered machines as their agents speak: heartbeats. They touch memory only; what
//! changed reaches the store in batches (`sweep`), an inventory when it is new.

use super::App;
use super::actor::{Action, Actor, MachineActor};
use super::enroll::check_inventory;
use super::error::{AppError, AppErrorKind};
use super::events::Did;
use super::provision::Heard;
use crate::keys::Call;
use crate::liveness::Said;
use engine::change::Changes;
use engine::machine::Machine;
use engine::time::Timestamp;
use protocol::agent_api::{
    AgentSettings, AgentState, Approved, HeartbeatAnswer, HeartbeatRequest, KEY_PATH, KeyChange, MAX_BOOT_ID,
    RefusalKind, RunnerTicket,
};
use protocol::inventory::{Inventory, MAX_OBSERVED};
use protocol::token::base64url;
use ring::digest::{SHA256, digest};
use std::time::Duration;
use tokio::time::Instant;

/// Longest time a heartbeat is held: with the interval after it, well within the 60 seconds
/// after which a machine counts as offline.
const LONGEST_HOLD: Duration = Duration::from_secs(25);
/// Longest inventory digest that is looked at, in bytes: a SHA-256 as base64url.
const MAX_DIGEST: usize = 43;
/// Life of a runner's first token: it renews its own, and outlives an absence of the server.
const RUNNER_TOKEN: Duration = Duration::from_secs(8 * 3_600);
/// How often a commit is tried again because another came between.
const RETRIES: usize = 4;

impl App {
    /// An agent says that it is there. Held up to `wait`, until there is something to tell: work for
    /// an agent that has none, a terminal, or what changed since it was told last: its name, or whether
    /// it is in a mesh network.
    ///
    /// # Errors
    /// `access_denied` when the machine was deleted or has another key now.
    pub(crate) async fn heartbeat(
        &self,
        actor: &Actor,
        request: HeartbeatRequest,
        wait: Duration,
    ) -> Result<HeartbeatAnswer, AppError> {
        actor.require(Action::MachineSelf)?;
        let Actor::Machine(caller) = actor else {
            return Err(AppError::new(AppErrorKind::Forbidden, "heartbeats come from machines only"));
        };
        if request.inventory_digest.len() > MAX_DIGEST {
            let message = format!("inventory_digest has more than {MAX_DIGEST} characters");
            return Err(AppError::refused(RefusalKind::InvalidRequest, message));
        }
        if request.boot_id.len() > MAX_BOOT_ID {
            let message = format!("boot_id has more than {MAX_BOOT_ID} characters");
            return Err(AppError::refused(RefusalKind::InvalidRequest, message));
        }
        // Listen first, then look: a change in between is not missed.
        let mut waiter = self.hub.waiter(caller.id.0);
        let (machine, observed) = self.heard(actor, caller, &request).await?;
        // Put off, it is asked for with a later heartbeat: at once, it would come at once again.
        let send_inventory = !matches!(observed, Some(Observed::PutOff))
            && !self.knows_inventory(&machine, &request.inventory_digest)?;
        let goodbye = request.state == AgentState::Stopping;
        // An agent that tells of no boot runs no jobs, and one that runs some knows of work.
        let is_called = |machine: &Machine| {
            machine.wants_runner() && !request.boot_id.is_empty() && !request.working
                || self.terminals.calls(machine.id)
        };
        if send_inventory || goodbye || is_called(&machine) {
            return Ok(self.heartbeat_answer(&machine, send_inventory && !goodbye));
        }
        // What changed after its last heartbeat was answered is news, too.
        let said = self.liveness.said(machine.id).unwrap_or_else(|| Said::of(&machine));
        let (end, mut now) = (Instant::now() + wait.min(LONGEST_HOLD), machine);
        while Said::of(&now) == said && !is_called(&now) && Instant::now() < end && !waiter.is_let_go() {
            waiter.wait(end.saturating_duration_since(Instant::now())).await;
            now = self.own_machine(caller).await?;
        }
        Ok(self.heartbeat_answer(&now, false))
    }

    /// What a runner of the machine's jobs needs, which its agent starts.
    ///
    /// # Errors
    /// `access_denied` when the machine was deleted or has another key now.
    pub(crate) async fn runner_ticket(&self, actor: &Actor) -> Result<RunnerTicket, AppError> {
        actor.require(Action::MachineSelf)?;
        let Actor::Machine(caller) = actor else {
            return Err(AppError::new(AppErrorKind::Forbidden, "runners are machines' only"));
        };
        let machine = self.own_machine(caller).await?;
        Ok(RunnerTicket {
            token: self.machine_token(&machine, RUNNER_TOKEN)?,
            expires_in: RUNNER_TOKEN.as_secs(),
            boot_env: machine.booted_env().to_owned(),
            nonce: self.keys.nonce(self.clock.now()),
        })
    }

    /// Notes the heartbeat and what was observed.
    async fn heard(
        &self,
        actor: &Actor,
        caller: &MachineActor,
        request: &HeartbeatRequest,
    ) -> Result<(Machine, Option<Observed>), AppError> {
        let machine = self.note_boot(actor, caller, request).await?;
        let goodbye = request.state == AgentState::Stopping;
        let turned = self.liveness.heard(machine.id, goodbye, self.clock.now());
        let (machine, observed) = match &request.observed {
            Some(inventory) => {
                let (machine, observed) =
                    self.observe(caller, inventory.clone(), &request.inventory_digest).await?;
                (machine, Some(observed))
            }
            None => (machine, None),
        };
        if turned && !matches!(observed, Some(Observed::Stored)) {
            self.publish_machine(Did::Update, &machine, &actor.principal());
        }
        // For other servers too, and for this one after a restart: the next boot is expected.
        let machine =
            if goodbye { self.note(actor, caller, |_| Heard::Left, Machine::left).await? } else { machine };
        Ok((machine, observed))
    }

    /// The machine, once what a new boot means for it is stored.
    async fn note_boot(
        &self,
        actor: &Actor,
        caller: &MachineActor,
        request: &HeartbeatRequest,
    ) -> Result<Machine, AppError> {
        let HeartbeatRequest { boot_id, installed, .. } = request;
        let heard =
            |before: &Machine| Heard::Booted { installed: *installed, planned: before.left_at.is_some() };
        self.note(actor, caller, heard, |machine, now| machine.booted(boot_id, *installed, now)).await
    }

    /// Stores what news of its boot make of the machine, if anything.
    async fn note(
        &self,
        actor: &Actor,
        caller: &MachineActor,
        heard: impl Fn(&Machine) -> Heard<'static>,
        news: impl Fn(&Machine, Timestamp) -> Option<(Machine, Changes)>,
    ) -> Result<Machine, AppError> {
        for _ in 0..RETRIES {
            let machine = self.own_machine(caller).await?;
            let cause = actor.cause(self.clock.now());
            let Some((mut after, changes)) = news(&machine, cause.at) else {
                return Ok(machine);
            };
            let follows = self.follow_run(&mut after, heard(&machine), &cause).await?;
            let happening = self.machine_happening(Did::Save, &cause.principal, &after, Some(&machine));
            let mut told = vec![happening];
            let changes = self.with_run(follows, changes, &mut told, &cause);
            match self.commit(changes, told).await {
                Ok(_) => return self.own_machine(caller).await,
                Err(error) if error.is_stale() => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(super::enroll::busy())
    }

    /// Stores an inventory under the digest its agent gave it, when that is new and the machine
    /// does not bring new ones all the time: each is a commit, and one machine must not keep
    /// the store from all others.
    async fn observe(
        &self,
        caller: &MachineActor,
        mut inventory: Inventory,
        digest: &str,
    ) -> Result<(Machine, Observed), AppError> {
        check_inventory(&inventory, MAX_OBSERVED)?;
        inventory.clean();
        let mut allowed = false;
        for _ in 0..RETRIES {
            let machine = self.own_machine(caller).await?;
            if machine.inventory_digest == digest && machine.inventory == inventory {
                return Ok((machine, Observed::Known));
            }
            if !allowed && self.limits.observation(machine.id, self.clock.now()).is_err() {
                return Ok((machine, Observed::PutOff));
            }
            allowed = true;
            let before = machine.clone();
            let (machine, changes) = machine.observe(inventory.clone(), digest, self.clock.now());
            let changes = self.with_errors_found(changes, &self.content()).await;
            let principal = format!("machine:{}", caller.id);
            let happening = self.machine_happening(Did::Update, &principal, &machine, Some(&before));
            match self.commit(changes, vec![happening]).await {
                Ok(_) => return Ok((self.own_machine(caller).await?, Observed::Stored)),
                Err(error) if error.is_stale() => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(super::enroll::busy())
    }

    /// Whether the stored inventory is the one of this digest: by the agent's own digest, or,
    /// since registration carries none, by that of the stored JSON.
    fn knows_inventory(&self, machine: &Machine, told: &str) -> Result<bool, AppError> {
        if told.is_empty() || machine.inventory_digest == told {
            return Ok(true);
        }
        let json = serde_json::to_vec(&machine.inventory).map_err(AppError::internal)?;
        Ok(machine.inventory_digest.is_empty() && base64url(digest(&SHA256, &json).as_ref()) == told)
    }

    /// The machine changes its key: the old one makes the call, the new one proves itself in the
    /// body (`spec/security.md` 5). From then on the old key is nobody's.
    ///
    /// # Errors
    /// `invalid_proof` or `use_nonce` about the new key, a conflict when it is another machine's.
    pub(crate) async fn change_key(&self, actor: &Actor, request: KeyChange) -> Result<Approved, AppError> {
        actor.require(Action::MachineSelf)?;
        let Actor::Machine(caller) = actor else {
            return Err(AppError::new(AppErrorKind::Forbidden, "only a machine changes its key"));
        };
        let call = Call {
            proof: &request.successor,
            method: "POST",
            path: KEY_PATH,
            access_token: None,
            source: caller.source,
            request_id: &caller.request_id,
        };
        let head = self.prove_head(&call).await?;
        let successor = self.prove_body(head, &call, caller.key.to_string().as_bytes()).await?;
        let machine = self.own_machine(caller).await?;
        let before = machine.clone();
        let (machine, changes) = machine.succeeded(successor.key, &actor.cause(self.clock.now()));
        let happening = self.machine_happening(Did::Update, &actor.principal(), &machine, Some(&before));
        self.commit(changes, vec![happening]).await?;
        Ok(self.welcome(&machine))
    }

    async fn own_machine(&self, caller: &MachineActor) -> Result<Machine, AppError> {
        let machine = self.store.machine(caller.id).await?;
        machine.filter(|machine| machine.key == Some(caller.key)).ok_or_else(|| {
            let message = "this machine was deleted or has another key now; ask to be registered";
            AppError::refused(RefusalKind::AccessDenied, message)
        })
    }

    fn heartbeat_answer(&self, machine: &Machine, send_inventory: bool) -> HeartbeatAnswer {
        self.liveness.say(machine.id, Said::of(machine));
        HeartbeatAnswer {
            interval: AgentSettings::default().heartbeat_interval,
            send_inventory,
            name: machine.name.to_string(),
            work: machine.wants_runner(),
            ca_hash: self.keys.pins(),
            boot_env: machine.fields.boot_env.clone(),
            terminal: self.terminals.ticket(machine.id),
            mesh: machine.wants_mesh(),
            nonce: self.keys.nonce(self.clock.now()),
        }
    }
}

/// What became of an inventory that an agent sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Observed {
    /// It is the stored one.
    Known,
    /// It is stored now.
    Stored,
    /// The machine brings new ones too fast: it was not looked at.
    PutOff,
}
