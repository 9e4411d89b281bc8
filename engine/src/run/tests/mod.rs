//! The walk and the reports, line by line of `spec/machine-model.md` 4, and what was recorded (its section 10).

mod golden;
mod reports;
mod trouble;
mod walk;

use super::*;
use crate::change::{Change, Changes, Revision};
use crate::content::Content;
use crate::machine::Name;
use protocol::agent_api::Origin;
use protocol::ids::{KeyThumbprint, MachineId};
use protocol::inventory::Inventory;
use protocol::model::{self, BootEnv, JobState, Stage, Task, Workflow};
use serde_json::{Value, json};
use uuid::Uuid;

/// A machine with this task list, none of which has run.
pub(super) fn machine(tasks: &[&str]) -> Machine {
    let name: Name = "m1".parse().unwrap();
    let id = MachineId(Uuid::from_u128(0xa));
    let at = Timestamp::from_seconds(1);
    let mut machine = Machine::register(
        id,
        name,
        KeyThumbprint([1; 32]),
        Origin::Iso,
        Inventory::default(),
        "user:admin",
        at,
    );
    machine.fields.tasks = tasks.iter().map(|&task| task.to_owned()).collect();
    machine.fields.current_task = -1;
    machine.fields.workflow_complete = false;
    machine
}

/// Stages without tasks, boot environments, tasks.
pub(super) fn content(stages: &[(&str, &str)], bootenvs: &[&str], tasks: &[&str]) -> Content {
    let mut content = Content::default();
    for (name, bootenv) in stages {
        content.stages.put(Stage { name: (*name).into(), boot_env: (*bootenv).into(), ..Stage::default() });
    }
    for name in bootenvs {
        content.bootenvs.put(BootEnv { name: (*name).into(), ..BootEnv::default() });
    }
    for name in tasks {
        content.tasks.put(Task { name: (*name).into(), ..Task::default() });
    }
    content
}

/// One machine with its jobs, as a server keeps them.
pub(super) struct Site {
    pub(super) machine: Machine,
    pub(super) jobs: Vec<Job>,
    pub(super) content: Content,
    pub(super) now: Timestamp,
    pub(super) deleted: bool,
    count: u128,
}

/// A job in short: task, state, index, next index.
pub(super) type Short<'a> = (&'a str, JobState, i64, i64);

impl Site {
    pub(super) fn new(machine: Machine, content: Content) -> Self {
        Self {
            machine,
            jobs: Vec::new(),
            content,
            now: Timestamp::from_seconds(100),
            deleted: false,
            count: 0,
        }
    }

    /// A machine that has a workflow's list with these stages and environments known.
    pub(super) fn of(tasks: &[&str]) -> Self {
        let content = content(
            &[("none", ""), ("s1", ""), ("s2", "")],
            &["local", "e1", "e2"],
            &["t1", "t2", "t3", "t4", "fix"],
        );
        Self::new(machine(tasks), content)
    }

    pub(super) fn cause(&self) -> Cause {
        Cause { principal: "user:admin".into(), source: None, request_id: String::new(), at: self.now }
    }

    pub(super) fn param(&mut self, name: &str, value: Value) {
        self.machine.fields.params.insert(name.into(), value);
    }

    pub(super) fn current(&self) -> Option<&Job> {
        let id = &self.machine.fields.current_job;
        self.jobs.iter().find(|job| job.fields.uuid.to_string() == *id)
    }

    /// `POST /jobs`.
    pub(super) fn post(&mut self) -> Result<Outcome, Problem> {
        let context = self.machine.fields.context.clone();
        self.post_in(&context, None)
    }

    pub(super) fn post_in(&mut self, context: &str, chosen: Option<Uuid>) -> Result<Outcome, Problem> {
        self.count += 1;
        let cause = self.cause();
        let fresh = Uuid::from_u128(0x100 + self.count);
        let request = NextRequest { context, chosen, fresh, cause: &cause };
        let step = next_job(&self.machine, self.current(), &self.content, &request)?;
        let changes = step.changes(&self.machine, &self.content, &cause);
        self.store(&changes);
        Ok(step.outcome)
    }

    /// The task of the new job that a call hands out.
    pub(super) fn next(&mut self) -> model::Job {
        let outcome = self.post().unwrap();
        let Outcome::Created(job) = outcome else { panic!("{outcome:?}") };
        job.fields
    }

    /// Calls until no job comes at once, and ends each well.
    pub(super) fn run(&mut self) -> Vec<String> {
        let mut ran = Vec::new();
        for _ in 0..50 {
            match self.post() {
                Ok(Outcome::Created(job)) => {
                    ran.push(job.fields.task);
                    self.tell("running").unwrap();
                    self.tell("finished").unwrap();
                }
                Ok(Outcome::Resumed(_)) => self.tell("running").unwrap(),
                Ok(Outcome::Nothing { .. }) if self.is_through() => return ran,
                Ok(Outcome::Nothing { again_in: None }) => {}
                Ok(Outcome::Nothing { again_in: Some(wait) }) => self.now = self.now.plus(wait),
                Err(_) => return ran,
            }
        }
        panic!("it never ends: {ran:?}");
    }

    pub(super) fn is_through(&self) -> bool {
        self.deleted || self.machine.fields.workflow_complete
    }

    /// `PATCH /jobs/{current}` with a state.
    pub(super) fn tell(&mut self, state: &str) -> Result<(), Problem> {
        self.tell_of(None, json!({ "State": state }), None)
    }

    pub(super) fn tell_of(
        &mut self,
        job: Option<Uuid>,
        fields: Value,
        lease: Option<i64>,
    ) -> Result<(), Problem> {
        let id = job.unwrap_or_else(|| self.current().unwrap().fields.uuid);
        let job = self.jobs.iter().find(|job| job.fields.uuid == id).unwrap();
        let mut body = serde_json::to_value(&job.fields).unwrap();
        for (name, value) in fields.as_object().unwrap() {
            body[name] = value.clone();
        }
        let cause = self.cause();
        let told = Report { wanted: wanted(job, body)?, lease, cause: &cause };
        let reported = report(job, Some(&self.machine), &self.content, told)?;
        self.store(&reported.changes(&self.content, &cause));
        Ok(())
    }

    fn store(&mut self, changes: &Changes) {
        for change in &changes.list {
            #[expect(clippy::wildcard_enum_match_arm, reason = "whatever else comes is a failure")]
            match change {
                Change::UpdateMachine(machine) => self.machine = (**machine).clone(),
                Change::DeleteMachine { .. } => self.deleted = true,
                Change::InsertJob(job) => self.jobs.push((**job).clone()),
                Change::UpdateJob(job) => {
                    let known = self.jobs.iter_mut().find(|known| known.fields.uuid == job.fields.uuid);
                    *known.unwrap() = (**job).clone();
                }
                Change::AppendLog { at: Some(0), .. } | Change::Audit(_) => {}
                other => panic!("{other:?}"),
            }
        }
        let newest = self.jobs.iter().filter(|job| job.fields.current).count();
        assert!(newest <= 1, "Current is the newest job's alone");
    }

    /// The newest job in short.
    pub(super) fn newest(&self) -> Short<'_> {
        let job = &self.jobs.last().unwrap().fields;
        (&job.task, job.state, job.current_index, job.next_index)
    }
}
