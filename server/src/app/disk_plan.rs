//! What an installation would do to the disks of a machine, shown before anything is written.

use super::App;
use super::actor::Actor;
use super::error::AppError;
use engine::content::Content;
use engine::machine::Machine;
use engine::provision::params;
use protocol::install::{DiskPlan, shown};

impl App {
    /// The plan for the machine that a key of a path names.
    ///
    /// # Errors
    /// As every reading of a machine.
    pub(crate) async fn show_disk_plan(&self, actor: &Actor, key: &str) -> Result<DiskPlan, AppError> {
        Ok(self.disk_plan(&self.machine_for(actor, key, "get").await?))
    }

    /// The plan by the machine's params and by what it told of its disks. Where there is none, every disk is
    /// kept and the plan says why.
    pub(super) fn disk_plan(&self, machine: &Machine) -> DiskPlan {
        planned(&self.content(), machine)
    }
}

fn planned(content: &Content, machine: &Machine) -> DiskPlan {
    let disks = &machine.inventory.disks;
    let asked = params::disk_rule(content, machine)
        .and_then(|rule| params::layout(content, machine).map(|layout| (rule, layout)));
    match asked {
        Ok((rule, layout)) => shown(disks, &rule, &layout),
        Err(error) => DiskPlan::none(disks, error),
    }
}
