//! Registered machines as their agents speak: heartbeats. They touch memory only; what
//! changed reaches the store in batches (`sweep`), an inventory when it is new.

use super::App;
use super::actor::{Action, Actor, MachineActor};
use super::enroll::check_inventory;
use super::error::{AppError, AppErrorKind};
use super::events::Did;
use crate::keys::Call;
use engine::machine::Machine;
use protocol::agent_api::{
    AgentSettings, AgentState, Approved, HeartbeatAnswer, HeartbeatRequest, KEY_PATH, KeyChange, RefusalKind,
};
use protocol::inventory::{Inventory, MAX_OBSERVED};
use protocol::token::base64url;
use ring::digest::{SHA256, digest};
use std::time::Duration;

/// Longest time a heartbeat is held: with the interval after it, well within the 60 seconds
/// after which a machine counts as offline.
const LONGEST_HOLD: Duration = Duration::from_secs(25);
/// Longest inventory digest that is looked at, in bytes: a SHA-256 as base64url.
const MAX_DIGEST: usize = 43;
/// How often a commit is tried again because another came between.
const RETRIES: usize = 4;

impl App {
    /// An agent says that it is there. Held up to `wait` until the machine changes.
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
        // Listen first, then look: a change in between is not missed.
        let mut waiter = self.hub.waiter(caller.id.0);
        let (machine, observed) = self.heard(actor, caller, &request).await?;
        // Put off, it is asked for with a later heartbeat: at once, it would come at once again.
        let send_inventory = !matches!(observed, Some(Observed::PutOff))
            && !self.knows_inventory(&machine, &request.inventory_digest)?;
        let goodbye = request.state == AgentState::Stopping;
        if send_inventory || goodbye || wait.is_zero() {
            return Ok(self.heartbeat_answer(&machine, send_inventory && !goodbye));
        }
        waiter.wait(wait.min(LONGEST_HOLD)).await;
        let machine = self.own_machine(caller).await?;
        Ok(self.heartbeat_answer(&machine, false))
    }

    /// Notes the heartbeat and what was observed.
    async fn heard(
        &self,
        actor: &Actor,
        caller: &MachineActor,
        request: &HeartbeatRequest,
    ) -> Result<(Machine, Option<Observed>), AppError> {
        let machine = self.own_machine(caller).await?;
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
        if turned || matches!(observed, Some(Observed::Stored)) {
            self.publish_machine(Did::Update, &machine, &actor.principal());
        }
        Ok((machine, observed))
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
            let changes = machine.observe(inventory.clone(), digest, self.clock.now());
            match self.store.commit(&changes).await {
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
        let (machine, changes) = machine.succeeded(successor.key, &actor.cause(self.clock.now()));
        self.store.commit(&changes).await?;
        self.hub.wake(machine.id.0);
        self.publish_machine(Did::Update, &machine, &actor.principal());
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
        HeartbeatAnswer {
            interval: AgentSettings::default().heartbeat_interval,
            send_inventory,
            name: machine.name.to_string(),
            work: machine.wants_runner(),
            ca_hash: self.keys.pins(),
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
