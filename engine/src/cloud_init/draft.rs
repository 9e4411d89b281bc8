//! The seed of one machine, with everything that is wrong with it.

use super::merge::{Fault, Layer, merge};
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
/// Whose all layers together are.
const MERGED: &str = "the merged configuration";
/// What a preview shows where a template makes something of a secret that cannot be made while it is hidden.
const UNSHOWN: &str = "# not shown: it cannot be made while its secrets are hidden\n";

/// A seed, or as much of it as there is.
#[derive(Debug, Default)]
pub struct Draft {
    /// It. Its texts are secret where its templates ask for secrets.
    pub seed: Seed,
    /// Who gave each key of the user-data, the lowest first.
    pub sources: BTreeMap<String, Vec<String>>,
    /// Everything that is wrong; an installation begins only when it is empty. Nothing of the values of
    /// secrets is in it.
    pub errors: Vec<String>,
}

/// A seed as one rendering made it.
#[derive(Default)]
struct Rendered {
    seed: Seed,
    sources: BTreeMap<String, Vec<String>>,
    faults: Vec<Fault>,
}

/// The seed of the scene's machine. `instance` tells one installation from the next.
pub fn draft(scene: &Scene, facts: &Arc<Facts>, instance: &str) -> Draft {
    let real = rendered(scene, facts, instance);
    let hidden = match real.faults.is_empty() || !facts.have_opened() {
        true => None,
        false => Some(rendered(scene, &facts.hidden(), instance).faults),
    };
    Draft { seed: real.seed, sources: real.sources, errors: errors(real.faults, hidden) }
}

/// The same as people see it: as it is while every secret is hidden, with what is wrong with the real one.
pub fn preview(scene: &Scene, facts: &Arc<Facts>, instance: &str) -> Draft {
    let real = rendered(scene, facts, instance);
    let Rendered { mut seed, sources, faults } = rendered(scene, &facts.hidden(), instance);
    if real.faults.is_empty() && !faults.is_empty() {
        UNSHOWN.clone_into(&mut seed.user_data);
    }
    let hidden = facts.have_opened().then_some(faults);
    Draft { seed, sources, errors: errors(real.faults, hidden) }
}

/// What is wrong in words for everybody. Where secrets were opened, nothing is told of what their rendering said,
/// since a template makes of a value what no search for it finds: `hidden` is what went wrong while they were hidden.
fn errors(real: Vec<Fault>, hidden: Option<Vec<Fault>>) -> Vec<String> {
    let mut errors: Vec<String> = match hidden {
        None => real.into_iter().map(|fault| fault.told).collect(),
        Some(hidden) => {
            let mut who: Vec<String> = Vec::new();
            for fault in real {
                if !who.contains(&fault.from) {
                    who.push(fault.from);
                }
            }
            who.iter().flat_map(|who| of_secrets(who, &hidden)).collect()
        }
    };
    errors.truncate(MAX_ERRORS);
    errors
}

/// What is wrong with what `who` says, when secrets were opened.
fn of_secrets(who: &str, hidden: &[Fault]) -> Vec<String> {
    let same: Vec<String> =
        hidden.iter().filter(|fault| fault.from == who).map(|fault| fault.told.clone()).collect();
    if !same.is_empty() {
        return same;
    }
    vec![format!(
        "{who}: cannot be rendered with the values of its secrets; why is not shown, since it could tell them"
    )]
}

fn rendered(scene: &Scene, facts: &Arc<Facts>, instance: &str) -> Rendered {
    let Some(machine) = scene.machine.as_deref() else { return Rendered::default() };
    let mut made = Rendered::default();
    match merge(layers(scene, machine, facts, &mut made.faults)) {
        Ok(merged) => {
            made.sources = merged.sources;
            let text = format!("#cloud-config\n{}", write::document(&merged.document));
            if text.len() > MAX_MERGED {
                let told = format!(
                    "the merged configuration has {} bytes, at most {MAX_MERGED} are allowed",
                    text.len()
                );
                made.faults.push(fault(MERGED, told));
            } else {
                made.seed.user_data = text;
            }
        }
        Err(faults) => made.faults.extend(faults),
    }
    made.seed.meta_data = write::document(&meta_data(machine, instance));
    match network(&scene.content, machine) {
        Ok(plan) => match network_config(&plan, &machine.inventory.links) {
            Ok(config) => {
                made.seed.network_config = config.as_ref().map(write::document).unwrap_or_default();
            }
            Err(errors) => {
                let told = |error| fault(SETTINGS, format!("param {NETWORK}: {error}"));
                made.faults.extend(errors.into_iter().map(told));
            }
        },
        Err(error) => made.faults.push(fault(SETTINGS, error)),
    }
    made
}

fn fault(from: &str, told: String) -> Fault {
    Fault { from: from.to_owned(), told }
}

/// What every role says, then what the machine itself does, then its settings: the lowest first.
fn layers(scene: &Scene, machine: &Machine, facts: &Arc<Facts>, faults: &mut Vec<Fault>) -> Vec<Layer> {
    let mut layers = Vec::new();
    for role in roles(&scene.content, machine).into_iter().rev() {
        let RoleRef { name, exists, .. } = role;
        if !exists {
            faults.push(fault(SETTINGS, format!("role {name} of machine {} does not exist", machine.name)));
            continue;
        }
        if of_role(&scene.content, &name, REQUIRES_MESH) == Some(&Value::Bool(true))
            && machine.membership.addresses.is_empty()
        {
            let machine = &machine.name;
            let told = format!("role {name} needs a mesh network, and machine {machine} is in none");
            faults.push(fault(SETTINGS, told));
        }
        if let Some(template) = of_role(&scene.content, &name, CLOUD_INIT) {
            layers.extend(layer(scene, facts, format!("role {name}"), template, faults));
        }
    }
    if let Some(template) = machine.fields.params.get(CLOUD_INIT) {
        layers.extend(layer(scene, facts, format!("machine {}", machine.name), template, faults));
    }
    match settings(&scene.content, machine) {
        Ok(document) => layers.push(Layer { from: SETTINGS.to_owned(), document }),
        Err(error) => faults.push(fault(SETTINGS, error)),
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
    faults: &mut Vec<Fault>,
) -> Option<Layer> {
    let text = match template {
        Value::Null => return None,
        Value::String(text) => text,
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            let told = format!("{from}: param {CLOUD_INIT} must be a text");
            faults.push(Fault { from, told });
            return None;
        }
    };
    let rendered = match scene.cloud_init(&from, text, facts) {
        Ok(rendered) => rendered,
        Err(error) => {
            faults.push(Fault { from, told: error.to_string() });
            return None;
        }
    };
    match yaml::read(&rendered) {
        Ok(document) => Some(Layer { from, document }),
        Err(error) => {
            let told = format!("{from}: its rendered template, {error}");
            faults.push(Fault { from, told });
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
