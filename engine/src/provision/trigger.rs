//! Whether a run may begin, and what it makes of the machine.

use super::builtin::{DISCOVER, INSTALL};
use super::params::RUN;
use super::{Followed, LatestRun, Run, locked};
use crate::change::{Cause, Revision};
use crate::content::Content;
use crate::machine::{Machine, invalid};
use crate::problem::{Problem, ProblemKind};
use protocol::install::{DiskPlan, Mode, Progress, ProvisionRequest, ProvisionStatus};
use protocol::model::Kind;
use serde_json::Value;
use uuid::Uuid;

/// Most that is kept of what cannot be rendered, in bytes: one sentence for each that is wrong.
const MAX_ERRORS: usize = 4_096;

/// What is asked for, and what was found out for it.
#[derive(Debug, Clone)]
pub struct Asked<'a> {
    /// The run's id: random.
    pub id: Uuid,
    /// The request.
    pub request: &'a ProvisionRequest,
    /// Name of the Image; empty where none is written.
    pub image: String,
    /// Whether the installed system gets our agent.
    pub agent: bool,
    /// Digest of the settings that are installed, see [`super::settings`].
    pub settings: String,
    /// Who and when.
    pub cause: &'a Cause,
}

/// Refuses what no run may do with this machine now.
///
/// # Errors
/// Locked; a conflict while a run is active; invalid on a machine that is write-protected.
pub fn may_begin(machine: &Machine, mode: Mode, write_protected: bool) -> Result<(), Problem> {
    let name = &machine.name;
    let no = |kind, message: String| Err(Problem::new(kind, Kind::Machines, machine.id.to_string(), message));
    if machine.fields.locked {
        return Err(locked(machine));
    }
    if let Some(active) = machine.latest_run.as_ref().filter(|latest| !latest.status.is_terminal()) {
        let LatestRun { id, status, .. } = active;
        let message =
            format!("machine {name} is in provision run {id}, which is {status}; cancel that first");
        return no(ProblemKind::Conflict, message);
    }
    match mode {
        Mode::Rebuild if write_protected => no(
            ProblemKind::Invalid,
            format!(
                "machine {name} is write-protected, since it came with a system of its own; set its param \
                 muster/write-protected to false if its disks may be erased"
            ),
        ),
        Mode::Rebuild | Mode::Discover | Mode::Clear => Ok(()),
    }
}

/// Refuses a plan that is none, and one that erases what somebody may want, unless they typed the
/// machine's name.
///
/// # Errors
/// Invalid, in the plan's words.
pub fn confirmed(machine: &Machine, plan: &DiskPlan, confirm: &str) -> Result<(), Problem> {
    let no = |messages| Err(invalid(&machine.id.to_string(), messages));
    if !plan.error.is_empty() {
        return no(vec![plan.error.clone()]);
    }
    if plan.erased().next().is_none() {
        return no(vec!["the plan erases no disk: there is nothing to install to".to_owned()]);
    }
    if !plan.loses_something() || confirm == machine.name.as_str() {
        return Ok(());
    }
    let mut told = plan.losses();
    told.push(format!("set Confirm to {} to erase this", machine.name));
    no(told)
}

/// A run that has not begun: its image is being made ready.
fn held(machine: &Machine, asked: &Asked<'_>) -> Run {
    let usual = match asked.request.mode {
        Mode::Rebuild | Mode::Clear => INSTALL,
        Mode::Discover => DISCOVER,
    };
    let workflow = Some(asked.request.workflow.as_str()).filter(|name| !name.is_empty()).unwrap_or(usual);
    Run {
        id: asked.id,
        machine: machine.id,
        mode: asked.request.mode,
        status: ProvisionStatus::Pending,
        progress: Progress::default(),
        error: String::new(),
        next_action: String::new(),
        image: asked.image.clone(),
        image_digest: String::new(),
        workflow: workflow.to_owned(),
        reboot: asked.request.reboot,
        agent: asked.agent,
        created_by: asked.cause.user().unwrap_or_default().to_owned(),
        created_at: asked.cause.at,
        started_at: None,
        ended_at: None,
        steps: Vec::new(),
        due_at: Some(asked.cause.at),
        held: true,
        touched: false,
        restarts: 0,
        settings: asked.settings.clone(),
        before: machine.way(),
        revision: Revision::default(),
    }
}

/// The run as it is asked for. It is held until [`release`]: the machine goes nowhere yet.
pub fn begin(machine: &Machine, asked: &Asked<'_>) -> Followed {
    let run = held(machine, asked);
    let mut machine = machine.clone();
    machine.latest_run = Some(run.summary(machine.latest_run.as_ref()));
    Followed { run, machine, job: None }
}

/// The run of a machine whose documents cannot be rendered: it ends before it begins.
pub fn render_failed(machine: &Machine, asked: &Asked<'_>, errors: &[String]) -> Followed {
    let mut followed = begin(machine, asked);
    let run = &mut followed.run;
    run.status = ProvisionStatus::RenderFailed;
    (run.held, run.due_at) = (false, None);
    run.ended_at = Some(asked.cause.at);
    run.error = errors.join("; ");
    run.error.truncate(run.error.floor_char_boundary(MAX_ERRORS));
    "put the template, secret or variable right, look at the machine's cloud-init preview, and provision it again"
        .clone_into(&mut run.next_action);
    followed.machine.latest_run = Some(run.summary(machine.latest_run.as_ref()));
    followed
}

/// The image is ready: the machine begins the run's workflow. `digest` is the image's, empty for none.
///
/// # Errors
/// Everything that speaks against the workflow.
pub fn release(
    run: &Run,
    machine: &Machine,
    digest: &str,
    content: &Content,
    cause: &Cause,
) -> Result<Followed, Problem> {
    let (mut run, mut after) = (run.clone(), machine.clone());
    run.before = machine.way();
    after.fields.params.insert(RUN.to_owned(), Value::String(run.id.to_string()));
    after.let_go();
    after
        .begin_workflow(&run.workflow, content)
        .map_err(|messages| invalid(&machine.id.to_string(), messages))?;
    after.boot_asked_at = Some(cause.at);
    after.sign(cause);
    (run.held, run.due_at) = (false, None);
    digest.clone_into(&mut run.image_digest);
    run.progress.message = "waits for the machine".to_owned();
    after.latest_run = Some(run.summary(after.latest_run.as_ref()));
    Ok(Followed { run, machine: after, job: None })
}
