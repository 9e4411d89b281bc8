//! Runs on machines with jobs, as a server keeps them: the way of an installation, and what may happen on it.

mod ends;
mod properties;
mod steps;

use super::*;
use crate::change::Cause;
use crate::content::Content;
use crate::job::Job;
use crate::machine::Machine;
use crate::run::{self as jobs, MachineAfter, NextRequest, Outcome, Report};
use protocol::agent_api::Origin;
use protocol::ids::KeyThumbprint;
use protocol::install::{FirstBoot, Mode, Progress, ProvisionRequest, ProvisionStatus, Step};
use protocol::inventory::Inventory;
use protocol::model::JobState;
use protocol::rest::ProvisionState;
use std::time::Duration;

/// A machine in our image, its jobs, and its run.
pub(super) struct Site {
    pub(super) machine: Machine,
    pub(super) jobs: Vec<Job>,
    pub(super) run: Run,
    pub(super) content: Content,
    pub(super) now: Timestamp,
    boots: u32,
    numbers: u128,
}

impl Site {
    /// A machine in Discovery mode that a run was asked for.
    pub(super) fn asked(request: &ProvisionRequest) -> Self {
        Self::asked_with(request, true)
    }

    /// The same; whether its system gets our agent.
    pub(super) fn asked_with(request: &ProvisionRequest, agent: bool) -> Self {
        let mut site = Self::waiting();
        site.ask(request, agent);
        site
    }

    /// A machine in Discovery mode; its run is over before it begins.
    fn waiting() -> Self {
        let now = Timestamp::from_seconds(1_000_000);
        let mut machine = machine(now);
        machine.fields.boot_env = "muster".to_owned();
        let machine = machine.booted("boot-0", false, now).unwrap().0;
        let (request, cause) = (ProvisionRequest::default(), Cause::system(now));
        let asked = asked(&request, 0, true, &cause);
        let run = render_failed(&machine, &asked, &[]).run;
        Self { machine, jobs: Vec::new(), run, content: Content::built_in(), now, boots: 0, numbers: 0 }
    }

    /// One more run.
    pub(super) fn ask(&mut self, request: &ProvisionRequest, agent: bool) {
        self.numbers += 1;
        let cause = Cause { principal: "user:eve".to_owned(), ..Cause::system(self.now) };
        let asked = asked(request, self.numbers, agent, &cause);
        let begun = begin(&self.machine, &asked);
        self.keep(release(&begun.run, &begun.machine, "sha256:aa", &self.content, &cause).unwrap());
    }

    fn keep(&mut self, followed: Followed) {
        let Followed { run, machine, job } = followed;
        assert_eq!(
            machine.latest_run.as_ref().map(|latest| (latest.id, latest.status)),
            Some((run.id, run.status))
        );
        (self.run, self.machine) = (run, machine);
        if let Some(job) = job {
            self.keep_job(job);
        }
    }

    fn keep_job(&mut self, job: Job) {
        let known = self.jobs.iter_mut().find(|known| known.fields.uuid == job.fields.uuid);
        *known.unwrap() = job;
    }

    pub(super) fn job(&self) -> Option<Job> {
        self.jobs.iter().find(|job| job.fields.uuid.to_string() == self.machine.fields.current_job).cloned()
    }

    pub(super) fn state(&self) -> ProvisionState {
        self.machine.provision_state()
    }

    /// How the run is, and at which step.
    pub(super) fn is(&self) -> (ProvisionStatus, Step) {
        (self.run.status, self.run.step())
    }

    pub(super) fn hear(&mut self, news: News<'_>) {
        let followed = follow(&self.run, &self.machine, news, &self.content, self.now);
        self.keep(followed);
    }

    /// The machine boots: our image, or its disk.
    pub(super) fn boot(&mut self, installed: bool) {
        self.boots += 1;
        let planned = self.machine.left_at.is_some();
        let id = format!("boot-{}", self.boots);
        self.machine = self.machine.booted(&id, installed, self.now).unwrap().0;
        let job = self.job();
        self.hear(News::Booted { installed, planned, job: job.as_ref() });
    }

    /// It says goodbye.
    pub(super) fn leave(&mut self) {
        if let Some((left, _)) = self.machine.left(self.now) {
            self.machine = left;
            self.hear(News::Left);
        }
    }

    /// Its runner asks for a job; the task's name, where there is one.
    pub(super) fn next(&mut self) -> Option<String> {
        self.numbers += 1;
        let (current, cause) = (self.job(), Cause::system(self.now));
        let fresh = Uuid::from_u128(0xf000 + self.numbers);
        let request = NextRequest { context: "", chosen: None, fresh, cause: &cause };
        let step = jobs::next_job(&self.machine, current.as_ref(), &self.content, &request).ok()?;
        if let Some(before) = step.before {
            self.keep_job(before);
        }
        if let Some(made) = step.made {
            self.jobs.push(made.job);
        }
        if let MachineAfter::Saved(after) = step.machine {
            self.machine = *after;
            let job = self.job();
            self.hear(News::Walked { job: job.as_ref(), said: "" });
        }
        match step.outcome {
            Outcome::Created(job) | Outcome::Resumed(job) => Some(job.fields.task),
            Outcome::Nothing { .. } => None,
        }
    }

    /// Its runner tells of its job; whether that was taken.
    pub(super) fn tell(&mut self, state: JobState, said: &str) -> bool {
        let Some(job) = self.job() else { return false };
        let mut wanted = job.fields.clone();
        wanted.state = state;
        let cause = Cause::system(self.now);
        let report = Report { wanted, lease: Some(job.fields.epoch), cause: &cause };
        let Ok(reported) = jobs::report(&job, Some(&self.machine), &self.content, report) else {
            return false;
        };
        self.keep_job(reported.job);
        if let Some(machine) = reported.machine {
            self.machine = *machine;
            let job = self.job();
            self.hear(News::Walked { job: job.as_ref(), said });
        }
        true
    }

    /// Its runner does the next task to its end.
    pub(super) fn work(&mut self) -> String {
        for _ in 0..20 {
            if let Some(task) = self.next() {
                assert!(self.tell(JobState::Running, ""), "{task}");
                assert!(self.tell(JobState::Finished, ""), "{task}");
                return task;
            }
        }
        panic!("there is no job: {:?} {}", self.machine.fields, self.run.error);
    }

    /// Everything that runs in our image, up to the restart.
    pub(super) fn install(&mut self) {
        for task in ["prepare", "survey", "partition", "write", "configure", "boot"] {
            assert_eq!(self.work(), format!("muster-install-{task}"));
        }
        assert_eq!(self.next(), None, "it restarts first");
        assert_eq!(self.next(), None);
        assert_eq!(self.is(), (ProvisionStatus::Booting, Step::Restart));
    }

    pub(super) fn pass(&mut self, seconds: u64) {
        self.now = self.now.plus(Duration::from_secs(seconds));
        let job = self.job();
        if let Some(over) = overdue(&self.run, &self.machine, job.as_ref(), self.now) {
            self.keep(over);
        }
    }

    pub(super) fn report(&mut self, step: Step) {
        if self.run.is_active() {
            let told = Progress { step, percent: 50, ..Progress::default() };
            self.keep(reported(&self.run, &self.machine, &told, &self.content, self.now));
        }
    }

    pub(super) fn first_boot(&mut self, told: &FirstBoot) {
        self.keep(first_boot(&self.run, &self.machine, told, self.now).unwrap());
    }

    pub(super) fn cancel(&mut self) {
        let (job, cause) = (self.job(), Cause::system(self.now));
        self.keep(cancel(&self.run, &self.machine, job.as_ref(), &cause).unwrap());
    }
}

pub(super) fn machine(at: Timestamp) -> Machine {
    let id = MachineId(Uuid::from_u128(0xa));
    let (name, key) = ("m1".parse().unwrap(), KeyThumbprint([1; 32]));
    Machine::register(id, name, key, Origin::Iso, Inventory::default(), "user:admin", at)
}

pub(super) fn asked<'a>(
    request: &'a ProvisionRequest,
    number: u128,
    agent: bool,
    cause: &'a Cause,
) -> Asked<'a> {
    let (image, settings) = ("debian".to_owned(), "digest".to_owned());
    Asked { id: Uuid::from_u128(0xbeef + (number << 32)), request, image, agent, settings, cause }
}

pub(super) fn rebuild() -> ProvisionRequest {
    ProvisionRequest::default()
}

pub(super) fn discover() -> ProvisionRequest {
    ProvisionRequest { mode: Mode::Discover, ..ProvisionRequest::default() }
}

pub(super) fn fine() -> FirstBoot {
    FirstBoot { os: "debian-12".to_owned(), cloud_init: "done".to_owned(), errors: Vec::new() }
}
