//! Preferences: what they are where nobody set them, and what they may be set to
//! (`spec/machine-model.md` 2.8).

use super::Content;
use super::builtin::NO_STAGE;
use crate::change::{AuditKind, AuditRow, Cause, Change, Changes};
use crate::image_hosts::ImageHosts;
use crate::problem::{Problem, ProblemKind};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// What errors call the preferences.
pub const PREFS_MODEL: &str = "prefs";
/// The mesh network that new machines join.
pub(crate) const DEFAULT_MESH: &str = "defaultMesh";
/// Levels of logging, most talkative first.
const LEVELS: [&str; 7] = ["trace", "debug", "info", "warn", "error", "fatal", "panic"];
/// Length of `baseTokenSecret`, in bytes.
const SECRET_BYTES: usize = 32;
/// Longest `systemGrantorSecret`, in bytes.
const MAX_SECRET: usize = 1_024;

/// What a preference may be set to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holds {
    /// A bootenv for machines that are known.
    KnownBootEnv,
    /// A bootenv for those that are not.
    UnknownBootEnv,
    /// An image, or nothing.
    Image,
    /// A mesh network, or nothing.
    Mesh,
    /// Hosts that images are fetched from.
    ImageHosts,
    Stage,
    /// A workflow, or nothing.
    Workflow,
    Seconds,
    Level,
    /// Text that is never shown, of exactly this many bytes if any.
    Secret(Option<usize>),
}

struct Pref {
    name: &'static str,
    default: &'static str,
    holds: Holds,
}

const fn pref(name: &'static str, default: &'static str, holds: Holds) -> Pref {
    Pref { name, default, holds }
}

const TABLE: [Pref; 17] = [
    pref("baseTokenSecret", "", Holds::Secret(Some(SECRET_BYTES))),
    pref("debugBootEnv", "warn", Holds::Level),
    pref("debugDhcp", "warn", Holds::Level),
    pref("debugFrontend", "warn", Holds::Level),
    pref("debugPlugins", "warn", Holds::Level),
    pref("debugRenderer", "warn", Holds::Level),
    pref("defaultBootEnv", "local", Holds::KnownBootEnv),
    pref("defaultImage", "", Holds::Image),
    pref(DEFAULT_MESH, "", Holds::Mesh),
    pref("defaultStage", NO_STAGE, Holds::Stage),
    pref("defaultWorkflow", "", Holds::Workflow),
    pref("imageHosts", "", Holds::ImageHosts),
    pref("knownTokenTimeout", "3600", Holds::Seconds),
    pref("logLevel", "warn", Holds::Level),
    pref("systemGrantorSecret", "", Holds::Secret(None)),
    pref("unknownBootEnv", "ignore", Holds::UnknownBootEnv),
    pref("unknownTokenTimeout", "600", Holds::Seconds),
];

/// The names of all preferences.
pub const PREFS: [&str; 17] = {
    let mut names = [""; 17];
    let mut at = 0;
    while at < names.len() {
        names[at] = TABLE[at].name;
        at += 1;
    }
    names
};

/// A change of preferences that was decided.
#[derive(Debug, Clone)]
pub struct PrefEdit {
    /// The next snapshot; the commit gives its revision.
    pub content: Content,
    /// What to store.
    pub changes: Changes,
}

impl Content {
    /// The value of a preference, secrets too; empty for one that does not exist.
    pub fn pref(&self, name: &str) -> &str {
        let default = || TABLE.iter().find(|pref| pref.name == name).map_or("", |pref| pref.default);
        self.prefs.get(name).map_or_else(default, String::as_str)
    }

    /// All preferences as REST shows them: secrets are empty.
    pub fn prefs_shown(&self) -> BTreeMap<String, String> {
        let shown = |pref: &Pref| match pref.holds {
            Holds::Secret(_) => String::new(),
            Holds::KnownBootEnv
            | Holds::UnknownBootEnv
            | Holds::Image
            | Holds::Mesh
            | Holds::ImageHosts
            | Holds::Stage
            | Holds::Workflow
            | Holds::Seconds
            | Holds::Level => self.pref(pref.name).to_owned(),
        };
        TABLE.iter().map(|pref| (pref.name.to_owned(), shown(pref))).collect()
    }

    /// Sets some preferences. An empty secret is what is shown of any, so it changes nothing.
    ///
    /// # Errors
    /// Everything that speaks against it; nothing is set then.
    pub fn set_prefs(&self, wanted: &Map<String, Value>, cause: &Cause) -> Result<PrefEdit, Problem> {
        let mut content = self.clone();
        let mut changes = Changes::new(cause.at).on(self.revision);
        let mut problems = Vec::new();
        for (name, value) in wanted {
            let Some(pref) = TABLE.iter().find(|pref| pref.name == name) else {
                problems.push(format!("there is no preference {name}; there are {}", PREFS.join(", ")));
                continue;
            };
            match self.accepted(pref, value) {
                Err(problem) => problems.push(format!("{name}: {problem}")),
                Ok(value) if matches!(pref.holds, Holds::Secret(_)) && value.is_empty() => {}
                Ok(value) if value == self.pref(name) => {}
                Ok(value) => {
                    content.prefs.insert(name.clone(), value.clone());
                    changes = changes.and(Change::SetPref { name: name.clone(), value });
                    if matches!(pref.holds, Holds::Secret(_)) {
                        let row = AuditRow::new(AuditKind::KeyRotated, cause);
                        changes = changes.audit(row.reason(format!("preference {name}")));
                    }
                }
            }
        }
        if problems.is_empty() {
            return Ok(PrefEdit { content, changes });
        }
        Err(Problem {
            kind: ProblemKind::Invalid,
            model: PREFS_MODEL,
            key: String::new(),
            messages: problems,
        })
    }

    fn accepted(&self, pref: &Pref, value: &Value) -> Result<String, String> {
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
                return Err("the value must be a text".to_owned());
            }
        };
        let bootenv = |only_unknown: bool| match self.bootenvs.get(&text) {
            None => Err(format!("bootenv {text} does not exist")),
            Some(env) if env.only_unknown == only_unknown => Ok(text.clone()),
            Some(_) if only_unknown => Err(format!("bootenv {text} is not for unknown machines")),
            Some(_) => Err(format!("bootenv {text} is for unknown machines only")),
        };
        match pref.holds {
            Holds::KnownBootEnv => bootenv(false),
            Holds::UnknownBootEnv => bootenv(true),
            Holds::Image if text.is_empty() || self.images.has(&text) => Ok(text),
            Holds::Image => Err(format!("image {text} does not exist")),
            Holds::Mesh if text.is_empty() || self.meshes.has(&text) => Ok(text),
            Holds::Mesh => Err(format!("mesh network {text} does not exist")),
            Holds::ImageHosts => match text.parse::<ImageHosts>() {
                Ok(_) => Ok(text),
                Err(error) => Err(error.to_string()),
            },
            Holds::Stage if self.stages.has(&text) => Ok(text),
            Holds::Stage => Err(format!("stage {text} does not exist")),
            Holds::Workflow if text.is_empty() || self.workflows.has(&text) => Ok(text),
            Holds::Workflow => Err(format!("workflow {text} does not exist")),
            Holds::Seconds => match text.trim().parse::<u32>() {
                Ok(seconds) => Ok(seconds.to_string()),
                Err(_) => Err(format!("{text:?} is no number of seconds")),
            },
            Holds::Level => match text.as_str() {
                "0" => Ok("warn".to_owned()),
                "1" => Ok("info".to_owned()),
                "2" => Ok("debug".to_owned()),
                level if LEVELS.contains(&level) => Ok(text),
                _ => Err(format!("{text:?} is none of 0, 1, 2, {}", LEVELS.join(", "))),
            },
            Holds::Secret(Some(bytes)) if !text.is_empty() && text.len() != bytes => {
                Err(format!("the secret has {} bytes, it needs {bytes}", text.len()))
            }
            Holds::Secret(_) if text.len() > MAX_SECRET => {
                Err(format!("the secret has {} bytes, at most {MAX_SECRET} are allowed", text.len()))
            }
            Holds::Secret(_) => Ok(text),
        }
    }
}
