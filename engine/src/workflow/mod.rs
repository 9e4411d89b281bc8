//! Task lists: what a workflow or a stage becomes on a machine, and where in it a machine may
//! stand (`spec/machine-model.md` 3.2 to 3.4).

mod entry;
mod expand;
mod position;
mod window;

pub use entry::Entry;
pub use expand::{MAX_TASKS, expand, expand_tasks};
pub use position::{Leading, context_at, floor, leading, restart};
pub use window::{EditError, edit};

#[cfg(test)]
mod tests;
