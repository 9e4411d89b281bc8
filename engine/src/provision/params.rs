//! What an installation is made of, read from the params of a machine: image, disk, layout, network, keys.
//!
//! For the params of Muster's own (`muster/...`) roles count beside the profiles that a machine has: its own
//! params win, then roles from the highest merge priority down, then its other profiles, its stage, the
//! profile `global`, and the default of the param's schema. A value that is none is told with its param and
//! with the place that it comes from.

mod builtin;
mod kernel_args;
mod mesh;
mod roles;
mod setup;

pub use builtin::builtin;
pub use mesh::{MESH_ENDPOINT, MESH_PORT, MESH_RELAY, mesh_endpoint, mesh_port, mesh_relay};
pub use roles::{DEFAULT_PRIORITY, ROLE_LABEL, RoleRef, is_role, role_names, roles, with_roles};
pub use setup::setup;

use self::kernel_args::MAX_KERNEL_ARGS;
use crate::content::Content;
use crate::machine::Machine;
use crate::params::{self, GLOBAL};
use protocol::agent_api::Origin;
use protocol::config::ServerUrl;
use protocol::install::{DiskRule, Layout};
use protocol::model::Params;
use protocol::net::NetPlan;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::fmt;

/// The run that the machine is in: set by the server.
pub const RUN: &str = "muster/run";
/// Name of an image.
pub const IMAGE: &str = "muster/image";
/// A template of cloud-init configuration.
pub const CLOUD_INIT: &str = "muster/cloud-init";
/// Which role wins.
pub const MERGE_PRIORITY: &str = "muster/merge-priority";
/// Whether a role's machines need a mesh network.
pub const REQUIRES_MESH: &str = "muster/requires-mesh";
/// Which disk is the system disk.
pub const DISK: &str = "muster/disk";
/// How it is divided.
pub const DISK_LAYOUT: &str = "muster/disk-layout";
/// The network of the installed system.
pub const NETWORK: &str = "muster/network";
/// Who may log in to the installed system.
pub const SSH_KEYS: &str = "muster/ssh-keys";
/// How long steps may take.
pub const STEP_DEADLINES: &str = "muster/step-deadlines";
/// Whether the installed system gets our agent.
pub const INJECT_AGENT: &str = "muster/inject-agent";
/// Kernel arguments of the installed system.
pub const KERNEL_ARGS: &str = "muster/kernel-args";
/// Whether the disk comes first in the firmware's boot order.
pub const FIRMWARE_ORDER: &str = "muster/firmware-order";
/// Whether no disk may be erased.
pub const WRITE_PROTECTED: &str = "muster/write-protected";
/// Where the installed agent finds the server.
pub const AGENT_HOSTS: &str = "muster/agent-hosts";

/// Most keys of one machine, and the longest of them in bytes.
const MAX_KEYS: usize = 256;
const MAX_KEY: usize = 16 * 1_024;
/// Most addresses of servers.
const MAX_HOSTS: usize = 16;
/// The longest that somebody may give a step, in seconds: a week.
pub(super) const MAX_STEP_SECONDS: u64 = 7 * 86_400;

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origination {
    /// Who asked for the run said so.
    Request,
    /// The machine's own params.
    Machine,
    /// A role, by name.
    Role(String),
    /// A profile that is no role, by name.
    Profile(String),
    /// The machine's stage, by name, or a profile of it.
    Stage(String),
    /// The default of the param's schema.
    Default,
    /// A preference, by name.
    Preference(&'static str),
}

impl fmt::Display for Origination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Request => f.write_str("the request"),
            Self::Machine => f.write_str("the machine"),
            Self::Role(name) => write!(f, "role {name}"),
            Self::Profile(name) => write!(f, "profile {name}"),
            Self::Stage(name) => write!(f, "stage {name}"),
            Self::Default => f.write_str("the default of its schema"),
            Self::Preference(name) => write!(f, "the preference {name}"),
        }
    }
}

/// What was chosen, and by whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen<T> {
    /// It.
    pub value: T,
    /// By whom.
    pub from: Origination,
}

/// Every source of a machine's params of Muster's own, the first that has one wins.
pub(super) fn sources<'a>(content: &'a Content, machine: &'a Machine) -> Vec<(Origination, &'a Params)> {
    let roles = role_names(content, machine);
    let others = machine.fields.profiles.iter().filter(|name| *name != GLOBAL && !roles.contains(name));
    let others = others.cloned().map(Origination::Profile).collect::<Vec<_>>();
    layers(content, machine, roles.into_iter().map(Origination::Role).chain(others))
}

/// The same for all other params: profiles count in the order in which the machine has them.
fn sources_of_others<'a>(content: &'a Content, machine: &'a Machine) -> Vec<(Origination, &'a Params)> {
    let is_role = |name: &String| content.profiles.get(name).is_some_and(|profile| is_role(profile));
    let named = machine.fields.profiles.iter().map(|name| match is_role(name) {
        true => Origination::Role(name.clone()),
        false => Origination::Profile(name.clone()),
    });
    layers(content, machine, named)
}

/// The machine, profiles in this order, its stage, and what holds for every machine.
fn layers<'a>(
    content: &'a Content,
    machine: &'a Machine,
    profiles: impl Iterator<Item = Origination>,
) -> Vec<(Origination, &'a Params)> {
    let mut list = vec![(Origination::Machine, &machine.fields.params)];
    for from in profiles {
        let (Origination::Role(name) | Origination::Profile(name)) = &from else { continue };
        let Some(profile) = content.profiles.get(name) else { continue };
        let of_profile = params::sources_of_profile(content, profile).into_iter();
        list.extend(of_profile.map(|params| (from.clone(), params)));
    }
    if let Some(stage) = content.stages.get(&machine.fields.stage) {
        let of_stage = params::sources_of_stage(content, stage).into_iter();
        list.extend(of_stage.map(|params| (Origination::Stage(stage.name.clone()), params)));
    }
    if let Some(global) = content.profiles.get(GLOBAL) {
        let of_all = params::sources_of_profile(content, global).into_iter();
        list.extend(of_all.map(|params| (Origination::Profile(GLOBAL.to_owned()), params)));
    }
    list
}

/// The value that holds and where it comes from; nothing for one that nobody set.
fn find(content: &Content, machine: &Machine, key: &str) -> Option<Chosen<Value>> {
    let sources = sources(content, machine);
    let set = sources
        .into_iter()
        .find_map(|(from, params)| params.get(key).map(|value| Chosen { value: value.clone(), from }));
    let default = || params::default(content, key).cloned();
    set.or_else(|| default().map(|value| Chosen { value, from: Origination::Default }))
}

/// The value that holds, from the first source that has one; nothing for one that nobody set.
pub fn value(content: &Content, machine: &Machine, key: &str) -> Option<Value> {
    find(content, machine, key).map(|chosen| chosen.value)
}

/// The value as a type of ours; its default where nobody says anything.
fn typed<T: DeserializeOwned + Default>(
    content: &Content,
    machine: &Machine,
    key: &str,
) -> Result<Chosen<T>, String> {
    let Some(Chosen { value, from }) = find(content, machine, key) else {
        return Ok(Chosen { value: T::default(), from: Origination::Default });
    };
    if value.is_null() {
        return Ok(Chosen { value: T::default(), from });
    }
    match serde_json::from_value(value) {
        Ok(value) => Ok(Chosen { value, from }),
        Err(error) => Err(wrong(key, &from, error)),
    }
}

fn wrong(key: &str, from: &Origination, why: impl fmt::Display) -> String {
    format!("param {key} of {from}: {why}")
}

/// The image of a machine: that of the request, of the machine itself, of its roles from the highest merge
/// priority down, of other profiles, then the default image.
///
/// # Errors
/// When nobody says which, or there is none of this name, or it is not available.
pub fn image(content: &Content, machine: &Machine, request: &str) -> Result<Chosen<String>, String> {
    let chosen = if request.is_empty() {
        image_of_params(content, machine)?
    } else {
        Some(Chosen { value: request.to_owned(), from: Origination::Request })
    };
    let default = content.pref("defaultImage");
    let preferred = || Chosen { value: default.to_owned(), from: Origination::Preference("defaultImage") };
    let Some(chosen) = chosen.or_else(|| (!default.is_empty()).then(preferred)) else {
        return Err(format!(
            "no image is chosen for machine {}: set param {IMAGE} of a role or of the machine, or the \
             preference defaultImage",
            machine.name
        ));
    };
    match content.images.get(&chosen.value) {
        None => Err(format!("image {} of {} does not exist", chosen.value, chosen.from)),
        Some(image) => {
            let lacks = content.errors_of(protocol::model::Kind::Images, &image.name);
            if lacks.is_empty() {
                return Ok(chosen);
            }
            Err(format!("image {} of {} is not available: {}", chosen.value, chosen.from, lacks.join("; ")))
        }
    }
}

fn image_of_params(content: &Content, machine: &Machine) -> Result<Option<Chosen<String>>, String> {
    match find(content, machine, IMAGE) {
        None => Ok(None),
        Some(Chosen { value: Value::Null, .. }) => Ok(None),
        Some(Chosen { value: Value::String(name), .. }) if name.is_empty() => Ok(None),
        Some(Chosen { value: Value::String(value), from }) => Ok(Some(Chosen { value, from })),
        Some(Chosen {
            value: Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_),
            from,
        }) => Err(wrong(IMAGE, &from, "must be the name of an image")),
    }
}

/// Which disk is the system disk.
///
/// # Errors
/// A value that is no rule.
pub fn disk_rule(content: &Content, machine: &Machine) -> Result<DiskRule, String> {
    typed(content, machine, DISK).map(|chosen| chosen.value)
}

/// How the system disk is divided.
///
/// # Errors
/// A value that is no layout, or one that nobody can divide a disk by.
pub fn layout(content: &Content, machine: &Machine) -> Result<Layout, String> {
    let Chosen { value, from } = typed::<Layout>(content, machine, DISK_LAYOUT)?;
    value.check().map_err(|error| wrong(DISK_LAYOUT, &from, error))?;
    Ok(value)
}

/// The network of the installed system; automatic where nobody says otherwise.
///
/// # Errors
/// A text that is no plan, or one that asks somebody at a console.
pub fn network(content: &Content, machine: &Machine) -> Result<NetPlan, String> {
    let Some(Chosen { value, from }) = find(content, machine, NETWORK) else {
        return Ok(NetPlan::Automatic);
    };
    let wrong = |why: &dyn fmt::Display| wrong(NETWORK, &from, why);
    let text = match &value {
        Value::Null => return Ok(NetPlan::Automatic),
        Value::String(text) => text.as_str(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            return Err(wrong(&"must be a text, such as if=52:54:00:12:34:56,addr=10.0.0.5/24,gw=10.0.0.1"));
        }
    };
    match text.parse::<NetPlan>().map_err(|error| wrong(&error))? {
        NetPlan::Ask => Err(wrong(&"nobody can be asked at the console of an installed system")),
        plan @ (NetPlan::Automatic | NetPlan::Static(_)) => Ok(plan),
    }
}

/// The SSH keys that may log in: those of every source together, each once.
///
/// # Errors
/// A value that is no list of keys.
pub fn ssh_keys(content: &Content, machine: &Machine) -> Result<Vec<String>, String> {
    let mut keys: Vec<String> = Vec::new();
    for (from, params) in sources(content, machine) {
        let Some(value) = params.get(SSH_KEYS).filter(|value| !value.is_null()) else { continue };
        let list: Vec<String> =
            serde_json::from_value(value.clone()).map_err(|error| wrong(SSH_KEYS, &from, error))?;
        for key in list {
            let key = key.trim();
            if !is_ssh_key(key) {
                return Err(wrong(
                    SSH_KEYS,
                    &from,
                    "each must be one public key, such as `ssh-ed25519 AAAA... name`",
                ));
            }
            if !keys.iter().any(|known| known == key) {
                keys.push(key.to_owned());
            }
        }
    }
    if keys.len() > MAX_KEYS {
        return Err(format!("param {SSH_KEYS}: {} keys, at most {MAX_KEYS} are taken", keys.len()));
    }
    Ok(keys)
}

/// One line of `authorized_keys`, without options in front of it.
fn is_ssh_key(text: &str) -> bool {
    let mut words = text.split(' ');
    let kind = words.next().unwrap_or_default();
    let body = words.next().unwrap_or_default();
    let is_kind = ["ssh-", "ecdsa-", "sk-ssh-", "sk-ecdsa-"].iter().any(|start| kind.starts_with(start));
    let base64 = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=');
    text.len() <= MAX_KEY
        && !text.chars().any(char::is_control)
        && is_kind
        && body.starts_with("AAAA")
        && body.bytes().all(base64)
}

/// Kernel arguments of the installed system, checked word by word.
///
/// # Errors
/// A value that is no text, or a word that cannot be one of them.
pub fn kernel_args(content: &Content, machine: &Machine) -> Result<String, String> {
    let Chosen { value, from } = typed::<String>(content, machine, KERNEL_ARGS)?;
    kernel_args::checked(&value).map_err(|error| wrong(KERNEL_ARGS, &from, error))
}

/// Whether the installed system gets our agent.
///
/// # Errors
/// A value that is no boolean.
pub fn inject_agent(content: &Content, machine: &Machine) -> Result<bool, String> {
    flag(content, machine, INJECT_AGENT, true)
}

/// Whether the disk comes first in the firmware's boot order.
///
/// # Errors
/// A value that is no boolean.
pub fn firmware_order(content: &Content, machine: &Machine) -> Result<bool, String> {
    flag(content, machine, FIRMWARE_ORDER, true)
}

/// Whether no disk of the machine may be erased. A machine that came by the one-line command has a system
/// of its own: only its own param lifts the protection, whatever a role says.
///
/// # Errors
/// A value that is no boolean.
pub fn write_protected(content: &Content, machine: &Machine) -> Result<bool, String> {
    if let Some(value) = machine.fields.params.get(WRITE_PROTECTED).filter(|value| !value.is_null()) {
        return value
            .as_bool()
            .ok_or_else(|| wrong(WRITE_PROTECTED, &Origination::Machine, "must be true or false"));
    }
    Ok(flag(content, machine, WRITE_PROTECTED, false)? || machine.origin == Origin::Cli)
}

/// Where the installed agent finds the server; empty for the addresses that every machine is told.
///
/// # Errors
/// A value that is no list of server addresses.
pub fn agent_hosts(content: &Content, machine: &Machine) -> Result<Vec<ServerUrl>, String> {
    let hosts = typed::<Vec<ServerUrl>>(content, machine, AGENT_HOSTS)?.value;
    if hosts.len() > MAX_HOSTS {
        return Err(format!("param {AGENT_HOSTS}: {} addresses, at most {MAX_HOSTS} are taken", hosts.len()));
    }
    Ok(hosts)
}

fn flag(content: &Content, machine: &Machine, key: &str, usual: bool) -> Result<bool, String> {
    match find(content, machine, key) {
        None | Some(Chosen { value: Value::Null, .. }) => Ok(usual),
        Some(Chosen { value: Value::Bool(value), .. }) => Ok(value),
        Some(Chosen {
            value: Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_),
            from,
        }) => Err(wrong(key, &from, "must be true or false")),
    }
}

#[cfg(test)]
mod tests;
