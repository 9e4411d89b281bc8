//! What an installation of a machine would be made of: now, or after a change that nobody has made yet.

use super::App;
use super::actor::Actor;
use super::error::AppError;
use super::found::json;
use super::machines::{fresh_secret, wish};
use super::objects::{VOLATILE, fields_of};
use engine::machine::{self, Machine};
use engine::patch::{Patch, Target};
use engine::provision::params;
use protocol::install::Setup;
use protocol::model::Kind;
use serde_json::Value;

impl App {
    /// As the machine is.
    ///
    /// # Errors
    /// As every reading of a machine.
    pub(crate) async fn show_setup(&self, actor: &Actor, key: &str) -> Result<Setup, AppError> {
        Ok(self.setup(&self.machine_for(actor, key, "get").await?))
    }

    /// As it would be after a patch, which is judged as one that counts; nothing is stored.
    ///
    /// # Errors
    /// As every reading of a machine, and everything that speaks against the change.
    pub(crate) async fn rehearse_setup(
        &self,
        actor: &Actor,
        key: &str,
        patch: &Patch,
    ) -> Result<Setup, AppError> {
        let machine = self.machine_for(actor, key, "get").await?;
        let id = machine.id.to_string();
        let target = Target { model: Kind::Machines, key: &id, volatile: &VOLATILE };
        let wanted = fields_of(Kind::Machines, patch.apply(&target, json(&self.view(&machine))?)?)?;
        let (content, cause, secret) = (self.content(), actor.cause(self.clock.now()), fresh_secret()?);
        let wish = wish(actor, &content, &cause, false, &secret);
        Ok(self.setup(&machine::edit(&machine, &Value::Object(wanted), &wish)?))
    }

    fn setup(&self, machine: &Machine) -> Setup {
        Setup { disk_plan: self.disk_plan(machine), ..params::setup(&self.content(), machine) }
    }
}
