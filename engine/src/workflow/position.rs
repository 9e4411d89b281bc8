//! Where in its list a machine stands, and back to where it may go (`spec/machine-model.md` 3.3).

use super::Entry;

/// What the entries at the beginning of a list make of a machine at once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Leading<'a> {
    /// The first stage.
    pub stage: Option<&'a str>,
    /// Its boot environment.
    pub boot_env: Option<&'a str>,
}

/// The leading `stage:` and `bootenv:` entries, one of each at most.
pub fn leading(tasks: &[String]) -> Leading<'_> {
    let mut leading = Leading::default();
    for entry in tasks {
        match Entry::read(entry) {
            Entry::Stage(name) if leading.stage.is_none() && leading.boot_env.is_none() => {
                leading.stage = Some(name);
            }
            Entry::BootEnv(name) if leading.boot_env.is_none() => leading.boot_env = Some(name),
            Entry::Stage(_)
            | Entry::BootEnv(_)
            | Entry::Context(_)
            | Entry::Chroot(_)
            | Entry::Action(_)
            | Entry::Task(_) => break,
        }
    }
    leading
}

/// The lowest index that a client may set back to: where the stage begins that brought the
/// machine, standing at `current`, into its boot environment. 0 when nothing in the list did.
pub fn floor(tasks: &[String], current: usize, boot_env: &str) -> usize {
    let walked = tasks.get(..=current).unwrap_or(tasks);
    let mut arrival = None;
    for (index, entry) in walked.iter().enumerate().rev() {
        match Entry::read(entry) {
            Entry::BootEnv(name) if name == boot_env => arrival = Some(index),
            Entry::BootEnv(_) => break,
            Entry::Stage(_) | Entry::Context(_) | Entry::Chroot(_) | Entry::Action(_) | Entry::Task(_) => {}
        }
    }
    let Some(arrival) = arrival else { return 0 };
    let stage = walked.iter().take(arrival).rposition(|entry| matches!(Entry::read(entry), Entry::Stage(_)));
    // A stage that begins before another boot environment's entry is not the one.
    let other =
        walked.iter().take(arrival).rposition(|entry| matches!(Entry::read(entry), Entry::BootEnv(_)));
    stage.filter(|stage| other.is_none_or(|other| other < *stage)).unwrap_or(arrival)
}

/// Where -1 leads under a workflow: the last `stage:` entry up to `current` that keeps the
/// machine in its boot environment when it is walked again, and never before [`floor`]; none: the
/// beginning.
///
/// The page's words ("most recent stage in the tasks list that did not initiate a bootenv
/// change") taken literally: reading L of `spec/machine-model.md` 3.3.
pub fn restart(tasks: &[String], current: usize, boot_env: &str) -> Option<usize> {
    let walked = tasks.get(..=current).unwrap_or(tasks);
    let stays = |index: usize| match tasks.get(index + 1).map(|entry| Entry::read(entry)) {
        Some(Entry::BootEnv(name)) => name == boot_env,
        Some(Entry::Stage(_) | Entry::Context(_) | Entry::Chroot(_) | Entry::Action(_) | Entry::Task(_))
        | None => true,
    };
    let begins =
        |(index, entry): &(usize, &String)| matches!(Entry::read(entry), Entry::Stage(_)) && stays(*index);
    let stage = walked.iter().enumerate().rev().find(begins).map(|(index, _)| index);
    let lowest = floor(tasks, current, boot_env);
    stage.map(|stage| stage.max(lowest)).or(Some(lowest).filter(|lowest| *lowest > 0))
}

/// The context that holds at an index: the last `context:` entry before it, else `base`.
pub fn context_at<'a>(tasks: &'a [String], index: usize, base: &'a str) -> &'a str {
    let before = tasks.get(..index).unwrap_or(tasks).iter().rev();
    let mut named = before.filter_map(|entry| match Entry::read(entry) {
        Entry::Context(name) => Some(name),
        Entry::Stage(_) | Entry::BootEnv(_) | Entry::Chroot(_) | Entry::Action(_) | Entry::Task(_) => None,
    });
    named.next().unwrap_or(base)
}
