//! The machine: its stored form and how REST shows it. What becomes of it when somebody writes
//! it is in the parts (`spec/machine-model.md` 1 and 3):
//!
//! - `name`, `presence`: what it is called, and whether it is online
//! - `wanted`: what a client asks for, checked field by field
//! - `create`, `edit`: a machine made, and changed
//! - `walk`: its task list, boot environment and position
//! - `removal`: how it goes
//! - `errors`: what it refers to and is not there

mod create;
mod edit;
mod errors;
mod name;
mod presence;
mod removal;
pub mod search;
#[cfg(test)]
pub(crate) mod tests;
mod walk;
mod wanted;

pub use create::{Newborn, create, newborn};
pub use edit::{edit, start, stopped};
pub use errors::errors;
pub use name::{NAME_TRIES, Name};
pub use presence::{ONLINE_FOR, Presence};
pub use removal::{Completion, Removal, after_completion, delete};
pub use walk::{bootenv_problem, enter_bootenv, stage_problem, workflow_problem};
pub(crate) use wanted::invalid;
pub use wanted::{Fresh, Wish};

use crate::admission::Placement;
use crate::change::{AuditKind, AuditRow, Cause, Change, Changes, Revision};
use crate::mesh::Membership;
use crate::names;
use crate::provision::params::WRITE_PROTECTED;
use crate::provision::{self, LatestRun};
use crate::run::Marks;
use crate::time::Timestamp;
use protocol::agent_api::{MachineName, Origin};
use protocol::ids::{KeyThumbprint, MachineId};
use protocol::inventory::Inventory;
use protocol::model::{Envelope, MachineFields, Meta, WRITABLE_BUNDLE};
use protocol::rest::{self, ProvisionState};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeSet;

/// Why a machine whose credential nobody collected is not available.
pub const UNCLAIMED: &str = "approved, but the machine never collected its credential: boot it again and \
                             approve with merge, or delete it";

/// A registered machine as it is stored. `Serialize` is the stored form; REST shows
/// [`Machine::view`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// Immutable id, given by the server.
    pub id: MachineId,
    /// Unique name.
    pub name: Name,
    /// The key that is this machine; none once an approval was never collected.
    pub key: Option<KeyThumbprint>,
    /// When it got that key: a sign of life, like a heartbeat.
    #[serde(default = "Timestamp::epoch")]
    pub keyed_at: Timestamp,
    /// How it came to us.
    pub origin: Origin,
    /// What it is made of, as last told.
    pub inventory: Inventory,
    /// Digest of the inventory by which agent and server compare it; empty before the agent's first.
    #[serde(default)]
    pub inventory_digest: String,
    /// When it was registered.
    pub created_at: Timestamp,
    /// Who approved it last: `user:NAME`, or `token:JTI`.
    pub registered_by: String,
    /// The roles that its token gave, and its mesh network, whoever chose it.
    #[serde(default)]
    pub placement: Placement,
    /// Its place in its mesh network.
    #[serde(default, skip_serializing_if = "Membership::is_nothing")]
    pub membership: Membership,
    /// What is wrong with it.
    #[serde(default)]
    pub errors: Vec<String>,
    /// The fields of the machine page.
    #[serde(default)]
    pub fields: MachineFields,
    /// One line for people.
    #[serde(default)]
    pub description: String,
    /// Labels.
    #[serde(default = "default_meta")]
    pub meta: Meta,
    /// User who created it, or empty.
    #[serde(default)]
    pub created_by: String,
    /// When it was last changed, by anybody.
    #[serde(default)]
    pub modified_at: Option<Timestamp>,
    /// User who changed it last, or empty.
    #[serde(default)]
    pub modified_by: String,
    /// Why it is not runnable; none while it is.
    #[serde(default)]
    pub paused: Option<Pause>,
    /// The kernel's boot id as our agent last told it, or empty.
    #[serde(default)]
    pub boot_id: String,
    /// The boot environment it had when it began that boot: another one now means a reboot.
    #[serde(default)]
    pub booted_env: String,
    /// What the walk through its task list remembers from one call to the next.
    #[serde(default)]
    pub marks: Marks,
    /// When its agent said goodbye before a restart, until it has booted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_at: Option<Timestamp>,
    /// When a user last gave it something else to boot or to do, until it has booted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot_asked_at: Option<Timestamp>,
    /// What it remembers of its latest provision run; none before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latest_run: Option<LatestRun>,
    /// The commit that last wrote it; kept beside the stored form.
    #[serde(skip)]
    pub revision: Revision,
}

impl Machine {
    /// A newly registered machine.
    pub fn register(
        id: MachineId,
        name: Name,
        key: KeyThumbprint,
        origin: Origin,
        inventory: Inventory,
        by: &str,
        at: Timestamp,
    ) -> Self {
        let cause = Cause { principal: by.to_owned(), ..Cause::system(at) };
        let mut machine = Self::unkeyed(id, name, origin, inventory, &cause);
        machine.key = Some(key);
        machine.keyed_at = at;
        if let Some(arch) = names::canonical_arch(&machine.inventory.arch) {
            arch.clone_into(&mut machine.fields.arch);
        }
        if origin == Origin::Cli {
            machine.fields.params.insert(WRITE_PROTECTED.to_owned(), Value::Bool(true));
        }
        machine.join_addresses();
        machine
    }

    /// A machine that has no key yet.
    fn unkeyed(id: MachineId, name: Name, origin: Origin, inventory: Inventory, cause: &Cause) -> Self {
        Self {
            id,
            name,
            key: None,
            keyed_at: Timestamp::epoch(),
            origin,
            inventory,
            inventory_digest: String::new(),
            created_at: cause.at,
            registered_by: cause.principal.clone(),
            placement: Placement::default(),
            errors: Vec::new(),
            membership: Membership::default(),
            fields: MachineFields::default(),
            description: String::new(),
            meta: default_meta(),
            created_by: String::new(),
            modified_at: None,
            modified_by: String::new(),
            paused: None,
            boot_id: String::new(),
            booted_env: String::new(),
            marks: Marks::default(),
            left_at: None,
            boot_asked_at: None,
            latest_run: None,
            revision: Revision::default(),
        }
    }

    /// A newly registered machine begins where preferences say.
    #[must_use]
    pub fn begins(mut self, newborn: Newborn) -> Self {
        let known = std::mem::replace(&mut self.fields, newborn.fields);
        self.fields.arch = known.arch;
        self.fields.hardware_addrs = known.hardware_addrs;
        self.fields.params.extend(known.params);
        self
    }

    /// The addresses it was seen with join those it has; a user may have written more.
    fn join_addresses(&mut self) {
        let known: BTreeSet<String> = self.fields.hardware_addrs.iter().cloned().collect();
        let mut seen: Vec<String> = self.inventory.macs().map(|mac| mac.to_string()).collect();
        seen.retain(|mac| !known.contains(mac));
        seen.dedup();
        self.fields.hardware_addrs.append(&mut seen);
    }

    /// Who changed it last, and when: users only are named.
    pub(crate) fn sign(&mut self, cause: &Cause) {
        self.modified_at = Some(cause.at);
        if let Some(user) = cause.user() {
            user.clone_into(&mut self.modified_by);
        }
    }

    /// The same machine under a new key and with what was seen now.
    #[must_use]
    pub fn rekeyed(mut self, key: KeyThumbprint, inventory: Inventory, at: Timestamp) -> Self {
        self.key = Some(key);
        self.keyed_at = at;
        self.inventory = inventory;
        self.inventory_digest.clear();
        self.join_addresses();
        self.errors.retain(|error| error != UNCLAIMED);
        self.boot_has_come();
        self
    }

    /// The machine goes on under a new key that its old one vouched for.
    pub fn succeeded(self, key: KeyThumbprint, cause: &Cause) -> (Self, Changes) {
        let inventory = self.inventory.clone();
        let machine = self.rekeyed(key, inventory, cause.at);
        let row = AuditRow::new(AuditKind::MachineRekeyed, cause).machine(machine.id).key(key);
        let changes = Changes::new(cause.at)
            .and(Change::EndNonces(machine.id))
            .and(Change::UpdateMachine(Box::new(machine.clone())))
            .audit(row.reason("by the old key"));
        (machine, changes)
    }

    /// Stores what the agent observed, under the digest the agent gave it.
    pub fn observe(mut self, inventory: Inventory, digest: &str, at: Timestamp) -> (Self, Changes) {
        self.inventory = inventory;
        self.join_addresses();
        digest.clone_into(&mut self.inventory_digest);
        let changes = Changes::new(at).and(Change::UpdateMachine(Box::new(self.clone())));
        (self, changes)
    }

    /// What is stored when it is made (`old` is none) or changed, decided on this content, with
    /// what goes on record for good.
    pub fn saved(&self, old: Option<&Self>, content: Revision, cause: &Cause) -> Changes {
        let changes = Changes::new(cause.at).on(content);
        let row = |kind| AuditRow::new(kind, cause).machine(self.id).reason(self.name.as_str());
        let boxed = Box::new(self.clone());
        match old {
            None => changes.and(Change::InsertMachine(boxed)).audit(row(AuditKind::MachineCreated)),
            Some(old) if old.fields.locked && !self.fields.locked => {
                changes.and(Change::UpdateMachine(boxed)).audit(row(AuditKind::MachineUnlocked))
            }
            Some(_) => changes.and(Change::UpdateMachine(boxed)),
        }
    }

    /// Deletes the machine; its key is forgotten with it, so that it asks with a new code when
    /// it comes back.
    pub fn delete(&self, cause: &Cause) -> Changes {
        let mut row =
            AuditRow::new(AuditKind::MachineDeleted, cause).machine(self.id).reason(self.name.as_str());
        row.key = self.key;
        Changes::new(cause.at).and(Change::DeleteMachine { id: self.id, revision: self.revision }).audit(row)
    }

    /// The Provision column.
    pub fn provision_state(&self) -> ProvisionState {
        provision::state(self.latest_run.as_ref())
    }

    /// Id and name, as a console shows them.
    pub fn who(&self) -> MachineName {
        MachineName { uuid: self.id, name: self.name.to_string() }
    }

    /// The machine as REST shows it.
    pub fn view(&self, presence: Presence) -> rest::Machine {
        let modified_at = self.modified_at.unwrap_or(self.created_at);
        rest::Machine {
            uuid: self.id,
            name: self.name.to_string(),
            fields: self.fields.clone(),
            envelope: Envelope {
                description: self.description.clone(),
                meta: self.meta.clone(),
                validated: true,
                available: self.errors.is_empty(),
                errors: self.errors.clone(),
                read_only: false,
                bundle: WRITABLE_BUNDLE.to_owned(),
                endpoint: String::new(),
                partial: false,
                created_at: Some(self.created_at.to_string()),
                created_by: self.created_by.clone(),
                last_modified_at: Some(modified_at.to_string()),
                last_modified_by: self.modified_by.clone(),
            },
            own: rest::MachineExtras {
                online: presence.online,
                last_seen_at: presence.last_seen.map(|at| at.to_string()),
                provision_state: self.provision_state(),
                // Whoever knows the content puts all in their place.
                roles: self.placement.roles.clone(),
                mesh_network: self.placement.mesh_network.clone(),
                origin: self.origin,
                mesh_addresses: self.membership.addresses.clone(),
                mesh_key: self.mesh_key().map(|key| key.to_string()).unwrap_or_default(),
                inventory: self.inventory.clone(),
                ebpf: self.inventory.ebpf,
                // Whoever knows the content and the time says these.
                pending_changes: false,
                wait_reason: String::new(),
            },
        }
    }
}

/// Why a machine is not runnable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Pause {
    /// Its boot environment changed: it has to boot first.
    BootEnv,
    /// Its agent said so, before a reboot for example.
    Agent,
    /// A job failed.
    Failed,
    /// A user said so.
    User,
}

/// The labels of a new machine: how stages change (`spec/machine-model.md` 1.2).
fn default_meta() -> Meta {
    Meta::from([("feature-flags".to_owned(), "change-stage-v2".to_owned())])
}
