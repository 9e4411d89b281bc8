//! A machine's name, and the one it gets when nobody gives one.

use crate::names::{self, MAX_NAME, Misnamed};
use protocol::ids::MachineId;
use protocol::inventory::Inventory;
use protocol::model::Kind;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// What a system without a name is called.
const NOBODY: &str = "localhost";
/// Numbers tried behind a default name that is taken, from 2 on.
const NUMBERED: u32 = 14;
/// Tries after which a default name is free: the numbered ones, the hardware address, and ids.
pub const NAME_TRIES: u32 = NUMBERED + 6;

/// A machine's display name by the rules of [`names::check`]: 2 to 253 letters, digits, spaces,
/// dots, dashes and underscores, the first one a letter or digit. By convention the FQDN.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(String);

impl Name {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name a machine gets when nobody gives one: its FQDN by DHCP, else by reverse DNS, else the
    /// host name that an installed system has, else `m-` and its first hardware address, else `m-` and
    /// the beginning of its id.
    pub fn suggest(inventory: &Inventory, reverse_dns: Option<&str>, id: &MachineId) -> Self {
        let host = |text: &str| {
            let name = text.trim_end_matches('.').to_ascii_lowercase();
            // What DHCP and DNS say is anybody's: only what host names have is taken over.
            let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
            if name != NOBODY && name.chars().all(allowed) { name.parse::<Self>().ok() } else { None }
        };
        let fqdn = |text: &str| host(text).filter(|name| name.0.contains('.'));
        fqdn(&inventory.host_name)
            .or_else(|| reverse_dns.and_then(fqdn))
            .or_else(|| host(&inventory.host_name))
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
        let kept: String = self.0.chars().take(room).collect();
        Self(format!("{kept}{suffix}"))
    }
}

/// The first eight digits of an id.
fn beginning(id: &MachineId) -> String {
    id.0.simple().to_string().chars().take(8).collect()
}

impl FromStr for Name {
    type Err = Misnamed;

    fn from_str(text: &str) -> Result<Self, Misnamed> {
        names::check(Kind::Machines, text).map(|()| Self(text.to_owned()))
    }
}

impl TryFrom<String> for Name {
    type Error = Misnamed;
    fn try_from(text: String) -> Result<Self, Misnamed> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::inventory::Link;

    fn id() -> MachineId {
        MachineId(uuid::Uuid::from_u128(0x1234_5678_0000_0000_0000_0000_0000_0001))
    }

    #[test]
    fn name_is_what_a_host_name_may_be() {
        for name in ["ab", "db-07.example.org", "7XK21M3", "rack_4.slot-2", "Größe 2"] {
            assert_eq!(name.parse::<Name>().unwrap().as_str(), name);
        }
        for name in ["", "a", "-a", "a/b", "a:b", "../etc"] {
            assert!(name.parse::<Name>().is_err(), "{name:?}");
        }
    }

    #[test]
    fn suggested_name_prefers_dhcp_then_dns_then_the_hosts_own_then_hardware_address() {
        let mut inventory = Inventory { host_name: "DB-07.example.org.".into(), ..Inventory::default() };
        assert_eq!(Name::suggest(&inventory, Some("x.example"), &id()).as_str(), "db-07.example.org");
        inventory.host_name = "short".into();
        assert_eq!(Name::suggest(&inventory, Some("x.example."), &id()).as_str(), "x.example");
        assert_eq!(Name::suggest(&inventory, Some("bad name.x"), &id()).as_str(), "short");
        inventory.host_name = "localhost".into();
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
        let wide: Name = "é".repeat(253).parse().unwrap();
        assert!(wide.instead(9, &Inventory::default(), &id()).as_str().ends_with("é-10"));
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
}
