//! Why a machine gets no job, in words: every wait has a reason.

use crate::machine::{Machine, Pause};
use crate::time::Timestamp;
use protocol::model::JobState;

/// Why the machine's next task does not begin; none while a job is under way, when the list is
/// through, and when the next job is there for the asking.
pub fn why_waiting(machine: &Machine, now: Timestamp) -> Option<String> {
    let fields = &machine.fields;
    let under_way =
        [JobState::Created, JobState::Running].iter().any(|state| state.word() == fields.job_state);
    let left = usize::try_from(fields.current_task).unwrap_or(0) < fields.tasks.len();
    if under_way || !left {
        return None;
    }
    held_back(machine).or_else(|| {
        if machine.marks.wait(now).is_some() {
            let at = machine.marks.not_before.map(|at| at.to_string()).unwrap_or_default();
            return Some(format!("its task failed and is tried again at {at}"));
        }
        (!fields.context.is_empty())
            .then(|| format!("a runner of context {:?} is to take it on", fields.context))
    })
}

/// Why the machine may have no job at all.
pub(super) fn held_back(machine: &Machine) -> Option<String> {
    let fields = &machine.fields;
    if let Some(error) = machine.errors.first() {
        return Some(format!("it is not available: {error}"));
    }
    if fields.runnable {
        return None;
    }
    let reason = match machine.paused {
        Some(Pause::BootEnv) => format!("it has to boot {} first", fields.boot_env),
        Some(Pause::Agent) => "its agent asked for a break, for a reboot perhaps".to_owned(),
        Some(Pause::Failed) => "its last job failed".to_owned(),
        Some(Pause::User) | None => "somebody or something stopped it".to_owned(),
    };
    Some(format!("it is not runnable: {reason}; set Runnable to let it go on"))
}

#[cfg(test)]
mod tests {
    use super::super::tests::machine;
    use super::*;

    #[test]
    fn every_wait_has_a_reason() {
        let now = Timestamp::from_seconds(100);
        let told = |change: &dyn Fn(&mut Machine)| {
            let mut machine = machine(&["t1", "t2"]);
            change(&mut machine);
            why_waiting(&machine, now)
        };
        assert_eq!(told(&|_| {}), None);
        assert_eq!(told(&|m| m.fields.tasks.clear()), None, "nothing is left");
        for (paused, words) in [
            (Pause::BootEnv, "it has to boot local first"),
            (Pause::Agent, "its agent asked for a break"),
            (Pause::Failed, "its last job failed"),
            (Pause::User, "somebody or something stopped it"),
        ] {
            let reason = told(&|m| (m.fields.runnable, m.paused) = (false, Some(paused))).unwrap();
            assert!(reason.contains(words) && reason.contains("set Runnable"), "{reason}");
        }
        let reason = told(&|m| m.errors.push("stage s1 is gone".to_owned())).unwrap();
        assert_eq!(reason, "it is not available: stage s1 is gone");
        let reason = told(&|m| m.marks.not_before = Some(Timestamp::from_seconds(104))).unwrap();
        assert_eq!(reason, "its task failed and is tried again at 1970-01-01T00:01:44.000Z");
        let reason = told(&|m| m.fields.context = "cloud".to_owned()).unwrap();
        assert_eq!(reason, "a runner of context \"cloud\" is to take it on");
        assert_eq!(told(&|m| m.fields.job_state = "running".to_owned()), None, "it works");
    }
}
