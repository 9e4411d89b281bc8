//! Machine roles: profiles with a label, that a token gave a machine or that are among its profiles
//! (`spec/architecture.md` 2). What they say is weighed by their merge priority.

use super::MERGE_PRIORITY;
use crate::content::Content;
use crate::machine::Machine;
use crate::params;
use protocol::model::Profile;
use std::cmp::Reverse;
use std::collections::BTreeSet;

/// The label of profiles that are machine roles; its value is `true`.
pub const ROLE_LABEL: &str = "muster-role";
/// The merge priority of a role that does not say one.
pub const DEFAULT_PRIORITY: i64 = 100;

/// A role of a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleRef {
    /// Its name.
    pub name: String,
    /// Its merge priority: the higher wins.
    pub priority: i64,
    /// Whether there is a profile of this name.
    pub exists: bool,
}

/// Whether a profile is a machine role.
pub fn is_role(profile: &Profile) -> bool {
    profile.envelope.meta.get(ROLE_LABEL).is_some_and(|value| value == "true")
}

/// The roles of a machine, the one that wins first: by merge priority from the highest down; of equal ones
/// that which was named first, those that its token gave before those among its profiles.
pub fn roles(content: &Content, machine: &Machine) -> Vec<RoleRef> {
    let given = machine.placement.roles.iter();
    let has = |name: &&String| content.profiles.get(name.as_str()).is_some_and(|profile| is_role(profile));
    let among = machine.fields.profiles.iter().filter(has);
    let mut met = BTreeSet::new();
    let mut roles: Vec<RoleRef> = given
        .chain(among)
        .filter(|name| met.insert(name.as_str()))
        .map(|name| RoleRef {
            name: name.clone(),
            priority: priority(content, name),
            exists: content.profiles.has(name),
        })
        .collect();
    roles.sort_by_key(|role| Reverse(role.priority));
    roles
}

/// Their names, in the same order.
pub fn role_names(content: &Content, machine: &Machine) -> Vec<String> {
    roles(content, machine).into_iter().map(|role| role.name).collect()
}

/// The machine as its roles see it: they are the first of its profiles, whoever gave them.
pub fn with_roles(content: &Content, machine: &Machine) -> Machine {
    let mut machine = machine.clone();
    let roles = role_names(content, &machine);
    machine.fields.profiles.retain(|profile| !roles.contains(profile));
    machine.fields.profiles.splice(0..0, roles);
    machine
}

fn priority(content: &Content, name: &str) -> i64 {
    let said = content.profiles.get(name).and_then(|profile| {
        let sources = params::sources_of_profile(content, profile);
        sources.into_iter().find_map(|params| params.get(MERGE_PRIORITY))?.as_i64()
    });
    said.unwrap_or(DEFAULT_PRIORITY)
}
