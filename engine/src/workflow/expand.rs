//! From a workflow, or a list of task entries, to the list that a machine walks: stages become
//! entries of their own, and tasks bring what they need.

use super::Entry;
use crate::content::Content;
use crate::prerequisites;
use protocol::model::Workflow;
use std::collections::{BTreeMap, BTreeSet};

/// Most entries of a machine's task list.
pub const MAX_TASKS: usize = 10_000;

/// The task list of a workflow: for each stage `stage:NAME`, then `bootenv:ENV` if it has one,
/// then its tasks with what they need. Entries such as `task:NAME` contribute themselves.
///
/// # Errors
/// Every stage and task that is missing, or that the list grows too long.
pub fn expand(workflow: &Workflow, content: &Content) -> Result<Vec<String>, Vec<String>> {
    let mut list = List::new(content);
    for entry in &workflow.stages {
        match entry.split_once(':') {
            Some(("task", name)) => list.add(name),
            Some(_) => list.add(entry),
            None => match content.stages.get(entry) {
                Some(stage) => {
                    list.add(&format!("stage:{entry}"));
                    if !stage.boot_env.is_empty() {
                        list.add(&format!("bootenv:{}", stage.boot_env));
                    }
                    stage.tasks.iter().for_each(|task| list.add(task));
                }
                None => list.problems.push(format!("stage {entry} does not exist")),
            },
        }
    }
    list.finish()
}

/// Entries with what their tasks need before each.
///
/// # Errors
/// As [`expand`].
pub fn expand_tasks(entries: &[String], content: &Content) -> Result<Vec<String>, Vec<String>> {
    expand_added(&[], &[], entries, content)
}

/// What `wanted` becomes behind `before`, where `known` were there already: only what is new
/// brings what it needs, so that an operator may take a needed task away.
pub(super) fn expand_added(
    before: &[String],
    known: &[String],
    wanted: &[String],
    content: &Content,
) -> Result<Vec<String>, Vec<String>> {
    let mut left: BTreeMap<&str, usize> = BTreeMap::new();
    for entry in known {
        *left.entry(entry).or_default() += 1;
    }
    let mut list = List::new(content);
    before.iter().for_each(|entry| list.pass(entry));
    for entry in wanted {
        match left.get_mut(entry.as_str()) {
            Some(count) if *count > 0 => {
                *count -= 1;
                list.pass(entry);
                list.push(entry);
            }
            Some(_) | None => list.add(entry),
        }
    }
    list.finish()
}

/// A list that grows, and what it may leave out because it is there already.
struct List<'a> {
    content: &'a Content,
    entries: Vec<String>,
    /// The tasks since the last change of the boot environment.
    segment: BTreeSet<String>,
    /// The boot environment of the segment, once an entry named it.
    boot_env: Option<String>,
    problems: Vec<String>,
}

impl<'a> List<'a> {
    const fn new(content: &'a Content) -> Self {
        Self { content, entries: Vec::new(), segment: BTreeSet::new(), boot_env: None, problems: Vec::new() }
    }

    /// What an entry means for those behind it.
    fn pass(&mut self, entry: &str) {
        match Entry::read(entry) {
            // What ran in one boot environment has to run again in the next.
            Entry::BootEnv(name) if self.boot_env.as_deref() != Some(name) => {
                self.boot_env = Some(name.to_owned());
                self.segment.clear();
            }
            Entry::Task(name) => {
                self.segment.insert(name.to_owned());
            }
            Entry::BootEnv(_) | Entry::Stage(_) | Entry::Context(_) | Entry::Chroot(_) | Entry::Action(_) => {
            }
        }
    }

    fn push(&mut self, entry: &str) {
        if self.entries.len() < MAX_TASKS {
            self.entries.push(entry.to_owned());
        } else if self.entries.len() == MAX_TASKS {
            let problem = format!("the task list would have more than {MAX_TASKS} entries");
            if self.problems.last() != Some(&problem) {
                self.problems.push(problem);
            }
        }
    }

    /// One more entry, behind what it needs.
    fn add(&mut self, entry: &str) {
        let parsed = Entry::read(entry);
        if let Some(problem) = parsed.problem() {
            return self.problems.push(problem);
        }
        if let Entry::Task(name) = parsed {
            let content = self.content;
            let needs = |task| content.tasks.get(task).map_or(&[][..], |task| &task.prerequisites);
            for task in prerequisites::in_order(name, &self.segment, needs) {
                if !content.tasks.has(task) {
                    self.problems.push(format!("task {task} does not exist"));
                }
                self.pass(task);
                self.push(task);
            }
        } else {
            self.pass(entry);
            self.push(entry);
        }
    }

    fn finish(mut self) -> Result<Vec<String>, Vec<String>> {
        if self.problems.is_empty() {
            return Ok(self.entries);
        }
        let mut told = BTreeSet::new();
        self.problems.retain(|problem| told.insert(problem.clone()));
        Err(self.problems)
    }
}
