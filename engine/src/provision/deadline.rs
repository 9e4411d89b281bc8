//! How long each step of a run may take.

use super::end::{Ending, Over};
use super::params::{self, MAX_STEP_SECONDS, STEP_DEADLINES};
use super::{Followed, Run};
use crate::content::Content;
use crate::job::Job;
use crate::machine::Machine;
use crate::time::Timestamp;
use protocol::install::Step;
use serde_json::Value;
use std::time::Duration;

/// How long a step of a run of this machine may take.
pub fn step_deadline(content: &Content, machine: &Machine, step: Step) -> Duration {
    let usual = match step {
        // A ramdisk with everything that a root on volumes or ciphers needs is minutes of an old processor.
        Step::Prepare | Step::Boot => 900,
        Step::Survey => 120,
        Step::Partition | Step::Configure => 300,
        Step::Write => 3_600,
        Step::Restart | Step::FirstBoot => 1_200,
    };
    let said = params::value(content, machine, STEP_DEADLINES);
    let said = said.as_ref().and_then(|steps| steps.get(step.word())).and_then(Value::as_u64);
    Duration::from_secs(said.filter(|seconds| (1..=MAX_STEP_SECONDS).contains(seconds)).unwrap_or(usual))
}

/// The run whose step has taken too long; none while there is time. `job` is the machine's current one.
pub fn overdue(run: &Run, machine: &Machine, job: Option<&Job>, at: Timestamp) -> Option<Followed> {
    run.due_at.filter(|due| run.is_active() && !run.held && *due <= at)?;
    let (waited, next) = match run.step() {
        Step::Prepare => (
            "for the machine to come into Muster's image",
            "look at the machine's console: it must boot Muster's image, from its medium or the network; where the \
             installed system is about to start, press m",
        ),
        Step::Survey => ("for the survey of its disks", "look at the log of its last job"),
        Step::Partition => ("for its disks to be partitioned", "look at the log of its last job"),
        Step::Write => (
            "for the image to be written",
            "look at the log of its last job; give the step more seconds with the param muster/step-deadlines",
        ),
        Step::Configure => ("for the system to be configured", "look at the log of its last job"),
        Step::Boot => (
            "for the boot entry to be written",
            "look at the log of its last job; give the step more seconds with the param muster/step-deadlines",
        ),
        Step::Restart => (
            "for the machine to leave Muster's image and boot its disk",
            "look at the machine's console and its firmware's boot order",
        ),
        Step::FirstBoot => (
            "for the installed system to report its first boot",
            "look at the machine's console; is the server reachable from the installed system? To install it again, \
             ask for a run, restart the machine from Muster's medium or the network, and press m",
        ),
    };
    let entered = run.steps.last().map_or(run.created_at, |passed| passed.started_at);
    let seconds = at.since(entered).as_secs();
    let error = format!("step {}: waited {seconds} s {waited}", run.step());
    Some(Over::of(run, machine, at).aborting(job).end(Ending::Timeout, error, next))
}
