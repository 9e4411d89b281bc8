//! What an installation would be made of, and who says so, as operators see it before they ask for one.

use super::{
    AGENT_HOSTS, Chosen, DISK, DISK_LAYOUT, FIRMWARE_ORDER, IMAGE, INJECT_AGENT, KERNEL_ARGS, NETWORK,
    Origination, SSH_KEYS, WRITE_PROTECTED,
};
use crate::content::Content;
use crate::machine::Machine;
use crate::params;
use protocol::install::{DiskPlan, ParamInForce, ParamSource, RoleInForce, Setup, SourceKind};
use protocol::model::Params;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Longest value that is shown, in bytes of JSON: templates are not sent along with each look.
const MAX_SHOWN: usize = 16 * 1_024;
/// How params of our own begin: for them roles count, in their own order.
const OURS: &str = "muster/";

/// All of it but the disk plan, which is the caller's.
pub fn setup(content: &Content, machine: &Machine) -> Setup {
    let mut errors = errors(content, machine);
    let (image, image_from) = match super::image(content, machine, "") {
        Ok(Chosen { value, from }) => {
            let from = source(&from, &Value::from(value.as_str()));
            (value, from)
        }
        Err(why) => {
            errors.insert(IMAGE.to_owned(), why);
            (String::new(), ParamSource::default())
        }
    };
    Setup {
        roles: super::roles(content, machine)
            .into_iter()
            .map(|role| RoleInForce { name: role.name, priority: role.priority, exists: role.exists })
            .collect(),
        image,
        image_from,
        params: in_force(content, machine),
        // A value that cannot be read protects: nothing is installed before it can.
        write_protected: super::write_protected(content, machine).unwrap_or(true),
        errors,
        disk_plan: DiskPlan::default(),
    }
}

/// What is wrong with params of our own.
fn errors(content: &Content, machine: &Machine) -> BTreeMap<String, String> {
    let checks = [
        (DISK, super::disk_rule(content, machine).err()),
        (DISK_LAYOUT, super::layout(content, machine).err()),
        (NETWORK, super::network(content, machine).err()),
        (SSH_KEYS, super::ssh_keys(content, machine).err()),
        (KERNEL_ARGS, super::kernel_args(content, machine).err()),
        (INJECT_AGENT, super::inject_agent(content, machine).err()),
        (FIRMWARE_ORDER, super::firmware_order(content, machine).err()),
        (WRITE_PROTECTED, super::write_protected(content, machine).err()),
        (AGENT_HOSTS, super::agent_hosts(content, machine).err()),
    ];
    checks.into_iter().filter_map(|(name, why)| Some((name.to_owned(), why?))).collect()
}

fn in_force(content: &Content, machine: &Machine) -> Vec<ParamInForce> {
    let (ours, others) = (super::sources(content, machine), super::sources_of_others(content, machine));
    let set = ours.iter().flat_map(|(_, params)| params.keys().map(String::as_str));
    let defined = content.params.iter().map(|param| param.name.as_str());
    let defaults = defined.filter(|name| params::default(content, name).is_some());
    let names: BTreeSet<&str> = set.chain(defaults).collect();
    let shown = |name: &str| {
        let sources: &[(Origination, &Params)] = if name.starts_with(OURS) { &ours } else { &others };
        let said = sources.iter().filter_map(|(from, params)| Some(source(from, params.get(name)?)));
        let usual = params::default(content, name).map(|value| source(&Origination::Default, value));
        ParamInForce { name: name.to_owned(), sources: said.chain(usual).collect() }
    };
    // A role that the machine's token named alone says nothing of params that are not ours.
    names.into_iter().map(shown).filter(|param| !param.sources.is_empty()).collect()
}

fn source(from: &Origination, value: &Value) -> ParamSource {
    let (kind, name) = match from {
        Origination::Request | Origination::Machine => (SourceKind::Machine, ""),
        Origination::Role(name) => (SourceKind::Role, name.as_str()),
        Origination::Profile(name) => (SourceKind::Profile, name.as_str()),
        Origination::Stage(name) => (SourceKind::Stage, name.as_str()),
        Origination::Default => (SourceKind::Default, ""),
        Origination::Preference(name) => (SourceKind::Preference, *name),
    };
    let size = value.to_string().len();
    let (value, cut) = match size > MAX_SHOWN {
        true => (Value::Null, u64::try_from(size).unwrap_or(u64::MAX)),
        false => (value.clone(), 0),
    };
    ParamSource { kind, name: name.to_owned(), value, cut }
}
