//! Provision runs: how a machine comes from Discovery mode to its operating system, and what may go
//! wrong on the way (`spec/bootstrap-and-dashboard.md` 5).
//!
//! A run is a workflow of ordinary tasks on the model that there is; it follows what becomes of them.
//!
//! - `trigger`: whether a run may begin, and what it makes of the machine
//! - `advance`: what news of the machine and its jobs mean for the run
//! - `end`: how a run ends, and where that leaves the machine
//! - `state`: the Provision column, of machine and latest run
//! - `deadline`: how long each step may take
//! - `builtin`: the workflows that are always there; [`params`]: what an installation is made of

mod advance;
mod builtin;
mod deadline;
mod end;
pub mod params;
mod state;
#[cfg(test)]
mod tests;
mod trigger;

pub use advance::{Followed, MAX_RESTARTS, News, first_boot, follow, held_back, reported, touched};
pub use builtin::{BuiltIn, DISCOVER, INSTALL, STEP_LABEL, builtin};
pub use deadline::{overdue, step_deadline};
pub use end::{Ending, cancel, fail, gone};
pub use state::{LatestRun, settings, state};
pub use trigger::{Asked, begin, confirmed, may_begin, release, render_failed};

use crate::change::Revision;
use crate::machine::{Machine, Pause};
use crate::problem::{Problem, ProblemKind};
use crate::time::Timestamp;
use protocol::ids::MachineId;
use protocol::install::{
    DiskPlan, ImageOrder, Mode, Progress, Provision, ProvisionStatus, Reboot, Step, StepTime,
};
use protocol::model::Kind;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A run as it is stored; REST shows [`Run::view`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// Its id.
    pub id: Uuid,
    /// The machine.
    pub machine: MachineId,
    /// What it does.
    pub mode: Mode,
    /// Where it is.
    pub status: ProvisionStatus,
    /// Its step, and how far that has come, as it was last stored.
    pub progress: Progress,
    /// What went wrong, in words; empty when nothing did.
    pub error: String,
    /// What to do about it, in words.
    pub next_action: String,
    /// Name of the Image; empty where none is written.
    pub image: String,
    /// The digest that its tag had when the run began; empty before.
    pub image_digest: String,
    /// Workflow that the machine goes through.
    pub workflow: String,
    /// How the machine gets into the installed system.
    pub reboot: Reboot,
    /// Whether the installed system has our agent, who tells of its first boot.
    pub agent: bool,
    /// Who asked for it.
    pub created_by: String,
    /// When.
    pub created_at: Timestamp,
    /// When the machine began.
    pub started_at: Option<Timestamp>,
    /// When it was over.
    pub ended_at: Option<Timestamp>,
    /// Its steps, in the order they were entered.
    pub steps: Vec<Passed>,
    /// When the server looks at it again: its step has taken too long, or its image may be ready. None
    /// while the machine is waited for, and after the end.
    pub due_at: Option<Timestamp>,
    /// The workflow has not begun: the image is being made ready.
    pub held: bool,
    /// A disk may have been written.
    pub touched: bool,
    /// How often the machine lost what it was doing and began again.
    pub restarts: u32,
    /// Digest of the settings that it installs, see [`settings`].
    pub settings: String,
    /// Where the machine was before.
    pub before: Way,
    /// The commit that last wrote it; kept beside the stored form.
    #[serde(skip)]
    pub revision: Revision,
}

/// What a run works with: large, written once, and beside the run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Goods {
    /// The image, resolved to digests. No secret is in it.
    pub image: ImageOrder,
    /// What becomes of each disk, as it was shown and confirmed.
    pub plan: DiskPlan,
}

/// A step that was entered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Passed {
    /// Which.
    pub step: Step,
    /// When it began.
    pub started_at: Timestamp,
    /// When it was over; none while it is under way.
    pub ended_at: Option<Timestamp>,
}

/// Where a machine is on its way through tasks and boot environments.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Way {
    /// Workflow, or empty.
    pub workflow: String,
    /// Stage.
    pub stage: String,
    /// Boot environment.
    pub boot_env: String,
    /// Context.
    pub context: String,
    /// Task list.
    pub tasks: Vec<String>,
    /// Place in it.
    pub current_task: i64,
    /// Whether it may run.
    pub runnable: bool,
    /// Why not.
    pub paused: Option<Pause>,
}

/// A locked machine goes nowhere.
fn locked(machine: &Machine) -> Problem {
    let message = format!("machine {} is locked; unlock it first", machine.name);
    Problem::new(ProblemKind::Locked, Kind::Machines, machine.id.to_string(), message)
}

impl Run {
    /// Whether something may still change it.
    pub const fn is_active(&self) -> bool {
        !self.status.is_terminal()
    }

    /// Its step.
    pub const fn step(&self) -> Step {
        self.progress.step
    }

    /// What the machine remembers of it.
    fn summary(&self, previous: Option<&LatestRun>) -> LatestRun {
        let known = previous.filter(|latest| latest.id == self.id);
        let installed = match (self.status.has_completed(), self.mode) {
            (false, _) => previous.map(|latest| latest.installed.clone()).unwrap_or_default(),
            (true, Mode::Rebuild) => self.settings.clone(),
            (true, Mode::Discover | Mode::Clear) => String::new(),
        };
        LatestRun {
            id: self.id,
            mode: self.mode,
            status: self.status,
            touched: self.touched,
            before: known.map_or_else(|| state(previous), |latest| latest.before),
            installed,
        }
    }

    /// The run as REST shows it.
    pub fn view(&self) -> Provision {
        let text = |at: Timestamp| at.to_string();
        Provision {
            uuid: self.id,
            machine: self.machine.0,
            mode: self.mode,
            status: self.status,
            is_terminal: self.status.is_terminal(),
            is_active: self.is_active(),
            percent: self.percent(),
            progress: self.progress.clone(),
            error: self.error.clone(),
            next_action: self.next_action.clone(),
            image: self.image.clone(),
            image_digest: self.image_digest.clone(),
            workflow: self.workflow.clone(),
            reboot: self.reboot,
            created_by: self.created_by.clone(),
            created_at: text(self.created_at),
            started_at: self.started_at.map(text),
            ended_at: self.ended_at.map(text),
            steps: self.steps.iter().map(Passed::view).collect(),
        }
    }

    /// How far it has come as a whole: most of an installation is writing.
    fn percent(&self) -> u8 {
        if self.status.has_completed() {
            return 100;
        }
        if self.status == ProvisionStatus::Pending || self.started_at.is_none() {
            return 0;
        }
        let (from, to) = match self.step() {
            Step::Prepare => (0_u8, 5_u8),
            Step::Survey => (5, 8),
            Step::Partition => (8, 12),
            Step::Write => (12, 80),
            Step::Configure => (80, 86),
            Step::Boot => (86, 90),
            Step::Restart => (90, 94),
            Step::FirstBoot => (94, 99),
        };
        let part = u16::from(to.saturating_sub(from)) * u16::from(self.progress.percent.min(100)) / 100;
        from.saturating_add(u8::try_from(part).unwrap_or(0))
    }
}

impl Passed {
    fn view(&self) -> StepTime {
        StepTime {
            step: self.step,
            started_at: self.started_at.to_string(),
            ended_at: self.ended_at.map(|at| at.to_string()),
        }
    }
}
