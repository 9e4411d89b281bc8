//! Parsed templates, kept with the content they come from: a snapshot is parsed once, and what a
//! change leaves alone is not parsed again.

use crate::content::Content;
use protocol::model::{BootEnv, Kind, Stage, Task, Template, TemplateInfo};
use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use template::{Delimiters, TemplateError, Templates};

/// The parsed templates of one snapshot of the content. Lives in it and is filled when it is first
/// needed. A clone belongs to another snapshot, and takes over what is still true there.
#[derive(Default)]
pub struct Parsed {
    before: Option<Arc<Library>>,
    own: OnceLock<Arc<Library>>,
}

impl Clone for Parsed {
    fn clone(&self) -> Self {
        Self { before: self.own.get().or(self.before.as_ref()).cloned(), own: OnceLock::new() }
    }
}

impl fmt::Debug for Parsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parsed").field("ready", &self.own.get().is_some()).finish()
    }
}

/// All templates of a snapshot, and those of bootenvs, stages and tasks that were used.
pub(super) struct Library {
    /// What was parsed, to see whether it still is what there is.
    sources: Vec<Arc<Template>>,
    templates: Templates,
    objects: RwLock<BTreeMap<(Kind, String), Kept>>,
}

/// A parsed object, with the version of it that was parsed.
struct Kept {
    source: Arc<dyn Any + Send + Sync>,
    sheets: Arc<Sheets>,
}

/// The templates of one object, parsed on top of all others.
#[derive(Debug)]
pub(super) struct Sheets {
    /// Every template that its texts may call: all of the content, and its own by name.
    pub(super) templates: Templates,
    /// Its own, in order.
    pub(super) list: Vec<Sheet>,
}

/// One template of an object. Texts are named by what they are called in the set.
#[derive(Debug)]
pub(super) struct Sheet {
    pub(super) path: Option<String>,
    pub(super) text: Text,
    /// Why it cannot be rendered.
    pub(super) error: Option<TemplateError>,
}

/// What a template gives.
#[derive(Debug)]
pub(super) enum Text {
    /// The template of this name, rendered.
    Contents(String),
    /// A file that lies elsewhere: where, by the template of this name.
    Link(String),
}

/// What has templates.
pub(super) trait Templated: Any + Send + Sync {
    const KIND: Kind;
    fn name(&self) -> &str;
    fn infos(&self) -> &[TemplateInfo];
    fn required(&self) -> &[String];
}

macro_rules! templated {
    ($($type:ident $kind:ident,)*) => {$(
        impl Templated for $type {
            const KIND: Kind = Kind::$kind;
            fn name(&self) -> &str {
                &self.name
            }
            fn infos(&self) -> &[TemplateInfo] {
                &self.templates
            }
            fn required(&self) -> &[String] {
                &self.required_params
            }
        }
    )*};
}

templated! {
    BootEnv BootEnvs,
    Stage Stages,
    Task Tasks,
}

impl Library {
    /// The library of a snapshot.
    pub(super) fn of(content: &Content) -> &Arc<Self> {
        content.parsed.own.get_or_init(|| match &content.parsed.before {
            Some(before) if before.is_of(content) => Arc::clone(before),
            Some(_) | None => Arc::new(Self::parse(content)),
        })
    }

    fn is_of(&self, content: &Content) -> bool {
        self.sources.len() == content.templates.len()
            && self.sources.iter().zip(content.templates.iter()).all(|(old, new)| Arc::ptr_eq(old, new))
    }

    /// A text that is no template is left out: who calls it is told that there is none.
    fn parse(content: &Content) -> Self {
        let mut templates = Templates::default();
        for template in content.templates.iter() {
            let marks = delimiters(&template.start_delimiter, &template.end_delimiter);
            if templates.add(&template.id, &template.contents, &marks).is_err() {
                // Refused when it is written; one that came by an older version is found by its users.
                continue;
            }
        }
        let sources = content.templates.iter().cloned().collect();
        Self { sources, templates, objects: RwLock::default() }
    }

    /// All templates of the content.
    pub(super) fn templates(&self) -> &Templates {
        &self.templates
    }

    /// An object's templates, parsed once for each version of it.
    pub(super) fn sheets<T: Templated>(&self, object: &Arc<T>) -> Arc<Sheets> {
        let key = (T::KIND, object.name().to_owned());
        let known = self.objects.read().unwrap_or_else(PoisonError::into_inner);
        // The version that was parsed is held, so no other can lie at its address.
        let is_it = |kept: &&Kept| std::ptr::addr_eq(Arc::as_ptr(&kept.source), Arc::as_ptr(object));
        if let Some(kept) = known.get(&key).filter(is_it) {
            return Arc::clone(&kept.sheets);
        }
        drop(known);
        let sheets = Arc::new(Sheets::parse(&self.templates, object.infos()));
        let source: Arc<dyn Any + Send + Sync> = Arc::<T>::clone(object);
        let kept = Kept { source, sheets: Arc::clone(&sheets) };
        self.objects.write().unwrap_or_else(PoisonError::into_inner).insert(key, kept);
        sheets
    }
}

impl Sheets {
    fn parse(common: &Templates, infos: &[TemplateInfo]) -> Self {
        let mut templates = common.clone();
        let list = infos.iter().map(|info| Sheet::parse(&mut templates, info)).collect();
        Self { templates, list }
    }
}

impl Sheet {
    fn parse(templates: &mut Templates, info: &TemplateInfo) -> Self {
        let marks = delimiters(&info.start_delimiter, &info.end_delimiter);
        let mut error = None;
        // No template can be called like these, so they are in nobody's way.
        let mut add = |name: String, text: &str| {
            if let Err(problem) = templates.add(&name, text, &marks) {
                error.get_or_insert(problem);
            }
            name
        };
        let path = (!info.path.is_empty()).then(|| add(format!("{} (Path)", info.name), &info.path));
        let text = if !info.link.is_empty() {
            Text::Link(add(format!("{} (Link)", info.name), &info.link))
        } else if !info.id.is_empty() {
            Text::Contents(info.id.clone())
        } else {
            Text::Contents(add(info.name.clone(), &info.contents))
        };
        Self { path, text, error }
    }
}

/// Delimiters of a template; empty ones are Go's.
pub(super) fn delimiters(start: &str, end: &str) -> Delimiters {
    Delimiters { left: start.to_owned(), right: end.to_owned() }
}

/// Why a text is no template; empty when it is one.
pub fn syntax_errors(name: &str, text: &str, start_delimiter: &str, end_delimiter: &str) -> Vec<String> {
    let parsed = Templates::default().add(name, text, &delimiters(start_delimiter, end_delimiter));
    parsed.err().map(|error| error.to_string()).into_iter().collect()
}

/// Why paths, links and texts of a bootenv, stage or task are no templates.
pub fn info_errors(infos: &[TemplateInfo]) -> Vec<String> {
    let mut templates = Templates::default();
    let sheets = infos.iter().map(|info| Sheet::parse(&mut templates, info));
    sheets.filter_map(|sheet| sheet.error).map(|error| error.to_string()).collect()
}
