//! Where values of params come from, in the order in which they win.

use crate::content::Content;
use crate::machine::Machine;
use protocol::model::{Params, Profile, Stage};
use std::collections::BTreeSet;

/// The profile that holds for every machine, behind all others.
pub(crate) const GLOBAL: &str = "global";

/// The sources for a machine, first hit wins; for one that is not known, the global profile.
pub fn sources<'a>(content: &'a Content, machine: Option<&'a Machine>) -> Vec<&'a Params> {
    let mut list = List { content, met: BTreeSet::new(), sources: Vec::new() };
    if let Some(machine) = machine {
        let fields = &machine.fields;
        list.sources.push(&fields.params);
        list.profiles(&fields.profiles);
        if let Some(stage) = content.stages.get(&fields.stage) {
            list.sources.push(&stage.params);
            list.profiles(&stage.profiles);
        }
    }
    list.profile(GLOBAL);
    list.sources
}

/// The sources of a profile by itself: its own params, then what it names.
pub fn sources_of_profile<'a>(content: &'a Content, profile: &'a Profile) -> Vec<&'a Params> {
    let met = BTreeSet::from([profile.name.as_str()]);
    let mut list = List { content, met, sources: vec![&profile.params] };
    list.profiles(&profile.profiles);
    list.sources
}

/// The sources of a stage by itself: its own params, then its profiles.
pub fn sources_of_stage<'a>(content: &'a Content, stage: &'a Stage) -> Vec<&'a Params> {
    let mut list = List { content, met: BTreeSet::new(), sources: vec![&stage.params] };
    list.profiles(&stage.profiles);
    list.sources
}

struct List<'a> {
    content: &'a Content,
    /// A profile wins where it is met first; again it would add nothing.
    met: BTreeSet<&'a str>,
    sources: Vec<&'a Params>,
}

impl<'a> List<'a> {
    fn profiles(&mut self, names: &'a [String]) {
        names.iter().for_each(|name| self.profile(name));
    }

    /// A profile, then depth first those that it names. What is missing has no params.
    fn profile(&mut self, name: &'a str) {
        let mut next = vec![name];
        while let Some(name) = next.pop() {
            let Some(profile) = self.content.profiles.get(name).filter(|_| self.met.insert(name)) else {
                continue;
            };
            self.sources.push(&profile.params);
            next.extend(profile.profiles.iter().rev().map(String::as_str));
        }
    }
}
