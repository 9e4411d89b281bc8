//! Rules of VIPs: which addresses and routes there may be, and whom they may be in the way of.

use super::errors::Needs;
use super::rules::{Rules, named, shelf};
use super::{Content, Shelf};
use crate::mesh::{Network, first_address};
use protocol::cidr::Cidr;
use protocol::model::{Kind, Vip, VipState};
use std::collections::BTreeSet;
use std::net::IpAddr;

/// Most VIPs of one mesh network: its relay answers for all of them.
const MAX_OF_MESH: usize = 200;
/// Most machines that one names.
const MAX_MACHINES: usize = 256;
/// Longest name or UUID of a machine, in bytes.
const MAX_MACHINE: usize = 1_024;
/// Shortest prefix of a route, by family: a larger network would take in everything that machines talk to.
const SHORTEST: (u8, u8) = (8, 16);

impl Rules for Vip {
    shelf!(vips);

    /// Who holds it is not stored with it.
    fn fill(&mut self, _old: Option<&Self>, _fresh: &str) {
        self.holder.clear();
        self.epoch = 0;
        self.state = VipState::Nobody;
        self.members.clear();
    }

    fn problems(&self, _old: Option<&Self>, content: &Content) -> Vec<String> {
        let mut problems = named(self);
        if self.mesh_network.is_empty() {
            problems.push("MeshNetwork: name the mesh network whose machines may hold it".to_owned());
        }
        match read_prefix(&self.prefix) {
            Err(problem) => problems.push(format!("Prefix: {problem}")),
            Ok(prefix) => {
                let found = prefix_problems(self, prefix, content);
                problems.extend(found.into_iter().map(|problem| format!("Prefix: {problem}")));
            }
        }
        let others = content.vips.iter().filter(|vip| vip.name != self.name);
        if others.filter(|vip| vip.mesh_network == self.mesh_network).count() >= MAX_OF_MESH {
            problems.push(format!("MeshNetwork: it has {MAX_OF_MESH} VIPs already, no more are taken"));
        }
        problems.extend(self.check.problems().into_iter().map(|problem| format!("Check.{problem}")));
        problems.extend(machine_problem(&self.machines).map(|problem| format!("Machines: {problem}")));
        problems
    }

    fn errors(&self, content: &Content) -> Vec<String> {
        let needs = Needs::of(content).exists(Kind::Meshes, &self.mesh_network);
        if self.role.is_empty() { needs.told() } else { needs.exists(Kind::Profiles, &self.role).told() }
    }

    fn derive(&mut self, _content: &Content) {
        self.state = if self.enabled { VipState::Nobody } else { VipState::Disabled };
    }
}

impl Content {
    /// VIPs that a mesh network of this name and these networks would be in the way of.
    pub(super) fn vips_in_the_way(&self, name: &str, network: &Network) -> Vec<String> {
        let each = self.vips.iter().filter_map(|vip| {
            let prefix: Cidr = vip.prefix.parse().ok()?;
            if vip.mesh_network == name {
                return network
                    .place_problem(name, prefix)
                    .map(|problem| format!("VIP {}: {problem}", vip.name));
            }
            let own = network.cidrs().find(|own| own.overlaps(&prefix))?;
            Some(format!("{own} overlaps {prefix} of VIP {}", vip.name))
        });
        each.collect()
    }
}

/// An address or a network, written as its first address.
fn read_prefix(text: &str) -> Result<Cidr, String> {
    let prefix: Cidr = text.parse().map_err(|_| {
        let told: String = text.chars().take(64).collect();
        format!("{told:?} is neither; write an address as 10.20.128.1/32, or a network as 192.168.7.0/24")
    })?;
    let first = first_address(prefix);
    if first != prefix.network() {
        return Err(format!("{prefix} is an address in a network; write {first}/{}", prefix.prefix()));
    }
    let (shortest, odd) = match first {
        IpAddr::V4(v4) => (
            SHORTEST.0,
            v4.is_link_local() || v4.octets().first() >= Some(&224) || v4.octets().first() == Some(&0),
        ),
        IpAddr::V6(v6) => (SHORTEST.1, v6.is_unicast_link_local() || v6.to_ipv4_mapped().is_some()),
    };
    if prefix.prefix() < shortest {
        return Err(format!("{prefix} is too large a network; the largest is a /{shortest}"));
    }
    if odd || first.is_loopback() || first.is_multicast() || first.is_unspecified() {
        return Err(format!("{prefix} is not sent from one machine to another"));
    }
    Ok(prefix)
}

fn prefix_problems(vip: &Vip, prefix: Cidr, content: &Content) -> Vec<String> {
    let mut problems = Vec::new();
    if let Some(network) = content.mesh(&vip.mesh_network) {
        problems.extend(network.place_problem(&vip.mesh_network, prefix));
    }
    for mesh in content.meshes.iter().filter(|mesh| mesh.name != vip.mesh_network) {
        let network = content.mesh(&mesh.name);
        let overlap = network.and_then(|network| network.cidrs().find(|cidr| cidr.overlaps(&prefix)));
        problems.extend(overlap.map(|its| format!("{prefix} overlaps {its} of mesh network {}", mesh.name)));
    }
    for other in content.vips.iter().filter(|other| other.name != vip.name) {
        let overlap = other.prefix.parse().ok().filter(|its: &Cidr| its.overlaps(&prefix));
        problems.extend(overlap.map(|its| format!("{prefix} overlaps {its} of VIP {}", other.name)));
    }
    problems
}

fn machine_problem(machines: &[String]) -> Option<String> {
    if machines.len() > MAX_MACHINES {
        return Some(format!(
            "{} of them, at most {MAX_MACHINES} are taken; give them a Role",
            machines.len()
        ));
    }
    let mut met = BTreeSet::new();
    machines.iter().find_map(|machine| {
        if machine.is_empty() || machine.len() > MAX_MACHINE {
            return Some("each is the UUID or the name of a machine".to_owned());
        }
        (!met.insert(machine)).then(|| format!("{machine:?} is there twice"))
    })
}

#[cfg(test)]
mod tests {
    use super::super::sample::{and, cause, create, replace, with};
    use super::*;
    use serde_json::{Value, json};

    fn meshes() -> Content {
        with(&[
            (Kind::Meshes, json!({"Name": "home", "Cidrs": ["10.20.0.0/16", "fd00:20::/64"]})),
            (Kind::Meshes, json!({"Name": "lab", "Cidrs": ["10.21.0.0/24"]})),
        ])
    }

    fn vip(name: &str, prefix: &str) -> Value {
        json!({"Name": name, "MeshNetwork": "home", "Prefix": prefix})
    }

    fn problems(content: &Content, value: &Value) -> Vec<String> {
        create(content, Kind::Vips, value).err().map(|problem| problem.messages).unwrap_or_default()
    }

    #[test]
    fn prefix_is_an_address_or_a_route_that_is_in_nobodys_way() {
        let content = and(&meshes(), &[(Kind::Vips, vip("api", "10.20.200.0/28"))]);
        for prefix in [
            "10.20.128.1/32",
            "10.20.255.0/24",
            "fd00:20::8000:0:0:1/128",
            "fd00:20::100:0/128",
            "192.168.7.0/24",
            "203.0.113.9/32",
            "2001:db8::/48",
        ] {
            assert_eq!(problems(&content, &vip("db", prefix)), [""; 0], "{prefix}");
        }
        for (prefix, complaint) in [
            ("", "Prefix: \"\" is neither; write an address as 10.20.128.1/32"),
            ("10.20.128.1", "is neither"),
            ("192.168.7.1/24", "192.168.7.1/24 is an address in a network; write 192.168.7.0/24"),
            ("0.0.0.0/0", "0.0.0.0/0 is too large a network; the largest is a /8"),
            ("2000::/3", "the largest is a /16"),
            ("127.0.0.1/32", "is not sent from one machine to another"),
            ("169.254.1.0/24", "is not sent"),
            ("224.0.0.1/32", "is not sent"),
            ("fe80::1/128", "is not sent"),
            (
                "10.20.0.5/32",
                "10.20.0.5/32 is where machines of mesh network home get their addresses; take one from 10.20.128.0 on",
            ),
            ("fd00:20::5/128", "take one from fd00:20::100:0 on"),
            ("10.20.0.0/16", "10.20.0.0/16 takes in 10.20.0.0/16 of mesh network home"),
            ("10.0.0.0/8", "10.0.0.0/8 takes in 10.20.0.0/16"),
            ("10.21.0.200/32", "10.21.0.200/32 overlaps 10.21.0.0/24 of mesh network lab"),
            ("10.20.200.9/32", "10.20.200.9/32 overlaps 10.20.200.0/28 of VIP api"),
        ] {
            let told = problems(&content, &vip("db", prefix));
            assert!(told.iter().any(|message| message.contains(complaint)), "{prefix}: {told:?}");
        }
        let lab = json!({"Name": "db", "MeshNetwork": "lab", "Prefix": "2001:db8::1/128"});
        assert_eq!(problems(&content, &lab), ["Prefix: mesh network lab has no IPv6 network"]);
    }

    #[test]
    fn other_fields_are_checked_by_their_names() {
        for (field, value, complaint) in [
            ("MeshNetwork", json!(""), "MeshNetwork: name the mesh network"),
            ("Machines", json!(["a", "a"]), "Machines: \"a\" is there twice"),
            ("Machines", json!([""]), "Machines: each is the UUID or the name of a machine"),
            ("Machines", json!(vec!["a"; 257]), "Machines: 257 of them, at most 256 are taken"),
            ("Check", json!({"Type": "tcp"}), "Check.Target: \"\" is no HOST:PORT"),
            ("Check", json!({"Interval": 0}), "Check.Interval: 0 is not within 1 and 300"),
            ("Name", json!("a b\n"), "VIP name"),
        ] {
            let mut wish = vip("db", "10.20.128.1/32");
            wish[field] = value;
            let told = problems(&meshes(), &wish);
            assert!(told.iter().any(|message| message.contains(complaint)), "{field}: {told:?}");
        }
        assert!(!problems(&meshes(), &json!({"Name": "db", "MeshNetwork": "home", "Prefix": "10.20.128.1/32", "Check": {"Type": "icmp"}})).is_empty());
    }

    #[test]
    fn vip_is_enabled_unless_it_says_otherwise_and_clients_do_not_write_who_holds_it() {
        let mut wish = vip("api", "10.20.128.1/32");
        wish["Holder"] = json!("somebody");
        wish["Epoch"] = json!(7);
        wish["State"] = json!("held");
        let content = and(&meshes(), &[(Kind::Vips, wish.clone())]);
        let shown = content.show(Kind::Vips, "api").unwrap();
        assert_eq!(
            (&shown["Enabled"], &shown["Holder"], &shown["Epoch"], &shown["State"]),
            (&json!(true), &json!(""), &json!(0), &json!("nobody"))
        );
        wish["Enabled"] = json!(false);
        let off = replace(&content, Kind::Vips, "api", &wish).unwrap().after.unwrap();
        assert_eq!(off["State"], "disabled");
    }

    #[test]
    fn mesh_network_of_a_vip_stays_and_keeps_room_for_it() {
        let content = and(&meshes(), &[(Kind::Vips, vip("api", "10.20.200.0/28"))]);
        let refused = content.remove(Kind::Meshes, "home", false, &cause()).unwrap_err();
        assert_eq!(refused.messages, ["mesh network home is used by VIP api"]);
        let moved = json!({"Name": "home", "Cidrs": ["10.20.0.0/15"]});
        let told = replace(&content, Kind::Meshes, "home", &moved).unwrap_err().messages;
        assert!(
            told.iter().any(|message| message.contains("Cidrs: 10.20.0.0/15 overlaps 10.21.0.0/24")),
            "{told:?}"
        );
        let smaller = json!({"Name": "home", "Cidrs": ["10.20.200.0/24"]});
        let told = replace(&content, Kind::Meshes, "home", &smaller).unwrap_err().messages;
        assert!(
            told.iter()
                .any(|message| message.starts_with("Cidrs: VIP api: 10.20.200.0/28 is where machines")),
            "{told:?}"
        );
        let without = and(&content, &[(Kind::Vips, vip("lan", "192.168.7.0/24"))]);
        let other = create(&without, Kind::Meshes, &json!({"Name": "flat", "Cidrs": ["192.168.0.0/16"]}));
        assert_eq!(other.unwrap_err().messages, ["Cidrs: 192.168.0.0/16 overlaps 192.168.7.0/24 of VIP lan"]);
    }

    #[test]
    fn machines_get_no_address_that_a_vip_has() {
        let content = meshes();
        assert_eq!(content.mesh("home").unwrap().capacity(), 65_534);
        let content = and(
            &content,
            &[(Kind::Vips, vip("api", "10.20.200.16/28")), (Kind::Vips, vip("v6", "fd00:20::100:0/128"))],
        );
        let network = content.mesh("home").unwrap();
        assert_eq!(network.capacity(), 200 * 256 + 15);
        assert_eq!(network.addresses(network.capacity())[0].to_string(), "10.20.200.15");
    }

    #[test]
    fn what_a_vip_needs_and_is_not_there_is_told() {
        let mut wish = vip("api", "192.168.7.1/32");
        wish["Role"] = json!("db");
        wish["MeshNetwork"] = json!("none");
        let content = and(&meshes(), &[(Kind::Vips, wish)]);
        let shown = content.show(Kind::Vips, "api").unwrap();
        assert_eq!(shown["Errors"], json!(["mesh network none does not exist", "profile db does not exist"]));
    }

    #[test]
    fn vips_come_with_bundles() {
        let bundle = json!({
            "meta": {"Name": "web"},
            "sections": {"vips": {"api": vip("api", "10.20.128.1/32")}},
        });
        let edit = meshes().import(&bundle, None, &BTreeSet::new(), &cause()).unwrap();
        assert_eq!(edit.content.vips.get("api").unwrap().envelope.bundle, "web");
        let refused = edit.content.remove(Kind::Vips, "api", false, &cause()).unwrap_err();
        assert_eq!(refused.messages, ["VIP api belongs to web, which is read-only"]);
    }
}
