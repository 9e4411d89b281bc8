//! The seed of one machine, with everything that is wrong with it.

use super::merge::{Layer, merge};
use super::network::network_config;
use super::{write, yaml};
use crate::content::Content;
use crate::machine::Machine;
use crate::params;
use crate::provision::params::{CLOUD_INIT, NETWORK, REQUIRES_MESH, RoleRef, network, roles, ssh_keys};
use crate::render::{Facts, Scene};
use protocol::install::Seed;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Who gives what the machine's settings say.
const SETTINGS: &str = "machine settings";
/// Longest merged configuration, in bytes.
const MAX_MERGED: usize = 4 * yaml::MAX_DOCUMENT;
/// Most errors that are told.
const MAX_ERRORS: usize = 32;
/// Longest label of a host name (RFC 1123).
const MAX_LABEL: usize = 63;
/// What stands in a message for the value of a secret.
const HIDDEN: &str = "********";
/// A beginning of a secret as long as this is hidden even where its end was cut.
const RECOGNISED: usize = 8;

/// A seed, or as much of it as there is.
#[derive(Debug, Default)]
pub struct Draft {
    /// It. Its texts are secret where its templates ask for secrets.
    pub seed: Seed,
    /// Who gave each key of the user-data, the lowest first.
    pub sources: BTreeMap<String, Vec<String>>,
    /// Everything that is wrong; an installation begins only when it is empty.
    pub errors: Vec<String>,
}

/// The seed of the scene's machine. `instance` tells one installation from the next.
pub fn draft(scene: &Scene, facts: &Arc<Facts>, instance: &str) -> Draft {
    let Some(machine) = scene.machine.as_deref() else { return Draft::default() };
    let mut draft = Draft::default();
    let layers = layers(scene, machine, facts, &mut draft.errors);
    match merge(layers) {
        Ok(merged) => {
            draft.sources = merged.sources;
            let text = format!("#cloud-config\n{}", write::document(&merged.document));
            if text.len() > MAX_MERGED {
                let message = format!(
                    "the merged configuration has {} bytes, at most {MAX_MERGED} are allowed",
                    text.len()
                );
                draft.errors.push(message);
            } else {
                draft.seed.user_data = text;
            }
        }
        Err(errors) => draft.errors.extend(errors),
    }
    draft.seed.meta_data = write::document(&meta_data(machine, instance));
    match network(&scene.content, machine) {
        Ok(plan) => match network_config(&plan, &machine.inventory.links) {
            Ok(made) => {
                draft.seed.network_config = made.as_ref().map(write::document).unwrap_or_default();
            }
            Err(errors) => {
                draft.errors.extend(errors.into_iter().map(|error| format!("param {NETWORK}: {error}")));
            }
        },
        Err(error) => draft.errors.push(error),
    }
    let opened = facts.opened();
    draft.errors.truncate(MAX_ERRORS);
    draft.errors = draft.errors.into_iter().map(|error| without(error, &opened)).collect();
    draft
}

/// What every role says, then what the machine itself does, then its settings: the lowest first.
fn layers(scene: &Scene, machine: &Machine, facts: &Arc<Facts>, errors: &mut Vec<String>) -> Vec<Layer> {
    let mut layers = Vec::new();
    for role in roles(&scene.content, machine).into_iter().rev() {
        let RoleRef { name, exists, .. } = role;
        if !exists {
            errors.push(format!("role {name} of machine {} does not exist", machine.name));
            continue;
        }
        if of_role(&scene.content, &name, REQUIRES_MESH) == Some(&Value::Bool(true))
            && machine.membership.addresses.is_empty()
        {
            let machine = &machine.name;
            errors.push(format!("role {name} needs a mesh network, and machine {machine} is in none"));
        }
        if let Some(template) = of_role(&scene.content, &name, CLOUD_INIT) {
            layers.extend(layer(scene, facts, format!("role {name}"), template, errors));
        }
    }
    if let Some(template) = machine.fields.params.get(CLOUD_INIT) {
        layers.extend(layer(scene, facts, format!("machine {}", machine.name), template, errors));
    }
    match settings(&scene.content, machine) {
        Ok(document) => layers.push(Layer { from: SETTINGS.to_owned(), document }),
        Err(error) => errors.push(error),
    }
    layers
}

/// A param of a role, or of a profile that it is made of.
fn of_role<'a>(content: &'a Content, name: &str, key: &str) -> Option<&'a Value> {
    let profile = content.profiles.get(name)?;
    params::sources_of_profile(content, profile).into_iter().find_map(|params| params.get(key))
}

/// One template, rendered and read.
fn layer(
    scene: &Scene,
    facts: &Arc<Facts>,
    from: String,
    template: &Value,
    errors: &mut Vec<String>,
) -> Option<Layer> {
    let text = match template {
        Value::Null => return None,
        Value::String(text) => text,
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            errors.push(format!("{from}: param {CLOUD_INIT} must be a text"));
            return None;
        }
    };
    let rendered = match scene.cloud_init(&from, text, facts) {
        Ok(rendered) => rendered,
        Err(error) => {
            errors.push(error.to_string());
            return None;
        }
    };
    match yaml::read(&rendered) {
        Ok(document) => Some(Layer { from, document }),
        Err(error) => {
            errors.push(format!("{from}: its rendered template, {error}"));
            None
        }
    }
}

/// What the machine's own settings say, over all roles.
fn settings(content: &Content, machine: &Machine) -> Result<Map<String, Value>, String> {
    let name = hostname(machine);
    let short = name.split('.').next().unwrap_or_default();
    let mut settings = Map::from_iter([("hostname".to_owned(), json!(short))]);
    if short.len() < name.len() {
        settings.insert("fqdn".to_owned(), json!(name));
    }
    let keys = ssh_keys(content, machine)?;
    if !keys.is_empty() {
        settings.insert("ssh_authorized_keys".to_owned(), json!(keys));
    }
    Ok(settings)
}

fn meta_data(machine: &Machine, instance: &str) -> Map<String, Value> {
    Map::from_iter([
        ("instance-id".to_owned(), json!(instance)),
        ("local-hostname".to_owned(), json!(hostname(machine))),
    ])
}

/// A machine's name as its installed system calls itself: what a name may have and a host name may not
/// becomes a dash.
pub fn hostname(machine: &Machine) -> String {
    let label = |label: &str| {
        let mapped: String = label
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' })
            .take(MAX_LABEL)
            .collect();
        mapped.trim_matches('-').to_owned()
    };
    let labels: Vec<String> =
        machine.name.as_str().split('.').map(label).filter(|label| !label.is_empty()).collect();
    if labels.is_empty() { format!("m-{}", machine.id) } else { labels.join(".") }
}

/// A message without the values of secrets, or beginnings of them.
fn without(mut message: String, secrets: &[String]) -> String {
    for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
        message = message.replace(secret.as_str(), HIDDEN);
        let Some((end, _)) = secret.char_indices().nth(RECOGNISED) else { continue };
        let Some(beginning) = secret.get(..end) else { continue };
        while let Some(at) = message.find(beginning) {
            let rest = message.get(at..).unwrap_or_default();
            let same: usize =
                rest.chars().zip(secret.chars()).take_while(|(a, b)| a == b).map(|(a, _)| a.len_utf8()).sum();
            message.replace_range(at..at + same, HIDDEN);
        }
    }
    message
}
