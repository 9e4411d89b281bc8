//! Where values of params come from, in the order in which they win.

use crate::content::Content;
use crate::machine::Machine;
use protocol::model::{Params, Profile, Stage};
use std::collections::BTreeSet;

/// The profile that holds for every machine, behind all others.
pub(crate) const GLOBAL: &str = "global";

/// Where a value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source<'a> {
    /// The machine's own params.
    Machine,
    /// A profile of the machine, or one that such a profile names.
    Profile(&'a str),
    /// The params of the machine's stage.
    Stage(&'a str),
    /// A profile of the machine's stage, or one that such a profile names.
    StageProfile(&'a str),
    /// The profile `global`, or one that it names.
    Global(&'a str),
}

/// The sources for a machine, first hit wins; for one that is not known, the global profile.
pub fn sources<'a>(content: &'a Content, machine: Option<&'a Machine>) -> Vec<(Source<'a>, &'a Params)> {
    let mut list = List { content, met: BTreeSet::new(), sources: Vec::new() };
    if let Some(machine) = machine {
        let fields = &machine.fields;
        list.sources.push((Source::Machine, &fields.params));
        list.profiles(&fields.profiles, Source::Profile);
        if let Some(stage) = content.stages.get(&fields.stage) {
            list.sources.push((Source::Stage(&stage.name), &stage.params));
            list.profiles(&stage.profiles, Source::StageProfile);
        }
    }
    list.profile(GLOBAL, Source::Global);
    list.sources
}

/// The sources of a profile by itself: its own params, then what it names.
pub fn sources_of_profile<'a>(content: &'a Content, profile: &'a Profile) -> Vec<(Source<'a>, &'a Params)> {
    let met = BTreeSet::from([profile.name.as_str()]);
    let own = (Source::Profile(&profile.name), &profile.params);
    let mut list = List { content, met, sources: vec![own] };
    list.profiles(&profile.profiles, Source::Profile);
    list.sources
}

/// The sources of a stage by itself: its own params, then its profiles.
pub fn sources_of_stage<'a>(content: &'a Content, stage: &'a Stage) -> Vec<(Source<'a>, &'a Params)> {
    let own = (Source::Stage(&stage.name), &stage.params);
    let mut list = List { content, met: BTreeSet::new(), sources: vec![own] };
    list.profiles(&stage.profiles, Source::StageProfile);
    list.sources
}

struct List<'a> {
    content: &'a Content,
    /// A profile wins where it is met first; again it would add nothing.
    met: BTreeSet<&'a str>,
    sources: Vec<(Source<'a>, &'a Params)>,
}

impl<'a> List<'a> {
    fn profiles(&mut self, names: &'a [String], source: fn(&'a str) -> Source<'a>) {
        names.iter().for_each(|name| self.profile(name, source));
    }

    /// A profile, then depth first those that it names. What is missing has no params.
    fn profile(&mut self, name: &'a str, source: fn(&'a str) -> Source<'a>) {
        let mut next = vec![name];
        while let Some(name) = next.pop() {
            let Some(profile) = self.content.profiles.get(name).filter(|_| self.met.insert(name)) else {
                continue;
            };
            self.sources.push((source(name), &profile.params));
            next.extend(profile.profiles.iter().rev().map(String::as_str));
        }
    }
}
