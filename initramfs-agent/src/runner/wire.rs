//! Digital Rebar's objects as far as a runner looks at them (`spec/machine-model.md` 1.2, 2.10, 5.6).
//! Whatever is missing has the value of a fresh object.

use crate::report::printable;
use protocol::model::{JobState, Meta};
use serde::Deserialize;
use uuid::Uuid;

/// Longest server sentence that is passed on, in characters.
const MAX_SENTENCE: usize = 300;

/// A machine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Machine {
    /// Its name.
    pub(crate) name: String,
    /// In which context its tasks run now.
    pub(crate) context: String,
    /// What it is to boot.
    pub(crate) boot_env: String,
    /// Whether jobs may be asked for.
    pub(crate) runnable: bool,
    /// Whether nothing is wrong with it.
    pub(crate) available: bool,
    /// Its task list.
    pub(crate) tasks: Vec<String>,
    /// Index of the entry that runs or ran last.
    pub(crate) current_task: i64,
    /// Its newest job, or empty.
    pub(crate) current_job: String,
    /// The state of that job.
    pub(crate) job_state: String,
}

impl Machine {
    /// Whether its newest job is in one of these states.
    pub(crate) fn has_job(&self, states: &[JobState]) -> bool {
        states.iter().any(|state| state.word() == self.job_state)
    }

    /// Whether the list has an entry that has not ended yet.
    pub(crate) fn has_tasks_left(&self) -> bool {
        usize::try_from(self.current_task).unwrap_or(0) < self.tasks.len()
    }

    /// Which of its tasks the entry at `index` is, counted from 1, and how many there are. What
    /// moves a machine, such as `stage:`, is no task.
    pub(crate) fn place_of(&self, index: i64) -> (usize, usize) {
        let is_task = |entry: &&String| !entry.contains(':');
        let before = usize::try_from(index).map_or(0, |index| index.saturating_add(1));
        (self.tasks.iter().take(before).filter(is_task).count(), self.tasks.iter().filter(is_task).count())
    }
}

/// A job.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Job {
    /// Its id.
    pub(crate) uuid: Uuid,
    /// Its task.
    pub(crate) task: String,
    /// The context it was made in.
    pub(crate) context: String,
    /// Where it stands.
    pub(crate) state: JobState,
    /// Index of its entry in the task list.
    pub(crate) current_index: i64,
    /// How often it was handed out.
    pub(crate) epoch: i64,
}

/// What of a task decides how its exit codes are read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Task {
    /// Its labels.
    pub(crate) meta: Meta,
}

/// Answer to asking for a token.
#[derive(Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Token {
    /// The token.
    pub(crate) token: String,
    /// Seconds until it ends.
    pub(crate) expires_in: Option<u64>,
}

/// A refusal.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Refusal {
    messages: Vec<String>,
}

/// A refusal in one printable line.
pub(crate) fn told(body: &[u8]) -> String {
    let refusal: Refusal = serde_json::from_slice(body).unwrap_or_default();
    printable(&refusal.messages.join("; "), MAX_SENTENCE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_are_counted_without_what_moves_the_machine() {
        let tasks = ["stage:s1", "bootenv:e1", "t1", "t2", "stage:s2", "t3"].map(str::to_owned).to_vec();
        let machine = Machine { tasks, ..Machine::default() };
        let places: Vec<_> = [-1, 2, 3, 4, 5, 9].map(|index| machine.place_of(index)).to_vec();
        assert_eq!(places, [(0, 3), (1, 3), (2, 3), (2, 3), (3, 3), (3, 3)]);
    }

    #[test]
    fn objects_of_any_server_are_read_as_far_as_they_go() {
        let job: Job = serde_json::from_str(
            r#"{"Uuid":"0b4f9c9e-8f5e-4f4e-9d6e-1a2b3c4d5e6f","State":"running","Epoch":2,"Extra":[]}"#,
        )
        .unwrap();
        assert_eq!((job.state, job.epoch), (JobState::Running, 2));
        let machine: Machine = serde_json::from_str(r#"{"Tasks":["a"],"CurrentTask":-1}"#).unwrap();
        assert!(machine.has_tasks_left() && !machine.runnable);
        assert_eq!(told(br#"{"Messages":["one","two\u001b[2J"],"Code":422}"#), "one; two[2J");
        assert_eq!(told(b"<html>"), "");
    }
}
