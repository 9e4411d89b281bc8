//! What a runner does next: pure. What it saw goes in, one order comes out.
//!
//! ```text
//! LOOK -> a job nobody runs -> RELEASE ---+
//!  ^ |--> another boot environment -> REBOOT
//!  | |--> nothing to do -> WAIT, or END  |
//!  | +--> ASK -> RUN -> its wish, or LOOK
//!  +-------------------------------------+
//! ```

use super::outcome::Wish;
use super::wire::{Job, Machine};
use protocol::model::JobState;
use std::time::Duration;

/// Bounds of a pause that the server asks for: it is looked whether things have changed then.
const SHORTEST_SLEEP: Duration = Duration::from_secs(1);
const LONGEST_SLEEP: Duration = Duration::from_secs(60);
/// How often a job may have been handed out before an interrupted one is given up: a task that
/// takes the machine down would do so for ever.
const MOST_RUNS: i64 = 5;
/// Boot environments with this ending belong to an installer, which reboots by itself.
const INSTALLER: &str = "-install";

/// How the runner ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// There is nothing to do.
    Idle,
    /// A task asked that the runner stops.
    Stop,
    /// The machine is to be switched off.
    PowerOff,
    /// The machine is to restart.
    Reboot,
    /// The server does not take the token.
    Refused,
}

impl From<Wish> for Ending {
    fn from(wish: Wish) -> Self {
        match wish {
            Wish::Stop => Self::Stop,
            Wish::PowerOff => Self::PowerOff,
            Wish::Reboot => Self::Reboot,
        }
    }
}

/// What the runner is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Order {
    /// Read the machine.
    Look,
    /// Read the machine once it has changed.
    Wait,
    /// Read the machine's newest job.
    LookAtJob(String),
    /// A job was interrupted: let it begin again, or fail.
    Release {
        /// The job.
        job: Job,
        /// Its state from now on.
        into: JobState,
    },
    /// Ask for a job.
    Ask,
    /// Let some time pass: the server said when there will be a job.
    Sleep(Duration),
    /// Run a job that was handed out, and report its end.
    Run {
        /// The job.
        job: Job,
        /// The machine as it was before.
        machine: Machine,
    },
    /// End for a reboot into another boot environment.
    Reboot {
        /// Its name.
        boot_env: String,
        /// The machine has to be made not runnable before.
        pause: bool,
    },
    /// End.
    End(Ending),
}

/// What the runner saw when it did that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Seen {
    /// The machine.
    Machine(Machine),
    /// It waited, and nothing changed.
    Same,
    /// A job; none when it is gone.
    Job(Option<Job>),
    /// The interrupted job has its new state, or another one.
    Released,
    /// A job was handed out.
    Granted(Job),
    /// The server has none, or it only moved the machine on; perhaps there is one in so many
    /// seconds.
    Nothing {
        /// Those seconds.
        again_in: Option<u64>,
    },
    /// That time has passed.
    Rested,
    /// The job ended, and what its script wishes.
    Reported(Option<Wish>),
    /// Somebody else has the job.
    Lost,
    /// The server does not take the token, or there is no such machine.
    Refused,
}

/// The course of one runner.
#[derive(Debug, Clone)]
pub(crate) struct Course {
    context: String,
    /// The boot environment that was booted; none where boots are nobody's business.
    booted_env: Option<String>,
    /// Waits for work instead of ending.
    is_patient: bool,
    /// A job that another runner took from one before this one, which must not take it back.
    lost: Option<String>,
    /// What was there when it began has been looked at.
    has_begun: bool,
    /// The machine as last seen, and as it was when a job was asked for in vain.
    machine: Machine,
    fruitless: Option<Machine>,
}

impl Course {
    /// A runner of one context. It begins with [`Order::Look`].
    pub(crate) fn new(context: &str, booted_env: Option<&str>, is_patient: bool) -> Self {
        Self {
            context: context.to_owned(),
            booted_env: booted_env.filter(|_| context.is_empty()).map(str::to_owned),
            is_patient,
            lost: None,
            has_begun: false,
            machine: Machine::default(),
            fruitless: None,
        }
    }

    /// The same, after a runner that lost this job to another one.
    pub(crate) fn after_losing(self, job: Option<String>) -> Self {
        Self { lost: job, ..self }
    }

    /// What to do after this was seen.
    pub(crate) fn next(&mut self, seen: Seen) -> Order {
        match seen {
            Seen::Machine(machine) => self.see(machine),
            Seen::Same => Order::Wait,
            Seen::Job(job) => self.see_job(job),
            Seen::Granted(job) => {
                self.fruitless = None;
                Order::Run { job, machine: self.machine.clone() }
            }
            Seen::Nothing { again_in: Some(seconds) } => {
                Order::Sleep(Duration::from_secs(seconds).clamp(SHORTEST_SLEEP, LONGEST_SLEEP))
            }
            Seen::Nothing { again_in: None } => {
                self.fruitless = Some(self.machine.clone());
                Order::Look
            }
            Seen::Released | Seen::Rested | Seen::Reported(None) => Order::Look,
            Seen::Reported(Some(wish)) => Order::End(wish.into()),
            // Two runners of one context: the other one has the work.
            Seen::Lost => Order::End(Ending::Idle),
            Seen::Refused => Order::End(Ending::Refused),
        }
    }

    fn see(&mut self, machine: Machine) -> Order {
        self.machine = machine;
        let machine = &self.machine;
        if machine.context != self.context {
            return self.rest();
        }
        if let Some(booted) = self.booted_env.as_deref().filter(|booted| *booted != machine.boot_env) {
            let pause = machine.runnable;
            return if booted.ends_with(INSTALLER) {
                Order::End(Ending::Idle)
            } else {
                Order::Reboot { boot_env: machine.boot_env.clone(), pause }
            };
        }
        // Only what is left from before: later on, a running job is somebody's.
        if !self.has_begun {
            self.has_begun = true;
            let is_lost = self.lost.as_ref() == Some(&machine.current_job);
            if machine.has_job(&[JobState::Created, JobState::Running]) && !is_lost {
                return Order::LookAtJob(machine.current_job.clone());
            }
        }
        let has_work = machine.has_tasks_left() || machine.has_job(&[JobState::Incomplete]);
        // The same answer would come again until somebody changes something.
        let would_help = self.fruitless.as_ref() != Some(machine);
        if machine.available && machine.runnable && has_work && would_help { Order::Ask } else { self.rest() }
    }

    fn see_job(&mut self, job: Option<Job>) -> Order {
        match job {
            Some(job)
                if job.context == self.context
                    && matches!(job.state, JobState::Created | JobState::Running) =>
            {
                let into = if job.epoch < MOST_RUNS { JobState::Incomplete } else { JobState::Failed };
                Order::Release { job, into }
            }
            Some(_) | None => Order::Look,
        }
    }

    fn rest(&self) -> Order {
        if self.is_patient { Order::Wait } else { Order::End(Ending::Idle) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: Seen = Seen::Nothing { again_in: None };

    fn machine() -> Machine {
        Machine {
            name: "m1".to_owned(),
            boot_env: "local".to_owned(),
            runnable: true,
            available: true,
            tasks: vec!["t1".to_owned(), "t2".to_owned()],
            current_task: -1,
            ..Machine::default()
        }
    }

    fn in_image() -> Course {
        Course::new("", Some("local"), false)
    }

    fn job(state: JobState, epoch: i64) -> Job {
        Job { task: "t1".to_owned(), state, epoch, ..Job::default() }
    }

    fn look(course: &mut Course, change: impl FnOnce(&mut Machine)) -> Order {
        let mut machine = machine();
        change(&mut machine);
        course.next(Seen::Machine(machine))
    }

    #[test]
    fn tasks_run_one_after_another_until_none_is_left() {
        let mut course = in_image();
        assert_eq!(look(&mut course, |_| {}), Order::Ask);
        let granted = course.next(Seen::Granted(job(JobState::Created, 1)));
        assert_eq!(granted, Order::Run { job: job(JobState::Created, 1), machine: machine() });
        assert_eq!(course.next(Seen::Reported(None)), Order::Look);
        assert_eq!(look(&mut course, |m| m.current_task = 0), Order::Ask);
        // The server moved the machine on and has no job: it goes on.
        assert_eq!(course.next(NOTHING), Order::Look);
        assert_eq!(look(&mut course, |m| m.current_task = 1), Order::Ask);
        assert_eq!(course.next(NOTHING), Order::Look);
        assert_eq!(look(&mut course, |m| m.current_task = 2), Order::End(Ending::Idle));
    }

    #[test]
    fn a_server_that_says_nothing_is_not_asked_the_same_again() {
        let mut course = in_image();
        assert_eq!(look(&mut course, |_| {}), Order::Ask);
        assert_eq!(course.next(NOTHING), Order::Look);
        assert_eq!(look(&mut course, |_| {}), Order::End(Ending::Idle));
        assert_eq!(look(&mut course, |m| m.current_task = 0), Order::Ask);
    }

    #[test]
    fn a_task_that_is_tried_again_later_is_waited_for() {
        let mut course = in_image();
        assert_eq!(look(&mut course, |_| {}), Order::Ask);
        for (seconds, pause) in [(0, 1), (8, 8), (86_400, 60)] {
            let order = course.next(Seen::Nothing { again_in: Some(seconds) });
            assert_eq!(order, Order::Sleep(Duration::from_secs(pause)));
            assert_eq!(course.next(Seen::Rested), Order::Look);
            assert_eq!(look(&mut course, |_| {}), Order::Ask);
        }
    }

    #[test]
    fn what_keeps_a_machine_from_working_ends_the_runner_or_makes_it_wait() {
        let obstacles: [fn(&mut Machine); 5] = [
            |m| m.runnable = false,
            |m| m.available = false,
            |m| m.context = "elsewhere".to_owned(),
            |m| m.current_task = 2,
            |m| m.tasks.clear(),
        ];
        for obstacle in obstacles {
            assert_eq!(look(&mut in_image(), obstacle), Order::End(Ending::Idle));
            let mut patient = Course::new("", None, true);
            assert_eq!(look(&mut patient, obstacle), Order::Wait);
            assert_eq!(patient.next(Seen::Same), Order::Wait);
            assert_eq!(look(&mut patient, |_| {}), Order::Ask);
        }
    }

    #[test]
    fn another_boot_environment_means_a_reboot_only_on_the_machine_itself() {
        for (runnable, pause) in [(true, true), (false, false)] {
            let order = look(&mut in_image(), |m| {
                m.boot_env = "other".to_owned();
                m.runnable = runnable;
            });
            assert_eq!(order, Order::Reboot { boot_env: "other".to_owned(), pause });
        }
        let mut installer = Course::new("", Some("os-install"), false);
        assert_eq!(look(&mut installer, |_| {}), Order::End(Ending::Idle), "it reboots by itself");
        let mut elsewhere = Course::new("ctx", Some("other"), true);
        assert_eq!(look(&mut elsewhere, |m| m.context = "ctx".to_owned()), Order::Ask);
        let order = look(&mut in_image(), |m| {
            (m.boot_env, m.context) = ("other".to_owned(), "ctx".to_owned());
        });
        assert_eq!(order, Order::End(Ending::Idle), "another context is at work");
    }

    #[test]
    fn a_job_that_was_interrupted_begins_again_and_is_given_up_in_the_end() {
        for (state, epoch, into) in [
            (JobState::Running, 1, JobState::Incomplete),
            (JobState::Created, 4, JobState::Incomplete),
            (JobState::Running, 5, JobState::Failed),
        ] {
            let mut course = in_image();
            let left = |m: &mut Machine| {
                (m.current_job, m.job_state, m.runnable) = ("j1".to_owned(), state.to_string(), false);
            };
            assert_eq!(look(&mut course, left), Order::LookAtJob("j1".to_owned()));
            let job = job(state, epoch);
            assert_eq!(course.next(Seen::Job(Some(job.clone()))), Order::Release { job, into });
            assert_eq!(course.next(Seen::Released), Order::Look);
            assert_eq!(look(&mut course, |m| m.job_state = into.to_string()), Order::Ask);
        }
    }

    #[test]
    fn jobs_of_others_are_left_alone() {
        let running = |m: &mut Machine| {
            (m.current_job, m.job_state) = ("j1".to_owned(), "running".to_owned());
        };
        let mut course = in_image();
        assert_eq!(look(&mut course, running), Order::LookAtJob("j1".to_owned()));
        let elsewhere = Job { context: "ctx".to_owned(), ..job(JobState::Running, 1) };
        assert_eq!(course.next(Seen::Job(Some(elsewhere))), Order::Look);
        let mut after = in_image().after_losing(Some("j1".to_owned()));
        assert_eq!(look(&mut after, running), Order::Ask, "which the server refuses while it runs");
        // Begun while this runner runs: the server decides whether there is a job beside it.
        assert_eq!(look(&mut course, running), Order::Ask);
        assert_eq!(course.next(NOTHING), Order::Look);
        assert_eq!(look(&mut course, running), Order::End(Ending::Idle));
        assert_eq!(course.next(Seen::Lost), Order::End(Ending::Idle));
    }

    #[test]
    fn an_incomplete_job_is_asked_for_again_although_the_list_is_at_its_end() {
        let order = look(&mut in_image(), |m| {
            (m.current_task, m.job_state) = (2, "incomplete".to_owned());
        });
        assert_eq!(order, Order::Ask);
    }

    #[test]
    fn the_wish_of_a_task_ends_the_runner() {
        for (wish, ending) in
            [(Wish::Stop, Ending::Stop), (Wish::PowerOff, Ending::PowerOff), (Wish::Reboot, Ending::Reboot)]
        {
            assert_eq!(in_image().next(Seen::Reported(Some(wish))), Order::End(ending));
        }
        assert_eq!(in_image().next(Seen::Refused), Order::End(Ending::Refused));
    }
}
