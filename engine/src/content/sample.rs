//! Content for tests: what is built in, and what the test puts.

use super::{Content, Edit, Write};
use crate::change::Cause;
use crate::problem::Problem;
use crate::time::Timestamp;
use protocol::model::Kind;
use serde_json::{Value, json};

/// A user at a fixed time.
pub(crate) fn cause() -> Cause {
    Cause { principal: "user:ops".to_owned(), ..Cause::system(Timestamp::from_seconds(1_800_000_000)) }
}

/// What is built in.
pub(crate) fn builtin() -> Content {
    Content::load(Vec::new(), [].into(), crate::change::Revision(7)).unwrap()
}

/// What is built in, and these objects, in order.
pub(crate) fn with(objects: &[(Kind, Value)]) -> Content {
    objects.iter().fold(builtin(), |content, (kind, value)| create(&content, *kind, value).unwrap().content)
}

/// The content with more objects.
pub(crate) fn and(content: &Content, objects: &[(Kind, Value)]) -> Content {
    objects
        .iter()
        .fold(content.clone(), |content, (kind, value)| create(&content, *kind, value).unwrap().content)
}

pub(crate) fn create(content: &Content, kind: Kind, value: &Value) -> Result<Edit, Problem> {
    content.put(kind, value.clone(), Write::Create, &cause(), "fresh-secret-0001")
}

pub(crate) fn replace(content: &Content, kind: Kind, key: &str, value: &Value) -> Result<Edit, Problem> {
    content.put(kind, value.clone(), Write::Replace(key), &cause(), "fresh-secret-0002")
}

/// A stage with these tasks, in this bootenv or in any.
pub(crate) fn stage(name: &str, boot_env: &str, tasks: &[&str]) -> (Kind, Value) {
    (Kind::Stages, json!({"Name": name, "BootEnv": boot_env, "Tasks": tasks}))
}

pub(crate) fn workflow(name: &str, stages: &[&str]) -> (Kind, Value) {
    (Kind::Workflows, json!({"Name": name, "Stages": stages}))
}

pub(crate) fn task(name: &str, prerequisites: &[&str]) -> (Kind, Value) {
    (Kind::Tasks, json!({"Name": name, "Prerequisites": prerequisites}))
}

pub(crate) fn bootenv(name: &str) -> (Kind, Value) {
    (Kind::BootEnvs, json!({"Name": name, "OS": {"Name": name}}))
}
