//! Registered machines as operators see them.

use super::App;
use super::actor::{Action, Actor};
use super::enroll::busy;
use super::error::AppError;
use super::events::Did;
use engine::machine::Machine;
use protocol::rest;

/// How often a decision is taken again because somebody else's commit came between.
const RETRIES: usize = 4;
const COLLECTION: &str = "machines";

impl App {
    /// All machines by name. A list of thousands leaves out what is long in each.
    ///
    /// # Errors
    /// `forbidden` without `machines:read`.
    pub(crate) async fn machines(&self, actor: &Actor) -> Result<Vec<rest::Machine>, AppError> {
        actor.require(Action::MachineRead)?;
        let in_a_list = |machine: &Machine| {
            let mut view = self.view(machine);
            view.own.inventory = view.own.inventory.in_a_list();
            view
        };
        Ok(self.store.machines().await?.iter().map(in_a_list).collect())
    }

    /// One machine by `UUID`, `Key:UUID`, `Uuid:UUID` or `Name:NAME`.
    ///
    /// # Errors
    /// `not_found`; a bare name is not found either.
    pub(crate) async fn machine(&self, actor: &Actor, key: &str) -> Result<rest::Machine, AppError> {
        actor.require(Action::MachineRead)?;
        Ok(self.view(&self.find_machine(key).await?))
    }

    /// Deletes a machine and forgets its key: it asks with a new code when it comes back.
    ///
    /// # Errors
    /// `not_found`.
    pub(crate) async fn delete_machine(&self, actor: &Actor, key: &str) -> Result<rest::Machine, AppError> {
        actor.require(Action::MachineDelete)?;
        for _ in 0..RETRIES {
            let machine = self.find_machine(key).await?;
            let cause = actor.cause(self.clock.now());
            match self.store.commit(&machine.delete(&cause)).await {
                Ok(_) => {
                    let last_view = self.view(&machine);
                    self.publish_machine(Did::Delete, &machine, &cause.principal);
                    self.liveness.forget(machine.id);
                    return Ok(last_view);
                }
                Err(error) if error.is_stale() => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(busy())
    }

    async fn find_machine(&self, key: &str) -> Result<Machine, AppError> {
        let found = match key.split_once(':') {
            Some(("Name", name)) => self.store.machine_of_name(name).await?,
            Some(("Key" | "Uuid", id)) => self.machine_by_text(id).await?,
            Some(_) => None,
            None => self.machine_by_text(key).await?,
        };
        found.ok_or_else(|| AppError::not_found(COLLECTION, key))
    }

    async fn machine_by_text(&self, id: &str) -> Result<Option<Machine>, AppError> {
        match id.to_ascii_lowercase().parse() {
            Ok(id) => Ok(self.store.machine(id).await?),
            Err(_not_an_id) => Ok(None),
        }
    }
}
