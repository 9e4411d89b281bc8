//! A machine on duty in the boot image: what a new boot and a goodbye mean for it, and whether a
//! runner of its jobs is wanted there (`spec/machine-model.md` 3.5, 3.10, 4.4).

use crate::bootenv::LOCAL;
use crate::change::{Change, Changes};
use crate::machine::{Machine, Pause};
use crate::time::Timestamp;
use protocol::model::JobState;
use std::time::Duration;

/// A goodbye that follows another one so soon is no news: each is a commit.
const SAME_GOODBYE: Duration = Duration::from_secs(60);

impl Machine {
    /// The agent tells the kernel's id of its boot. A new one is a boot that has happened: what
    /// waited for it goes on, in the boot environment that the machine has now. A system on the
    /// machine's disk is what `local` boots, whatever was asked for. `None` when it is the boot that
    /// is known, or the agent tells none.
    pub fn booted(&self, boot_id: &str, installed: bool, at: Timestamp) -> Option<(Self, Changes)> {
        if boot_id.is_empty() || boot_id == self.boot_id {
            return None;
        }
        let mut machine = self.clone();
        boot_id.clone_into(&mut machine.boot_id);
        let booted = if installed { LOCAL } else { &machine.fields.boot_env };
        machine.booted_env = booted.to_owned();
        match machine.paused {
            Some(Pause::BootEnv | Pause::Agent) => {
                machine.fields.runnable = true;
                machine.paused = None;
            }
            // A failure and an operator's word outlast a boot.
            Some(Pause::Failed | Pause::User) | None => {}
        }
        machine.modified_at = Some(at);
        machine.boot_has_come();
        let changes = Changes::new(at)
            .and(Change::EndNonces(machine.id))
            .and(Change::UpdateMachine(Box::new(machine.clone())));
        Some((machine, changes))
    }

    /// The agent says that it is about to restart: the next boot is expected. `None` when it said so
    /// a moment ago.
    pub fn left(&self, at: Timestamp) -> Option<(Self, Changes)> {
        if self.left_at.is_some_and(|left| at.since(left) < SAME_GOODBYE) {
            return None;
        }
        let machine = Self { left_at: Some(at), ..self.clone() };
        let changes = Changes::new(at).and(Change::UpdateMachine(Box::new(machine.clone())));
        Some((machine, changes))
    }

    /// The boot that was expected, if one was.
    pub(crate) const fn boot_has_come(&mut self) {
        self.left_at = None;
        self.boot_asked_at = None;
    }

    /// The boot environment that the machine booted, as far as its agent told of a boot.
    pub fn booted_env(&self) -> &str {
        if self.boot_id.is_empty() { &self.fields.boot_env } else { &self.booted_env }
    }

    /// Whether the agent in the boot image has something to do: to reboot for another boot
    /// environment, to pick up a job that nobody runs any more, or to ask for one.
    pub fn wants_runner(&self) -> bool {
        let fields = &self.fields;
        let has_job = |states: &[JobState]| states.iter().any(|state| state.word() == fields.job_state);
        let left = usize::try_from(fields.current_task).unwrap_or(0) < fields.tasks.len();
        let may_ask = fields.runnable && self.errors.is_empty();
        fields.context.is_empty()
            && (self.booted_env() != fields.boot_env
                || has_job(&[JobState::Created, JobState::Running])
                || may_ask && (left || has_job(&[JobState::Incomplete])))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::Name;
    use protocol::agent_api::Origin;
    use protocol::ids::{KeyThumbprint, MachineId};
    use protocol::inventory::Inventory;

    fn at() -> Timestamp {
        Timestamp::from_seconds(1_000)
    }

    fn machine() -> Machine {
        let name: Name = "m1".parse().unwrap();
        let id = MachineId(uuid::Uuid::from_u128(1));
        let key = KeyThumbprint([1; 32]);
        let mut machine = Machine::register(id, name, key, Origin::Iso, Inventory::default(), "user:a", at());
        machine = machine.booted("boot-1", false, at()).unwrap().0;
        machine.fields.tasks = vec!["t1".to_owned(), "t2".to_owned()];
        machine.fields.current_task = -1;
        machine
    }

    #[test]
    fn a_boot_lets_go_on_what_waited_for_it_and_nothing_else() {
        for (paused, runnable) in
            [(Pause::BootEnv, true), (Pause::Agent, true), (Pause::Failed, false), (Pause::User, false)]
        {
            let mut machine = machine();
            (machine.fields.runnable, machine.paused) = (false, Some(paused));
            assert_eq!(machine.booted("boot-1", false, at()), None, "the same boot is no news");
            let (booted, changes) = machine.booted("boot-2", false, at()).unwrap();
            assert_eq!(booted.fields.runnable, runnable, "{paused:?}");
            assert_eq!(booted.paused.is_none(), runnable, "{paused:?}");
            let changed = Change::UpdateMachine(Box::new(booted));
            assert_eq!(changes, Changes::new(at()).and(Change::EndNonces(machine.id)).and(changed));
        }
        assert_eq!(machine().booted("", false, at()), None, "an agent that tells of no boot");
    }

    #[test]
    fn a_goodbye_is_kept_until_the_machine_has_booted() {
        let (left, changes) = machine().left(at()).unwrap();
        assert_eq!((left.left_at, left.modified_at), (Some(at()), machine().modified_at));
        assert_eq!(changes, Changes::new(at()).and(Change::UpdateMachine(Box::new(left.clone()))));
        assert_eq!(left.left(at().plus(SAME_GOODBYE).minus(Duration::from_millis(1))), None);
        assert!(left.left(at().plus(SAME_GOODBYE)).is_some());
        let asked = Machine { boot_asked_at: Some(at()), ..left };
        let booted = asked.booted("boot-2", false, at()).unwrap().0;
        assert_eq!((booted.left_at, booted.boot_asked_at), (None, None));
    }

    #[test]
    fn a_change_of_the_boot_environment_is_work_until_the_machine_has_booted() {
        let mut machine = machine();
        machine.fields.boot_env = "other".to_owned();
        (machine.fields.runnable, machine.paused) = (false, Some(Pause::BootEnv));
        assert!(machine.wants_runner());
        let booted = machine.booted("boot-2", false, at()).unwrap().0;
        assert_eq!(booted.booted_env(), "other");
        assert!(booted.wants_runner(), "it is runnable again, and has tasks left");
        machine.fields.context = "elsewhere".to_owned();
        assert!(!machine.wants_runner(), "other contexts are other runners'");
    }

    #[test]
    fn tasks_that_are_left_and_jobs_that_nobody_runs_are_work() {
        let with = |change: &dyn Fn(&mut Machine)| {
            let mut machine = machine();
            change(&mut machine);
            machine.wants_runner()
        };
        assert!(with(&|_| {}));
        assert!(with(&|m| m.fields.current_task = 1), "the last task may not be over");
        assert!(!with(&|m| m.fields.current_task = 2));
        assert!(!with(&|m| m.fields.runnable = false));
        assert!(!with(&|m| m.errors.push("broken".to_owned())));
        for (state, runnable, wanted) in [
            ("running", false, true),
            ("created", false, true),
            ("incomplete", false, false),
            ("incomplete", true, true),
            ("failed", true, false),
            ("finished", true, false),
        ] {
            let told = with(&|m| {
                m.fields.current_task = 2;
                m.fields.runnable = runnable;
                state.clone_into(&mut m.fields.job_state);
            });
            assert_eq!(told, wanted, "{state} {runnable}");
        }
    }
}
