//! What the end of a script means for its job: two tables of exit codes and how they combine
//! (`spec/machine-model.md` 4.5).

use protocol::model::{ExitState, JobState, Meta};

/// A file of this name in the task's folder chooses [`Table::Sane`].
pub(crate) const SANE_FILE: &str = ".sane-exit-codes";
/// The task's label that chooses a table, and the word in it.
const FLAGS: &str = "feature-flags";
const SANE_FLAG: &str = "sane-exit-codes";

/// How exit codes are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Table {
    /// 16 stops, 32 powers off, 64 reboots; 128 more leaves the job incomplete.
    Sane,
    /// 1 reboots, 2 leaves the job incomplete, 3 does both.
    Original,
}

impl Table {
    /// The table of a task with these labels.
    pub(crate) fn of(meta: &Meta) -> Self {
        let flags = meta.get(FLAGS).map(String::as_str).unwrap_or_default();
        if flags.split(',').any(|flag| flag.trim() == SANE_FLAG) { Self::Sane } else { Self::Original }
    }
}

/// What a script asks for beside its result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wish {
    /// That the runner stops.
    Stop,
    /// That the machine is switched off.
    PowerOff,
    /// That the machine restarts.
    Reboot,
}

/// What an exit code says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// Done, on with the next.
    Done,
    /// It went wrong.
    Failed,
    /// Not done yet: it begins again later.
    Incomplete(Option<Wish>),
    /// Done, and then something.
    Then(Wish),
}

/// Reads an exit code; none is a script that a signal ended.
pub(crate) fn meaning(table: Table, code: Option<i32>) -> Meaning {
    let Some(code) = code else { return Meaning::Failed };
    match (table, code) {
        (Table::Sane | Table::Original, 0) => Meaning::Done,
        (Table::Sane, 16) => Meaning::Then(Wish::Stop),
        (Table::Sane, 32) => Meaning::Then(Wish::PowerOff),
        (Table::Sane, 64) | (Table::Original, 1) => Meaning::Then(Wish::Reboot),
        (Table::Sane, 128) | (Table::Original, 2) => Meaning::Incomplete(None),
        (Table::Sane, 144) => Meaning::Incomplete(Some(Wish::Stop)),
        (Table::Sane, 160) => Meaning::Incomplete(Some(Wish::PowerOff)),
        (Table::Sane, 192) | (Table::Original, 3) => Meaning::Incomplete(Some(Wish::Reboot)),
        (Table::Sane | Table::Original, _) => Meaning::Failed,
    }
}

/// How a job ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct JobEnd {
    /// Its state from now on.
    pub(crate) state: JobState,
    /// What is to be done about it.
    pub(crate) wish: Option<Wish>,
}

impl JobEnd {
    /// It went wrong.
    pub(crate) const FAILED: Self = Self { state: JobState::Failed, wish: None };
    /// All of it is done.
    pub(crate) const FINISHED: Self = Self { state: JobState::Finished, wish: None };

    /// The exit state to report.
    pub(crate) fn exit_state(self) -> ExitState {
        match (self.wish, self.state) {
            (Some(Wish::Stop), _) => ExitState::Stop,
            (Some(Wish::PowerOff), _) => ExitState::Poweroff,
            (Some(Wish::Reboot), _) => ExitState::Reboot,
            (None, JobState::Failed) => ExitState::Failed,
            (None, JobState::Created | JobState::Running | JobState::Incomplete | JobState::Finished) => {
                ExitState::Complete
            }
        }
    }

    /// Whether the machine gets no further jobs until somebody says so, or has booted.
    pub(crate) fn pauses(self) -> bool {
        self != Self::FINISHED
    }
}

/// What follows an action: the job's end, or the next action.
pub(crate) fn after(meaning: Meaning, is_last: bool) -> Option<JobEnd> {
    match meaning {
        Meaning::Done => is_last.then_some(JobEnd::FINISHED),
        Meaning::Failed => Some(JobEnd::FAILED),
        // Said before the end, it means that the rest is not wanted.
        Meaning::Incomplete(None) if !is_last => Some(JobEnd::FINISHED),
        Meaning::Incomplete(wish) => Some(JobEnd { state: JobState::Incomplete, wish }),
        Meaning::Then(wish) => {
            // What is left runs when the machine, or the runner, comes back.
            let state = if is_last { JobState::Finished } else { JobState::Incomplete };
            Some(JobEnd { state, wish: Some(wish) })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a script's code makes of its job, as `state/exit state`; `-` goes on.
    fn told(table: Table, code: Option<i32>, is_last: bool) -> String {
        after(meaning(table, code), is_last)
            .map_or_else(|| "-".to_owned(), |end| format!("{}/{}", end.state, end.exit_state()))
    }

    #[test]
    fn every_code_of_both_tables_means_what_it_says() {
        for (code, in_the_middle, at_the_end) in [
            (0, "-", "finished/complete"),
            (16, "incomplete/stop", "finished/stop"),
            (32, "incomplete/poweroff", "finished/poweroff"),
            (64, "incomplete/reboot", "finished/reboot"),
            (128, "finished/complete", "incomplete/complete"),
            (144, "incomplete/stop", "incomplete/stop"),
            (160, "incomplete/poweroff", "incomplete/poweroff"),
            (192, "incomplete/reboot", "incomplete/reboot"),
            (1, "failed/failed", "failed/failed"),
            (2, "failed/failed", "failed/failed"),
            (255, "failed/failed", "failed/failed"),
        ] {
            assert_eq!(told(Table::Sane, Some(code), false), in_the_middle, "{code}");
            assert_eq!(told(Table::Sane, Some(code), true), at_the_end, "{code}");
        }
        for (code, in_the_middle, at_the_end) in [
            (0, "-", "finished/complete"),
            (1, "incomplete/reboot", "finished/reboot"),
            (2, "finished/complete", "incomplete/complete"),
            (3, "incomplete/reboot", "incomplete/reboot"),
            (4, "failed/failed", "failed/failed"),
            (64, "failed/failed", "failed/failed"),
        ] {
            assert_eq!(told(Table::Original, Some(code), false), in_the_middle, "{code}");
            assert_eq!(told(Table::Original, Some(code), true), at_the_end, "{code}");
        }
        assert_eq!(told(Table::Sane, None, true), "failed/failed", "killed by a signal");
    }

    #[test]
    fn only_plain_success_leaves_the_machine_runnable() {
        for code in 0..=255 {
            for is_last in [false, true] {
                if let Some(end) = after(meaning(Table::Sane, Some(code)), is_last) {
                    let plain = end.exit_state() == ExitState::Complete && end.state == JobState::Finished;
                    assert_eq!(end.pauses(), !plain, "{code}");
                }
            }
        }
    }

    #[test]
    fn a_tasks_label_chooses_the_table() {
        let of = |flags: &str| Table::of(&Meta::from([("feature-flags".to_owned(), flags.to_owned())]));
        assert_eq!(of("sane-exit-codes"), Table::Sane);
        assert_eq!(of("other, sane-exit-codes"), Table::Sane);
        assert_eq!(of("original-exit-codes"), Table::Original);
        assert_eq!(Table::of(&Meta::new()), Table::Original);
    }
}
