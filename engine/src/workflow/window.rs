//! Which part of a machine's task list may be edited (`spec/machine-model.md` 3.4).

use super::{Entry, expand};
use crate::content::Content;

/// Why an edit of a task list is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// Entries that ran, or run, are gone.
    #[error("Tasks: the first {0} entries ran or are running, so they cannot be removed")]
    Removed(usize),
    /// Entries that ran, or run, are others.
    #[error("Tasks: the first {0} entries ran or are running, so they cannot be altered")]
    Altered(usize),
    /// Entries of stages to come.
    #[error("Tasks: entry {from} begins a stage that is still to come, so nothing from it on can be edited")]
    Future {
        /// Index of the next `stage:` entry.
        from: usize,
    },
    /// What was added does not go.
    #[error("Tasks: {0}")]
    Added(String),
}

/// The list that a machine standing at `current` gets when `wanted` is asked for. What is added
/// brings what it needs. `free`: no workflow, so that a list of which nothing ran is anybody's.
///
/// # Errors
/// Everything that speaks against it.
pub fn edit(
    tasks: &[String],
    current: i64,
    free: bool,
    wanted: &[String],
    content: &Content,
) -> Result<Vec<String>, Vec<EditError>> {
    let past = usize::try_from(current).map_or(0, |current| tasks.len().min(current.saturating_add(1)));
    let rest = tasks.get(past..).unwrap_or_default();
    let is_stage = |entry: &String| matches!(Entry::read(entry), Entry::Stage(_));
    let present = match rest.iter().position(is_stage) {
        Some(_) | None if free && past == 0 => rest.len(),
        Some(until) => until,
        None => rest.len(),
    };
    let (old, future) = rest.split_at(present);
    let done = tasks.get(..past).unwrap_or_default();
    let mut errors = Vec::new();
    match wanted.get(..past) {
        None => errors.push(EditError::Removed(past)),
        Some(same) if same != done => errors.push(EditError::Altered(past)),
        Some(_) => {}
    }
    let new = wanted.get(past..).unwrap_or_default();
    // Before a list of stages has begun there is nothing present: not even its beginning.
    let unbegun = past == 0 && present == 0 && !future.is_empty();
    let middle = new.strip_suffix(future).filter(|middle| !unbegun || middle.is_empty());
    if middle.is_none() && !future.is_empty() {
        errors.push(EditError::Future { from: past + present });
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    let added = expand::expand_added(done, old, middle.unwrap_or(new), content);
    let added = added.map_err(|problems| problems.into_iter().map(EditError::Added).collect::<Vec<_>>())?;
    let list = [done, &added, future].concat();
    if list.len() > expand::MAX_TASKS {
        let problem = format!("the list would have more than {} entries", expand::MAX_TASKS);
        return Err(vec![EditError::Added(problem)]);
    }
    Ok(list)
}
