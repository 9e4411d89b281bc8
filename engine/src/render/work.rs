//! What a job does on its machine, and texts rendered for whoever asks.

use super::files::{Desk, RenderError};
use super::library::{Library, Text};
use super::limits::options;
use super::root::Root;
use super::scene::{Data, Scene};
use protocol::model::{Job, JobAction, Task, TemplateInfo};
use std::sync::Arc;
use template::MissingKey;

/// Label of a template that is for some operating systems only.
const OS: &str = "OS";
/// Most bytes that the files of a job have together.
const MAX_ACTIONS: usize = 4 * super::MAX_FILE;

impl Scene {
    /// The files and scripts of a task, in order. `os` leaves those for other systems out; none
    /// leaves all in.
    ///
    /// # Errors
    /// Params that the task requires and nobody set, and the first template that fails.
    pub fn actions(
        &self,
        task: &Arc<Task>,
        job: &Job,
        os: Option<&str>,
    ) -> Result<Vec<JobAction>, Vec<String>> {
        let missing = self.missing_params(&**task);
        if !missing.is_empty() {
            return Err(missing);
        }
        let desk = Desk::of(self, task);
        let (task_of, job) = (Some(Arc::clone(task)), Some(Arc::new(job.clone())));
        let data = Arc::new(Data { task: task_of, job, ..Data::of(self) });
        let mut actions = Vec::new();
        let mut room = MAX_ACTIONS;
        for (info, sheet) in task.templates.iter().zip(desk.list()) {
            if !is_for(info, os) {
                continue;
            }
            if let Some(error) = &sheet.error {
                return Err(vec![error.to_string()]);
            }
            let action = action(&desk, info, sheet, &data).map_err(|error| vec![error.to_string()])?;
            room = room.checked_sub(action.content.len()).ok_or_else(|| {
                vec![format!("the files of task {} have more than {MAX_ACTIONS} bytes together", task.name)]
            })?;
            actions.push(action);
        }
        Ok(actions)
    }

    /// A text rendered for the machine.
    ///
    /// # Errors
    /// When it is no template, or fails.
    pub fn text(&self, text: &str) -> Result<String, RenderError> {
        let mut templates = Library::of(&self.content).templates().clone();
        templates.add("text", text, &super::library::delimiters("", "")).map_err(RenderError::alone)?;
        let dot = Root::value(&Arc::new(Data::of(self)));
        templates.render("text", dot, &options(MissingKey::Default)).map_err(RenderError::alone)
    }

    /// A template of the content rendered for the machine.
    ///
    /// # Errors
    /// When there is none of this id, or it fails.
    pub fn template(&self, id: &str) -> Result<String, RenderError> {
        let dot = Root::value(&Arc::new(Data::of(self)));
        let templates = Library::of(&self.content).templates();
        templates.render(id, dot, &options(MissingKey::Default)).map_err(RenderError::alone)
    }
}

fn action(
    desk: &Desk,
    info: &TemplateInfo,
    sheet: &super::library::Sheet,
    data: &Arc<Data>,
) -> Result<JobAction, RenderError> {
    let path = match &sheet.path {
        None => String::new(),
        Some(name) => {
            let path = desk.text(name, data, MissingKey::Error)?;
            if path.chars().any(char::is_control) {
                return Err(desk.refused(name, "the path has control characters in it".to_owned()));
            }
            path
        }
    };
    let content = match &sheet.text {
        Text::Contents(name) => desk.text(name, data, MissingKey::Default)?,
        Text::Link(name) => {
            return Err(desk.refused(name, "a task's template has contents and no link".to_owned()));
        }
    };
    Ok(JobAction { name: info.name.clone(), path, content, meta: info.meta.clone() })
}

/// Whether a template is for an operating system. Without a label, and for nobody in particular, it is.
fn is_for(info: &TemplateInfo, os: Option<&str>) -> bool {
    let (Some(wanted), Some(listed)) = (os.filter(|os| !os.is_empty()), info.meta.get(OS)) else {
        return true;
    };
    let mut names = listed.split(',').map(str::trim).filter(|name| !name.is_empty()).peekable();
    names.peek().is_none() || names.any(|name| name == wanted || name == "any")
}
