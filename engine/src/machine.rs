//! The registered machine: its stored form, its name, and how REST shows it.

use crate::admission::Placement;
use crate::change::{AuditKind, AuditRow, Cause, Change, Changes, Revision};
use crate::run::Marks;
use crate::time::Timestamp;
use protocol::agent_api::{MachineName, Origin};
use protocol::ids::{KeyThumbprint, MachineId};
use protocol::inventory::Inventory;
use protocol::model::{Envelope, MachineFields, Meta, WRITABLE_BUNDLE};
use protocol::rest::{self, ProvisionState};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A machine is online while its last heartbeat is younger than this.
pub const ONLINE_FOR: Duration = Duration::from_secs(60);
/// Longest machine name, in characters: a DNS name's limit.
pub const MAX_NAME: usize = 253;
/// Numbers tried behind a default name that is taken, from 2 on.
const NUMBERED: u32 = 14;
/// Tries after which a default name is free: the numbered ones, the hardware address, and ids.
pub const NAME_TRIES: u32 = NUMBERED + 6;
/// Why a machine whose credential nobody collected is not available.
pub const UNCLAIMED: &str = "approved, but the machine never collected its credential: boot it again and \
                             approve with merge, or delete it";

/// Why a text cannot be a machine's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Empty.
    #[error("machine name is empty; give one of 1 to {MAX_NAME} characters")]
    Empty,
    /// Longer than [`MAX_NAME`].
    #[error("machine name has {0} characters, at most {MAX_NAME} are allowed")]
    TooLong(usize),
    /// Begins with something else than a letter or digit.
    #[error("machine name must begin with a letter or digit")]
    Start,
    /// A character host names do not have.
    #[error("machine name must not contain {0:?}; use letters, digits, dots, dashes and underscores")]
    Character(char),
}

/// A machine's display name: 1 to 253 letters, digits, dots, dashes and underscores of ASCII,
/// the first one a letter or digit. By convention the FQDN.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(String);

impl Name {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name a machine gets when nobody gives one: its FQDN by DHCP, else by reverse DNS,
    /// else `m-` and its first hardware address, else `m-` and the beginning of its id.
    pub fn suggest(inventory: &Inventory, reverse_dns: Option<&str>, id: &MachineId) -> Self {
        let fqdn = |text: &str| {
            let name = text.trim_end_matches('.').to_ascii_lowercase();
            if name.contains('.') { name.parse::<Self>().ok() } else { None }
        };
        fqdn(&inventory.host_name)
            .or_else(|| reverse_dns.and_then(fqdn))
            .or_else(|| Self::of_hardware(inventory))
            .unwrap_or_else(|| Self(format!("m-{}", beginning(id))))
    }

    /// The name to try after this one was `taken` so many times: `-2`, `-3` and so on, then
    /// `m-` and the first hardware address, then this name and the beginning of the machine's
    /// id, so that any number of machines may be given the same name by DHCP.
    #[must_use]
    pub fn instead(&self, taken: u32, inventory: &Inventory, id: &MachineId) -> Self {
        match taken {
            0 => self.clone(),
            1..=NUMBERED => self.with_suffix(&format!("-{}", taken + 1)),
            _ => Self::of_hardware(inventory)
                .filter(|_| taken == NUMBERED + 1)
                .unwrap_or_else(|| self.with_suffix(&format!("-{}", beginning(id)))),
        }
    }

    fn of_hardware(inventory: &Inventory) -> Option<Self> {
        inventory.macs().next().map(|mac| Self(format!("m-{}", mac.compact())))
    }

    /// Cut where it would grow too long.
    fn with_suffix(&self, suffix: &str) -> Self {
        let room = MAX_NAME.saturating_sub(suffix.len());
        Self(format!("{}{suffix}", self.0.get(..room).unwrap_or(&self.0)))
    }
}

/// The first eight digits of an id.
fn beginning(id: &MachineId) -> String {
    id.0.simple().to_string().chars().take(8).collect()
}

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let Some(first) = text.chars().next() else { return Err(NameError::Empty) };
        if text.len() > MAX_NAME {
            return Err(NameError::TooLong(text.chars().count()));
        }
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        if let Some(stranger) = text.chars().find(|&c| !allowed(c)) {
            return Err(NameError::Character(stranger));
        }
        if first.is_ascii_alphanumeric() { Ok(Self(text.to_owned())) } else { Err(NameError::Start) }
    }
}

impl TryFrom<String> for Name {
    type Error = NameError;
    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

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
    /// Its roles and mesh network, which the token gave that it came by.
    #[serde(default)]
    pub placement: Placement,
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
        Self {
            id,
            name,
            key: Some(key),
            keyed_at: at,
            origin,
            inventory,
            inventory_digest: String::new(),
            created_at: at,
            registered_by: by.to_owned(),
            placement: Placement::default(),
            errors: Vec::new(),
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
            revision: Revision::default(),
        }
    }

    /// The same machine under a new key and with what was seen now.
    #[must_use]
    pub fn rekeyed(mut self, key: KeyThumbprint, inventory: Inventory, at: Timestamp) -> Self {
        self.key = Some(key);
        self.keyed_at = at;
        self.inventory = inventory;
        self.inventory_digest.clear();
        self.errors.retain(|error| error != UNCLAIMED);
        self
    }

    /// The machine goes on under a new key that its old one vouched for.
    pub fn succeeded(self, key: KeyThumbprint, cause: &Cause) -> (Self, Changes) {
        let inventory = self.inventory.clone();
        let machine = self.rekeyed(key, inventory, cause.at);
        let row = AuditRow::new(AuditKind::MachineRekeyed, cause).machine(machine.id).key(key);
        let changes = Changes::new(cause.at)
            .and(Change::UpdateMachine(Box::new(machine.clone())))
            .audit(row.reason("by the old key"));
        (machine, changes)
    }

    /// Stores what the agent observed, under the digest the agent gave it.
    pub fn observe(mut self, inventory: Inventory, digest: &str, at: Timestamp) -> Changes {
        self.inventory = inventory;
        digest.clone_into(&mut self.inventory_digest);
        Changes::new(at).and(Change::UpdateMachine(Box::new(self)))
    }

    /// Deletes the machine; its key is forgotten with it, so that it asks with a new code when
    /// it comes back.
    pub fn delete(&self, cause: &Cause) -> Changes {
        let mut row =
            AuditRow::new(AuditKind::MachineDeleted, cause).machine(self.id).reason(self.name.as_str());
        row.key = self.key;
        Changes::new(cause.at).and(Change::DeleteMachine { id: self.id, revision: self.revision }).audit(row)
    }

    /// The Provision column. Nothing can be installed yet, so every machine is in Discovery mode.
    pub fn provision_state(&self) -> ProvisionState {
        ProvisionState::Discovery
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
                roles: self.placement.roles.clone(),
                mesh_network: self.placement.mesh_network.clone(),
                origin: self.origin,
                inventory: self.inventory.clone(),
                ebpf: self.inventory.ebpf,
                pending_changes: false,
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

/// When a machine was last heard of, and whether that counts as online. Computed, never stored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Presence {
    /// A heartbeat within [`ONLINE_FOR`], and no goodbye since.
    pub online: bool,
    /// The last heartbeat ever.
    pub last_seen: Option<Timestamp>,
}

impl Presence {
    /// The 60-second rule.
    pub fn at(now: Timestamp, last_seen: Option<Timestamp>, said_goodbye: bool) -> Self {
        let recent = last_seen.is_some_and(|seen| now.since(seen) < ONLINE_FOR);
        Self { online: recent && !said_goodbye, last_seen }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::inventory::Link;

    fn id() -> MachineId {
        MachineId(uuid::Uuid::from_u128(0x1234_5678_0000_0000_0000_0000_0000_0001))
    }

    #[test]
    fn name_is_what_a_host_name_may_be() {
        for name in ["a", "db-07.example.org", "7XK21M3", "rack_4.slot-2"] {
            assert_eq!(name.parse::<Name>().unwrap().as_str(), name);
        }
        for (name, message) in [
            ("", "machine name is empty; give one of 1 to 253 characters"),
            ("-a", "machine name must begin with a letter or digit"),
            ("a b", "machine name must not contain ' '; use letters, digits, dots, dashes and underscores"),
            ("a/b", "machine name must not contain '/'; use letters, digits, dots, dashes and underscores"),
        ] {
            assert_eq!(name.parse::<Name>().unwrap_err().to_string(), message);
        }
        assert_eq!(
            "a".repeat(254).parse::<Name>().unwrap_err().to_string(),
            "machine name has 254 characters, at most 253 are allowed"
        );
    }

    #[test]
    fn suggested_name_prefers_dhcp_then_dns_then_hardware_address() {
        let mut inventory = Inventory { host_name: "DB-07.example.org.".into(), ..Inventory::default() };
        assert_eq!(Name::suggest(&inventory, Some("x.example"), &id()).as_str(), "db-07.example.org");
        inventory.host_name = "short".into();
        assert_eq!(Name::suggest(&inventory, Some("x.example."), &id()).as_str(), "x.example");
        let mac = "52:54:00:12:34:56".parse().unwrap();
        inventory.links = vec![Link::new("eth0", mac)];
        assert_eq!(Name::suggest(&inventory, Some("bad name.x"), &id()).as_str(), "m-525400123456");
        inventory.links.clear();
        assert_eq!(Name::suggest(&inventory, None, &id()).as_str(), "m-12345678");
    }

    #[test]
    fn suffix_keeps_a_long_name_within_its_limit() {
        let long: Name = "a".repeat(253).parse().unwrap();
        let next = long.instead(9, &Inventory::default(), &id());
        assert_eq!(next.as_str().len(), 253);
        assert!(next.as_str().ends_with("a-10"));
    }

    #[test]
    fn name_that_is_taken_often_ends_in_hardware_address_and_id() {
        let name: Name = "localhost.localdomain".parse().unwrap();
        let mac = "52:54:00:12:34:56".parse().unwrap();
        let inventory = Inventory { links: vec![Link::new("eth0", mac)], ..Inventory::default() };
        let instead = |taken| name.instead(taken, &inventory, &id()).to_string();
        assert_eq!(instead(0), "localhost.localdomain");
        assert_eq!(instead(1), "localhost.localdomain-2");
        assert_eq!(instead(NUMBERED), format!("localhost.localdomain-{}", NUMBERED + 1));
        assert_eq!(instead(NUMBERED + 1), "m-525400123456");
        assert_eq!(instead(NUMBERED + 2), "localhost.localdomain-12345678");
        let without = name.instead(NUMBERED + 1, &Inventory::default(), &id());
        assert_eq!(without.as_str(), "localhost.localdomain-12345678");
    }

    #[test]
    fn machine_is_online_for_sixty_seconds_unless_it_said_goodbye() {
        let seen = Timestamp::from_seconds(1_000);
        for (after, goodbye, online) in
            [(0, false, true), (59, false, true), (60, false, false), (1, true, false)]
        {
            let now = seen.plus(Duration::from_secs(after));
            assert_eq!(Presence::at(now, Some(seen), goodbye).online, online, "{after}");
        }
        assert!(!Presence::at(seen, None, false).online);
    }
}
