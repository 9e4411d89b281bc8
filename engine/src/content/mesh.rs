//! Rules of mesh networks: which networks they may be made of, and that no two of them overlap.

use super::prefs::DEFAULT_MESH;
use super::rules::{Rules, named, shelf};
use super::{Content, Shelf};
use crate::admission::check_place_name;
use crate::change::Change;
use crate::mesh::Network;
use protocol::model::{Kind, MeshNetwork};

impl Content {
    /// The networks of a mesh network, without the numbers that its VIPs leave to no machine; none when there is
    /// none of this name.
    pub fn mesh(&self, name: &str) -> Option<Network> {
        let network = self.meshes.get(name).and_then(|mesh| Network::parse(&mesh.cidrs).ok())?;
        let vips = self.vips.iter().filter(|vip| vip.mesh_network == name);
        Some(network.below(vips.filter_map(|vip| vip.prefix.parse().ok())))
    }

    /// The mesh network that new machines join, or nothing.
    pub fn default_mesh(&self) -> &str {
        self.pref(DEFAULT_MESH)
    }

    /// What a change of an object asks of the store, when it is a mesh network whose addresses are no
    /// more, or others: that no machine has one of them.
    pub(super) fn mesh_given_up(&self, kind: Kind, key: &str, after: &Self) -> Option<Change> {
        let before = self.meshes.get(key).filter(|_| kind == Kind::Meshes)?;
        let stays = after.meshes.get(key).is_some_and(|mesh| mesh.cidrs == before.cidrs);
        (!stays).then(|| Change::ClearMesh(key.to_owned()))
    }
}

impl Rules for MeshNetwork {
    shelf!(meshes);

    /// What is counted, and what a preference says, is not stored with it.
    fn fill(&mut self, _old: Option<&Self>, _fresh: &str) {
        self.default = false;
        self.members = 0;
        self.free_addresses = 0;
    }

    fn preference(&self) -> Option<(&'static str, bool)> {
        Some((DEFAULT_MESH, self.default))
    }

    fn problems(&self, _old: Option<&Self>, content: &Content) -> Vec<String> {
        let mut problems = named(self);
        if problems.is_empty() {
            // Bootstrap tokens name them, with the characters that their claims have.
            problems
                .extend(check_place_name("mesh network", &self.name).err().map(|error| error.to_string()));
        }
        let network = match Network::parse(&self.cidrs) {
            Ok(network) => network,
            Err(wrong) => {
                problems.extend(wrong.into_iter().map(|problem| format!("Cidrs: {problem}")));
                return problems;
            }
        };
        for other in content.meshes.iter().filter(|other| other.name != self.name) {
            let overlap = content.mesh(&other.name).and_then(|other| network.overlap(&other));
            problems.extend(
                overlap
                    .map(|(own, its)| format!("Cidrs: {own} overlaps {its} of mesh network {}", other.name)),
            );
        }
        let vips = content.vips_in_the_way(&self.name, &network);
        problems.extend(vips.into_iter().map(|problem| format!("Cidrs: {problem}")));
        problems
    }

    fn derive(&mut self, content: &Content) {
        self.default = content.default_mesh() == self.name;
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::{and, cause, create, replace, with};
    use super::*;
    use serde_json::{Value, json};

    fn problems(content: &Content, value: &Value) -> Vec<String> {
        create(content, Kind::Meshes, value).err().map(|problem| problem.messages).unwrap_or_default()
    }

    fn mesh(name: &str, cidrs: &[&str]) -> (Kind, Value) {
        (Kind::Meshes, json!({"Name": name, "Cidrs": cidrs}))
    }

    #[test]
    fn mesh_network_says_which_networks_it_is_made_of() {
        let content = with(&[mesh("home", &["10.20.0.0/16", "fd00:20::/64"])]);
        for (cidrs, complaint) in [
            (json!([]), "Cidrs: has 0 networks"),
            (json!(["10.0.0.0/24", "10.1.0.0/24", "fd00::/64"]), "Cidrs: has 3 networks"),
            (json!(["10.0.0.0/24", "10.1.0.0/24"]), "10.0.0.0/24 and 10.1.0.0/24 are of one family"),
            (json!(["203.0.113.0/24"]), "203.0.113.0/24 is no private network; take one of 10.0.0.0/8"),
            (json!(["172.16.0.0/11"]), "172.16.0.0/11 is no private network"),
            (json!(["2001:db8::/64"]), "2001:db8::/64 is no unique local network; take one of fd00::/8"),
            (json!(["fc00::/64"]), "is no unique local network"),
            (json!(["10.0.0.0/31"]), "is of a size that is not taken; IPv4 networks are /8 to /30"),
            (json!(["fd00::/121"]), "IPv6 networks /48 to /120"),
            (json!(["10.0.0.7/24"]), "10.0.0.7/24 is an address in a network; write 10.0.0.0/24"),
            (json!(["fd00::7/64"]), "write fd00::/64"),
            (json!(["all"]), "\"all\" is no network"),
            (json!(["10.20.4.0/24"]), "10.20.4.0/24 overlaps 10.20.0.0/16 of mesh network home"),
            (json!(["fd00:20::/48"]), "fd00:20::/48 overlaps fd00:20::/64 of mesh network home"),
        ] {
            let told = problems(&content, &json!({"Name": "lab", "Cidrs": cidrs}));
            assert!(told.iter().any(|message| message.contains(complaint)), "{cidrs}: {told:?}");
        }
        for cidrs in
            [json!(["192.168.7.0/30"]), json!(["fd00:21::/48"]), json!(["fd00:21::/64", "172.31.0.0/16"])]
        {
            assert_eq!(problems(&content, &json!({"Name": "lab", "Cidrs": cidrs})), [""; 0], "{cidrs}");
        }
        assert!(!problems(&content, &json!({"Name": "a b", "Cidrs": ["10.0.0.0/24"]})).is_empty());
    }

    #[test]
    fn at_most_one_is_the_default() {
        let defaults = |content: &Content| -> Vec<String> {
            let shown = content.list(Kind::Meshes).into_iter().filter(|mesh| mesh["Default"] == true);
            shown.map(|mesh| mesh["Name"].as_str().unwrap().to_owned()).collect()
        };
        let wish = |name: &str, third: u8, default: bool| json!({"Name": name, "Cidrs": [format!("10.0.{third}.0/24")], "Default": default});
        let content = with(&[(Kind::Meshes, wish("home", 1, true)), (Kind::Meshes, wish("lab", 2, false))]);
        assert_eq!(defaults(&content), ["home"]);
        let edit = replace(&content, Kind::Meshes, "lab", &wish("lab", 2, true)).unwrap();
        assert_eq!(
            (defaults(&edit.content), edit.after.unwrap()["Default"].clone()),
            (vec!["lab".to_owned()], json!(true))
        );
        let refused = edit.content.remove(Kind::Meshes, "lab", false, &cause()).unwrap_err();
        assert_eq!(refused.messages, ["mesh network lab is the preference defaultMesh"]);
        let none = replace(&edit.content, Kind::Meshes, "lab", &wish("lab", 2, false)).unwrap().content;
        assert!(defaults(&none).is_empty() && none.default_mesh().is_empty());
        let untouched = replace(&none, Kind::Meshes, "home", &wish("home", 1, false)).unwrap();
        assert!(!untouched.changes.list.iter().any(|change| matches!(change, Change::SetPref { .. })));
    }

    #[test]
    fn addresses_are_given_up_with_the_mesh_network_and_with_its_networks() {
        let content = and(&with(&[]), &[mesh("home", &["10.20.0.0/16"])]);
        let clears = |changes: &crate::change::Changes| {
            changes.list.iter().any(|change| *change == Change::ClearMesh("home".to_owned()))
        };
        let edit = |value: &Value| replace(&content, Kind::Meshes, "home", value).unwrap().changes;
        assert!(clears(&edit(&json!({"Name": "home", "Cidrs": ["10.20.0.0/16", "fd00::/64"]}))));
        assert!(!clears(&edit(
            &json!({"Name": "home", "Cidrs": ["10.20.0.0/16"], "Description": "of the hall"})
        )));
        assert!(clears(&content.remove(Kind::Meshes, "home", false, &cause()).unwrap().changes));
        let members = json!({"Name": "home", "Cidrs": ["10.20.0.0/16"], "Members": 7, "FreeAddresses": 9});
        let stored = replace(&content, Kind::Meshes, "home", &members).unwrap().content;
        assert_eq!(stored.meshes.get("home").unwrap().members, 0);
    }
}
