//! What news of a machine and its jobs mean for its run. Idempotent: the same news twice say nothing new.

use super::builtin::STEP_LABEL;
use super::deadline::step_deadline;
use super::end::{Ending, Over, close};
use super::{Passed, Run};
use crate::bootenv::{LOCAL, MUSTER};
use crate::change::Cause;
use crate::content::Content;
use crate::job::Job;
use crate::machine::{Machine, Pause};
use crate::time::Timestamp;
use crate::workflow;
use crate::{run as jobs, run::Marks};
use protocol::install::{FirstBoot, Mode, Progress, ProvisionStatus, Step};
use protocol::model::JobState;
use std::time::Duration;

/// How often a machine may lose what it was doing before its run ends.
pub const MAX_RESTARTS: u32 = 5;
/// Longest message of a step, in bytes.
const MAX_MESSAGE: usize = 256;
/// Most sentences of a first boot that are kept, and the longest, in bytes.
const MAX_ERRORS: usize = 16;
const MAX_ERROR: usize = 512;
/// Longest name of an operating system, in bytes.
const MAX_OS: usize = 64;

/// What becomes of a run and what it is about.
#[derive(Debug, Clone, PartialEq)]
pub struct Followed {
    /// The run.
    pub run: Run,
    /// Its machine.
    pub machine: Machine,
    /// The machine's job, where it ends with the run or begins anew.
    pub job: Option<Job>,
}

/// What is new.
#[derive(Debug, Clone, Copy)]
pub enum News<'a> {
    /// The machine or its current job changed.
    Walked {
        /// The machine's current job.
        job: Option<&'a Job>,
        /// The last line of the job's log that begins with `error:`, without that; or empty.
        said: &'a str,
    },
    /// The machine has booted.
    Booted {
        /// A system on its disk, not our image.
        installed: bool,
        /// It had said goodbye before.
        planned: bool,
        /// The machine's current job.
        job: Option<&'a Job>,
    },
    /// The machine said goodbye before a restart.
    Left,
}

/// Follows the news. `machine` is as it is after them.
pub fn follow(run: &Run, machine: &Machine, news: News<'_>, content: &Content, at: Timestamp) -> Followed {
    let unchanged = || Followed { run: run.clone(), machine: machine.clone(), job: None };
    if !run.is_active() || run.held {
        return unchanged();
    }
    if machine.fields.workflow != run.workflow {
        let now = &machine.fields.workflow;
        let now = if now.is_empty() { "none" } else { now };
        let mut over = Over::of(run, machine, at);
        over.run.progress.message = format!("the machine's workflow was changed to {now}");
        return over.end(Ending::Canceled, "", "provision the machine again when it is to be installed");
    }
    let mut next = Next { run: run.clone(), machine: machine.clone(), job: None, content, at };
    let ended = match news {
        News::Left => next.left(),
        News::Booted { installed: true, .. } => next.booted_disk(),
        News::Booted { installed: false, planned, job } => next.booted_image(planned, job),
        News::Walked { job, said } => next.walked(job, said),
    };
    ended.unwrap_or_else(|| next.done())
}

/// A run on its way.
struct Next<'a> {
    run: Run,
    machine: Machine,
    job: Option<Job>,
    content: &'a Content,
    at: Timestamp,
}

impl Next<'_> {
    fn done(mut self) -> Followed {
        self.machine.latest_run = Some(self.run.summary(self.machine.latest_run.as_ref()));
        Followed { run: self.run, machine: self.machine, job: self.job }
    }

    fn end(&self, ending: Ending, error: impl Into<String>, next: &str) -> Followed {
        Over::of(&self.run, &self.machine, self.at).end(ending, error, next)
    }

    /// The machine has begun.
    fn start(&mut self) {
        if self.run.started_at.is_none() {
            self.run.started_at = Some(self.at);
            self.enter(Step::Prepare);
        }
    }

    fn enter(&mut self, step: Step) {
        let run = &mut self.run;
        close(&mut run.steps, self.at);
        run.steps.push(Passed { step, started_at: self.at, ended_at: None });
        run.progress = Progress { step, message: begins(step).to_owned(), ..Progress::default() };
        run.status = status(step);
        run.touched |= step >= Step::Partition;
        run.due_at = Some(self.at.plus(step_deadline(self.content, &self.machine, step)));
    }

    /// To a later step; an earlier one is over. Only an installation has steps.
    fn reach(&mut self, step: Step) {
        self.start();
        if self.run.mode == Mode::Rebuild && step > self.run.step() {
            self.enter(step);
        }
    }

    fn left(&mut self) -> Option<Followed> {
        self.start();
        let installs = self.run.mode == Mode::Rebuild && self.run.step() == Step::Restart;
        if !installs || self.run.agent {
            return None;
        }
        self.machine.is_over();
        let mut over = self.end(Ending::Completed, "", "look whether the system came up: nobody tells us");
        over.run.progress.message =
            "the machine restarts into its system, which has no agent to report its first boot".to_owned();
        Some(over)
    }

    /// A system on its disk runs.
    fn booted_disk(&mut self) -> Option<Followed> {
        self.start();
        if self.run.step() >= Step::Restart {
            self.reach(Step::FirstBoot);
        } else {
            self.run.progress.message =
                "the machine booted its disk; it is sent to Muster's image once more".to_owned();
        }
        None
    }

    /// Our image runs.
    fn booted_image(&mut self, planned: bool, job: Option<&Job>) -> Option<Followed> {
        self.start();
        if self.run.mode == Mode::Rebuild && self.run.step() >= Step::Restart {
            self.machine.is_in_image();
            return Some(self.end(
                Ending::Error,
                "the machine came back to our image instead of its disk",
                "look at the machine's console while it boots, and at its firmware's boot order and Secure Boot; \
                 then provision it again",
            ));
        }
        // What was not begun, or was to go on after the restart, lost nothing.
        let job = job.filter(|_| self.machine.fields.current_task >= 0)?;
        if planned || !matches!(job.fields.state, JobState::Created | JobState::Running) {
            return None;
        }
        self.run.restarts = self.run.restarts.saturating_add(1);
        if self.run.restarts > MAX_RESTARTS {
            let over = Over::of(&self.run, &self.machine, self.at).aborting(Some(job));
            return Some(over.end(
                Ending::Error,
                format!("the machine restarted {} times while it was installed", self.run.restarts),
                "look at its power supply and console; then provision it again",
            ));
        }
        let reason = "the machine restarted while the job ran; its stage begins anew";
        self.job = Some(jobs::abort(job, &mut self.machine, reason, &Cause::system(self.at)));
        self.machine.begins_stage_anew();
        self.enter(Step::Prepare);
        self.run.progress.message = "the machine restarted; its stage begins anew".to_owned();
        None
    }

    /// Its walk through the task list went on.
    fn walked(&mut self, job: Option<&Job>, said: &str) -> Option<Followed> {
        // Before the first entry, the current job is that of another list.
        let job = job.filter(|_| self.machine.fields.current_task >= 0);
        if let Some(job) = job {
            self.start();
            match job.fields.state {
                JobState::Created | JobState::Running => self.reach(self.step_of(job)),
                JobState::Failed if self.machine.paused == Some(Pause::Failed) => {
                    return Some(self.failed(job, said));
                }
                JobState::Failed | JobState::Incomplete | JobState::Finished => {}
            }
        }
        if self.machine.is_through() {
            return Some(self.through());
        }
        let rebuilds = self.run.mode == Mode::Rebuild && self.run.started_at.is_some();
        if rebuilds && self.machine.fields.boot_env == LOCAL && self.machine.booted_env() != LOCAL {
            self.reach(Step::Restart);
        }
        None
    }

    /// The step that a job's task is, by its label; the one that the run is in without.
    fn step_of(&self, job: &Job) -> Step {
        let label =
            self.content.tasks.get(&job.fields.task).and_then(|task| task.envelope.meta.get(STEP_LABEL));
        let named = |label: &String| Step::ALL.into_iter().find(|step| step.word() == label);
        label.and_then(named).unwrap_or_else(|| self.run.step())
    }

    fn failed(&self, job: &Job, said: &str) -> Followed {
        let reason = if said.is_empty() {
            job.fields.result_errors.last().map_or("it said nothing about it", String::as_str)
        } else {
            said
        };
        let step = self.step_of(job);
        let next = if step < Step::Partition {
            "nothing was written; put it right and provision the machine again"
        } else {
            "the log of the job says more; put it right and provision the machine again"
        };
        self.end(Ending::Error, format!("step {step}: {reason}"), next)
    }

    /// Nothing is left of its workflow.
    fn through(&mut self) -> Followed {
        self.start();
        match self.run.mode {
            Mode::Discover | Mode::Clear => {
                let mut over = self.end(Ending::Completed, "", "");
                over.run.progress.message = "the machine is in Discovery mode".to_owned();
                over
            }
            Mode::Rebuild => self.end(
                Ending::Error,
                "the workflow ended and nobody reported the first boot of the installed system",
                "let the workflow's last stage boot `local` and run muster-install-first-boot",
            ),
        }
    }
}

/// What the installer tells while it works. Of a step that is over it says nothing new.
pub fn reported(run: &Run, machine: &Machine, told: &Progress, content: &Content, at: Timestamp) -> Followed {
    let mut next = Next { run: run.clone(), machine: machine.clone(), job: None, content, at };
    next.reach(told.step);
    if told.step == next.run.step() {
        let mut message = told.message.clone();
        message.truncate(message.floor_char_boundary(MAX_MESSAGE));
        next.run.progress = Progress { percent: told.percent.min(100), message, ..told.clone() };
    }
    next.done()
}

/// The run's job was given a permit: what was on the disk may be gone from now on.
pub fn touched(run: &Run, machine: &Machine) -> Followed {
    let mut followed = Followed { run: run.clone(), machine: machine.clone(), job: None };
    followed.run.touched = true;
    followed.machine.latest_run = Some(followed.run.summary(machine.latest_run.as_ref()));
    followed
}

/// How often the server looks whether a run's image is ready.
const LOOKS_AGAIN: Duration = Duration::from_secs(2);

/// Why a run is held.
pub fn held_back(run: &Run, percent: u8, message: &str, at: Timestamp) -> Run {
    let mut run = run.clone();
    run.due_at = Some(at.plus(LOOKS_AGAIN));
    run.progress.percent = percent.min(100);
    run.progress.message = message.to_owned();
    run
}

/// The installed system reports its first boot. None when the machine did not boot its disk for this run.
pub fn first_boot(run: &Run, machine: &Machine, told: &FirstBoot, at: Timestamp) -> Option<Followed> {
    if run.mode != Mode::Rebuild || run.step() != Step::FirstBoot || machine.booted_env() != LOCAL {
        return None;
    }
    let mut over = Over::of(run, machine, at);
    let os: String = told.os.chars().filter(|c| c.is_ascii_alphanumeric() || "-._".contains(*c)).collect();
    if !os.is_empty() {
        over.machine.fields.os = os.chars().take(MAX_OS).collect();
    }
    let fine = matches!(told.cloud_init.as_str(), "done" | "none") && told.errors.is_empty();
    if fine {
        over.run.progress.message = "the installed system runs".to_owned();
        return Some(over.end(Ending::Completed, "", ""));
    }
    let said: Vec<&str> = told.errors.iter().take(MAX_ERRORS).map(|error| shortened(error)).collect();
    let said = if said.is_empty() { format!("its result is {:?}", told.cloud_init) } else { said.join("; ") };
    Some(over.end(
        Ending::Degraded,
        format!("cloud-init: {said}"),
        "the system runs; look at its /var/log/cloud-init.log, put the configuration right and provision it again",
    ))
}

fn shortened(error: &str) -> &str {
    error.get(..error.floor_char_boundary(MAX_ERROR)).unwrap_or(error)
}

const fn status(step: Step) -> ProvisionStatus {
    match step {
        Step::Prepare | Step::Survey => ProvisionStatus::Preparing,
        Step::Partition => ProvisionStatus::Partitioning,
        Step::Write => ProvisionStatus::Downloading,
        Step::Configure | Step::Boot => ProvisionStatus::Configuring,
        Step::Restart | Step::FirstBoot => ProvisionStatus::Booting,
    }
}

/// What a step begins with, in words.
const fn begins(step: Step) -> &'static str {
    match step {
        Step::Prepare => "the machine comes into Muster's image",
        Step::Survey => "looks at the disks",
        Step::Partition => "makes partitions and file systems",
        Step::Write => "downloads and writes the image",
        Step::Configure => "puts the configuration in place",
        Step::Boot => "makes the disk bootable",
        Step::Restart => "the machine restarts into its disk",
        Step::FirstBoot => "the installed system runs; cloud-init is at work",
    }
}

impl Machine {
    /// Its task list counts as through.
    fn is_over(&mut self) {
        self.fields.current_task = i64::try_from(self.fields.tasks.len()).unwrap_or(i64::MAX);
        self.settle();
    }

    /// It runs our image and stays there, whatever it was to boot.
    fn is_in_image(&mut self) {
        MUSTER.clone_into(&mut self.fields.boot_env);
        MUSTER.clone_into(&mut self.booted_env);
    }

    /// The stage that it is in begins anew, in the boot environment that it has.
    fn begins_stage_anew(&mut self) {
        let index = usize::try_from(self.fields.current_task).unwrap_or(0);
        let start = workflow::restart(&self.fields.tasks, index, &self.fields.boot_env).unwrap_or(0);
        self.fields.current_task = i64::try_from(start).unwrap_or(0);
        self.fields.retry_task_attempt = 0;
        self.fields.task_error_stacks.clear();
        self.marks = Marks { again: true, ..Marks::default() };
    }
}
