//! The files of a machine: which paths there are, and what lies there.

use super::library::{Library, Sheet, Sheets, Templated, Text};
use super::limits::{file_path, options};
use super::root::Root;
use super::scene::{Data, Scene};
use crate::bootenv;
use protocol::model::Kind;
use std::fmt;
use std::sync::Arc;
use template::{ErrorKind, MissingKey, TemplateError};

/// A file that is rendered for a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Where it is served: no slash in front.
    pub path: String,
    /// What is served there.
    pub body: Body,
}

/// What is served at a path. Debug hides texts, since tokens may be in them.
#[derive(Clone, PartialEq, Eq)]
pub enum Body {
    /// A rendered text.
    Text(String),
    /// Another file: a path in the boot tree, or a URL.
    Link(String),
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "Text({} bytes)", text.len()),
            Self::Link(link) => f.debug_tuple("Link").field(link).finish(),
        }
    }
}

/// Why a file or text cannot be rendered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{owner}{error}")]
pub struct RenderError {
    /// `bootenv NAME: ` and the like, or empty.
    owner: String,
    error: TemplateError,
}

impl RenderError {
    pub(super) fn of(kind: Kind, name: &str, error: TemplateError) -> Self {
        Self { owner: format!("{} {name}: ", kind.noun()), error }
    }

    pub(super) fn alone(error: TemplateError) -> Self {
        Self { owner: String::new(), error }
    }

    /// Whether it took too much time, depth or space.
    pub fn is_limit(&self) -> bool {
        self.error.kind == ErrorKind::Limit
    }
}

/// A file that there is, not rendered yet.
#[derive(Debug)]
pub(super) struct Planned<'a> {
    path: String,
    sheet: &'a Sheet,
    data: Arc<Data>,
}

/// Templates of one object for one scene.
#[derive(Debug)]
pub(super) struct Desk {
    sheets: Arc<Sheets>,
    kind: Kind,
    name: String,
}

impl Desk {
    pub(super) fn of<T: Templated>(scene: &Scene, object: &Arc<T>) -> Self {
        let sheets = Library::of(&scene.content).sheets(object);
        Self { sheets, kind: T::KIND, name: object.name().to_owned() }
    }

    pub(super) fn list(&self) -> &[Sheet] {
        &self.sheets.list
    }

    fn owned(&self, error: TemplateError) -> RenderError {
        RenderError::of(self.kind, &self.name, error)
    }

    /// Renders one of its texts.
    pub(super) fn text(
        &self,
        name: &str,
        data: &Arc<Data>,
        missing: MissingKey,
    ) -> Result<String, RenderError> {
        self.sheets.templates.render(name, Root::value(data), &options(missing)).map_err(|e| self.owned(e))
    }

    /// An error about one of its texts as a whole.
    pub(super) fn refused(&self, name: &str, problem: String) -> RenderError {
        self.owned(TemplateError {
            template: name.to_owned(),
            line: 0,
            column: 0,
            action: None,
            kind: ErrorKind::Execution,
            problem,
        })
    }

    /// The files of one template: none when the path needs an address that the machine does not
    /// have, one for each hardware address when the path has that in it.
    pub(super) fn plan<'a>(&self, sheet: &'a Sheet, scene: &Scene) -> Result<Vec<Planned<'a>>, RenderError> {
        if let Some(error) = &sheet.error {
            return Err(self.owned(error.clone()));
        }
        let Some(name) = &sheet.path else { return Ok(Vec::new()) };
        let mut planned = Vec::new();
        for mac in 0.. {
            let data = Arc::new(Data { mac, ..Data::of(scene) });
            let path = self.text(name, &data, MissingKey::Error);
            if data.asked.missed_an_address() {
                break;
            }
            let path = file_path(&path?).map_err(|problem| self.refused(name, problem))?;
            let again = data.asked.depends_on_hardware();
            planned.push(Planned { path, sheet, data });
            if !again {
                break;
            }
        }
        Ok(planned)
    }

    /// Renders a file.
    pub(super) fn file(&self, planned: Planned) -> Result<File, RenderError> {
        let body = match &planned.sheet.text {
            Text::Contents(name) => Body::Text(self.text(name, &planned.data, MissingKey::Default)?),
            Text::Link(name) => {
                let link = self.text(name, &planned.data, MissingKey::Error)?;
                Body::Link(link_target(link.trim()).map_err(|problem| self.refused(name, problem))?)
            }
        };
        Ok(File { path: planned.path, body })
    }
}

/// A URL as it is, or a path in the boot tree.
fn link_target(link: &str) -> Result<String, String> {
    if link.chars().any(|c| c.is_control() || c == ' ') {
        return Err("the link has blanks or control characters in it".to_owned());
    }
    if link.starts_with("http://") || link.starts_with("https://") {
        return Ok(link.to_owned());
    }
    file_path(link)
}

impl Scene {
    /// The templates of its bootenv and its stage, in this order.
    pub(super) fn desks(&self) -> Vec<Desk> {
        let bootenv = self.bootenv().map(|env| Desk::of(self, env));
        let stage = self.stage().map(|stage| Desk::of(self, stage));
        bootenv.into_iter().chain(stage).collect()
    }

    /// Every file of the machine, or why there is none of a template.
    pub fn files(&self) -> Vec<Result<File, RenderError>> {
        let mut files = Vec::new();
        for desk in self.desks() {
            for sheet in desk.list() {
                match desk.plan(sheet, self) {
                    Ok(planned) => files.extend(planned.into_iter().map(|planned| desk.file(planned))),
                    Err(error) => files.push(Err(error)),
                }
            }
        }
        files
    }

    /// The file at a path, as [`file_path`] spells it; none when the machine has none there. Where
    /// two templates claim one path, the later one has it.
    pub fn file_at(&self, path: &str) -> Option<Result<File, RenderError>> {
        self.find(&self.desks(), path)
    }

    /// Whether there is a file at a path; nothing but paths is rendered to find out.
    pub fn has_file(&self, path: &str) -> bool {
        let has = |desk: &Desk, sheet: &Sheet| {
            desk.plan(sheet, self).is_ok_and(|planned| planned.iter().any(|planned| planned.path == path))
        };
        self.desks().iter().any(|desk| desk.list().iter().any(|sheet| has(desk, sheet)))
    }

    /// The file at a path that boot environment `ignore` has for whoever is not known, whatever the
    /// preference says.
    pub fn ignored_at(&self, path: &str) -> Option<Result<File, RenderError>> {
        let desk = Desk::of(self, self.content.bootenvs.get(bootenv::IGNORE)?);
        self.find(&[desk], path)
    }

    fn find(&self, desks: &[Desk], path: &str) -> Option<Result<File, RenderError>> {
        for desk in desks.iter().rev() {
            for sheet in desk.list().iter().rev() {
                // A template with a broken path is nowhere; the machine's errors tell of it.
                let Ok(planned) = desk.plan(sheet, self) else { continue };
                if let Some(planned) = planned.into_iter().find(|planned| planned.path == path) {
                    return Some(desk.file(planned));
                }
            }
        }
        None
    }
}
