//! What is always there, whatever is stored (`spec/machine-model.md` 2.2).

use super::Content;
use super::load::{belongs_to, built_in};
use super::rules::Rules;
use crate::bootenv;
use crate::params::GLOBAL;
use crate::provision;
use protocol::model::{Claim, Envelope, Param, Profile, Role, Stage, WRITABLE_BUNDLE};
use serde_json::json;

/// The stage of machines that are in none.
pub(crate) const NO_STAGE: &str = "none";
/// The role that may do everything.
pub(crate) const SUPERUSER: &str = "superuser";

/// Puts all of it on the empty shelves.
pub(super) fn fill(content: &mut Content) {
    bootenv::builtin().into_iter().for_each(|env| env.enter(content));
    stages().into_iter().for_each(|stage| stage.enter(content));
    let provision = provision::builtin();
    provision.tasks.into_iter().for_each(|task| task.enter(content));
    provision.stages.into_iter().for_each(|stage| stage.enter(content));
    provision.workflows.into_iter().for_each(|workflow| workflow.enter(content));
    local_boot().enter(content);
    provision::params::builtin().into_iter().for_each(|param| param.enter(content));
    superuser().enter(content);
    let mut envelope = Envelope { description: "Params of every machine".to_owned(), ..Envelope::default() };
    belongs_to(&mut envelope, WRITABLE_BUNDLE);
    Profile { name: GLOBAL.to_owned(), envelope, ..Profile::default() }.enter(content);
}

fn stages() -> [Stage; 2] {
    let stage = |name: &str, boot_env: &str, description: &str| Stage {
        name: name.to_owned(),
        boot_env: boot_env.to_owned(),
        runner_wait: true,
        envelope: built_in(description),
        ..Stage::default()
    };
    [stage(NO_STAGE, "", "Nothing to do"), stage("local", "local", "Boots from its own disk")]
}

fn local_boot() -> Param {
    Param {
        name: "pxelinux-local-boot".to_owned(),
        documentation: "What PXELINUX does to boot a machine's own disk: its lines below the label. Some \
                        firmware wants `localboot 0`, other a chain loader."
            .to_owned(),
        schema: json!({"type": "string", "default": "localboot 0"}),
        envelope: built_in("How PXELINUX boots the local disk"),
        ..Param::default()
    }
}

fn superuser() -> Role {
    let all = || "*".to_owned();
    Role {
        name: SUPERUSER.to_owned(),
        claims: vec![Claim { scope: all(), action: all(), specific: all() }],
        envelope: built_in("May do everything"),
        ..Role::default()
    }
}
