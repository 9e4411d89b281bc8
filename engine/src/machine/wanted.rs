//! What a client asks a machine to be, read and checked field by field. What was so before is no
//! reason to refuse: only what changes is held against the rules of today.

use super::{Machine, Name};
use crate::change::Cause;
use crate::content::{self, Content};
use crate::problem::{Problem, ProblemKind};
use crate::provision::params as provision;
use crate::{names, params};
use protocol::ids::MacAddr;
use protocol::model::{Envelope, Kind, MachineFields};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use uuid::Uuid;

/// Label that says what sort of machine it is.
const MACHINE_ROLE: &str = "machine-role";
/// Longest secret, in bytes.
const MAX_SECRET: usize = 1_024;

/// Around a write: by whom, why, and with which random values.
#[derive(Debug, Clone, Copy)]
pub struct Wish<'a> {
    /// What machines refer to.
    pub content: &'a Content,
    /// Who and when.
    pub cause: &'a Cause,
    /// The client said that it means it.
    pub force: bool,
    /// A user writes, not a machine or the server itself: only they are held to `Locked`.
    pub by_user: bool,
    /// Random values, in case they are needed.
    pub fresh: Fresh<'a>,
}

/// Random values.
#[derive(Clone, Copy)]
pub struct Fresh<'a> {
    /// A random id (v4).
    pub id: Uuid,
    /// A random secret: 16 or more characters of URL-safe base64.
    pub secret: &'a str,
}

impl std::fmt::Debug for Fresh<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fresh").field("id", &self.id).finish_non_exhaustive()
    }
}

/// The fields that a client may give.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Wanted {
    #[serde(default)]
    pub(super) uuid: String,
    #[serde(default)]
    pub(super) name: String,
    #[serde(default)]
    roles: Vec<String>,
    #[serde(default)]
    mesh_network: String,
    #[serde(flatten)]
    pub(super) fields: MachineFields,
    #[serde(flatten)]
    pub(super) envelope: Envelope,
}

impl Wanted {
    /// Reads a body. `absent` has the values of fields that are not at their default when they are
    /// not given.
    pub(super) fn read(value: &Value, absent: &Value, key: &str) -> Result<Self, Problem> {
        let fields: Map<String, Value> = match value {
            Value::Object(fields) => fields.clone(),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                return Err(invalid(key, vec!["the body is no JSON object".to_owned()]));
            }
        };
        let mut fields = content::without_nulls(fields);
        for (name, value) in absent.as_object().into_iter().flatten() {
            if !fields.contains_key(name) {
                fields.insert(name.clone(), value.clone());
            }
        }
        content::parse(Value::Object(fields)).map_err(|messages| invalid(key, messages))
    }

    /// Takes over what may be changed at any time, in the form it is stored in.
    pub(super) fn apply_plain(&self, machine: &mut Machine, wish: &Wish<'_>) -> Vec<String> {
        let mut problems = Vec::new();
        let roles = provision::role_names(wish.content, machine);
        match self.name.parse::<Name>() {
            Ok(name) => machine.name = name,
            // A machine may have been registered under a name that is too short today.
            Err(_) if self.name == machine.name.as_str() => {}
            Err(error) => problems.push(error.to_string()),
        }
        let new = &self.fields;
        let old = &mut machine.fields;
        take(&mut old.address, &new.address, |new| address(new), &mut problems);
        take(&mut old.hardware_addrs, &new.hardware_addrs, |new| hardware_addrs(new), &mut problems);
        take(&mut old.arch, &new.arch, |new| arch(new), &mut problems);
        take(&mut old.pool, &new.pool, |new| pool(new), &mut problems);
        take(&mut old.fingerprint, &new.fingerprint, fingerprint, &mut problems);
        take(&mut old.context, &new.context, |new| context(new), &mut problems);
        take(&mut machine.meta, &self.envelope.meta, meta, &mut problems);
        let old = &mut machine.fields;
        if new.profiles != old.profiles {
            problems.extend(profile_problems(&old.profiles, &new.profiles, wish.content));
            old.profiles.clone_from(&new.profiles);
        }
        problems.extend(self.take_roles(&roles, machine, wish.content));
        if self.mesh_network != machine.placement.mesh_network {
            let stranger = !self.mesh_network.is_empty() && !wish.content.meshes.has(&self.mesh_network);
            let message = || format!("MeshNetwork: there is no mesh network {:?}", self.mesh_network);
            problems.extend(stranger.then(message));
            machine.placement.mesh_network.clone_from(&self.mesh_network);
        }
        let old = &mut machine.fields;
        problems.extend(params::problems(wish.content, &old.params, &new.params));
        old.params.clone_from(&new.params);
        match new.secret.as_str() {
            "" => wish.fresh.secret.clone_into(&mut old.secret),
            secret if secret.len() > MAX_SECRET => {
                problems.push(format!("Secret has {} bytes, at most {MAX_SECRET} are allowed", secret.len()))
            }
            secret => secret.clone_into(&mut old.secret),
        }
        old.os.clone_from(&new.os);
        old.locked = new.locked;
        old.pool_status = new.pool_status;
        machine.description.clone_from(&self.envelope.description);
        problems
    }

    /// Roles that were not there become profiles of the machine; those that are gone leave it, whoever
    /// gave them.
    fn take_roles(&self, had: &[String], machine: &mut Machine, content: &Content) -> Vec<String> {
        let mut met = BTreeSet::new();
        let mut problems = Vec::new();
        let profiles = &mut machine.fields.profiles;
        for role in &self.roles {
            let is_role = || content.profiles.get(role).is_some_and(|profile| provision::is_role(profile));
            if !met.insert(role) {
                problems.push(format!("Roles: {role} is there twice"));
            } else if !had.contains(role) && !is_role() {
                problems.push(format!("Roles: there is no machine role {role}"));
            } else if !had.contains(role) && !profiles.contains(role) {
                profiles.push(role.clone());
            }
        }
        let stays = |name: &String| met.contains(name) || !had.contains(name);
        profiles.retain(stays);
        machine.placement.roles.retain(stays);
        problems
    }
}

/// Takes a value over in its stored form, unless it is what is stored already.
fn take<T: Clone + PartialEq>(
    old: &mut T,
    new: &T,
    read: impl Fn(&T) -> Result<T, Vec<String>>,
    problems: &mut Vec<String>,
) {
    if old == new {
        return;
    }
    match read(new) {
        Ok(value) => *old = value,
        Err(messages) => problems.extend(messages),
    }
}

fn address(text: &str) -> Result<String, Vec<String>> {
    match text.parse::<Ipv4Addr>() {
        Ok(address) => Ok(address.to_string()),
        Err(_) if text.is_empty() => Ok(String::new()),
        Err(_) => Err(vec![format!("Address {text:?} is no IPv4 address")]),
    }
}

fn hardware_addrs(texts: &[String]) -> Result<Vec<String>, Vec<String>> {
    let mut addresses: Vec<String> = Vec::new();
    let mut problems = Vec::new();
    let mut met = BTreeSet::new();
    for text in texts {
        match text.parse::<MacAddr>() {
            Ok(address) if met.insert(address.0) => addresses.push(address.to_string()),
            Ok(_) => {}
            Err(error) => problems.push(format!("HardwareAddrs: {text:?}: {error}")),
        }
    }
    if problems.is_empty() { Ok(addresses) } else { Err(problems) }
}

fn arch(arch: &str) -> Result<String, Vec<String>> {
    let arch = if arch.is_empty() { "amd64" } else { arch };
    names::arch_problem(arch).map_or_else(|| Ok(arch.to_owned()), |problem| Err(vec![problem]))
}

fn pool(pool: &str) -> Result<String, Vec<String>> {
    let pool = if pool.is_empty() { "default" } else { pool };
    names::check(Kind::Pools, pool).map_err(|error| vec![format!("Pool: {error}")])?;
    Ok(pool.to_owned())
}

fn context(context: &str) -> Result<String, Vec<String>> {
    if !context.is_empty() {
        names::check(Kind::Contexts, context).map_err(|error| vec![format!("Context: {error}")])?;
    }
    Ok(context.to_owned())
}

fn meta(meta: &protocol::model::Meta) -> Result<protocol::model::Meta, Vec<String>> {
    match meta.get(MACHINE_ROLE).map(String::as_str) {
        None | Some("machine" | "self") => Ok(meta.clone()),
        Some(role) => Err(vec![format!(
            "Meta: {MACHINE_ROLE} {role:?} is no machine; leave it out, or give machine or self"
        )]),
    }
}

type Fingerprint = protocol::model::HardwareFingerprint;

fn fingerprint(print: &Fingerprint) -> Result<Fingerprint, Vec<String>> {
    let hashes = [("SSNHash", &print.ssn_hash), ("CSNHash", &print.csn_hash)];
    let modules = print.memory_ids.iter().map(|id| ("MemoryIds", id));
    let wrong = hashes.into_iter().chain(modules).filter(|(_, hash)| !is_base64(hash));
    let problems: Vec<String> =
        wrong.map(|(field, hash)| format!("Fingerprint.{field}: {hash:?} is no base64")).collect();
    if problems.is_empty() { Ok(print.clone()) } else { Err(problems) }
}

/// Standard base64 with its padding, or nothing.
fn is_base64(text: &str) -> bool {
    let digits = text.strip_suffix("==").or_else(|| text.strip_suffix('=')).unwrap_or(text);
    text.len().is_multiple_of(4)
        && digits.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/'))
}

fn profile_problems(old: &[String], new: &[String], content: &Content) -> Vec<String> {
    let mut met = BTreeSet::new();
    let mut problems = Vec::new();
    for profile in new {
        if !met.insert(profile) {
            problems.push(format!("Profiles: {profile} is there twice"));
        } else if !old.contains(profile) && !content.profiles.has(profile) {
            problems.push(format!("Profiles: profile {profile} does not exist"));
        }
    }
    problems
}

/// A machine that would not be valid.
pub(crate) fn invalid(key: &str, messages: Vec<String>) -> Problem {
    Problem { kind: ProblemKind::Invalid, model: Kind::Machines.prefix(), key: key.to_owned(), messages }
}
