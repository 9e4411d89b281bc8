use super::*;
use crate::content::sample::{and, create, with};
use crate::machine::tests::made;
use proptest::prelude::*;
use protocol::model::Kind;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

fn network(cidrs: &[&str]) -> Network {
    Network::parse(&cidrs.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap()
}

fn texts(addresses: &[IpAddr]) -> Vec<String> {
    addresses.iter().map(ToString::to_string).collect()
}

#[test]
fn number_is_counted_from_the_networks_own_address() {
    let both = network(&["fd00:20::/64", "10.20.0.0/16"]);
    assert_eq!(texts(&both.addresses(1)), ["10.20.0.1", "fd00:20::1"]);
    assert_eq!(texts(&both.addresses(256)), ["10.20.1.0", "fd00:20::100"]);
    assert_eq!(texts(&network(&["fd00:20::/64"]).addresses(7)), ["fd00:20::7"]);
}

#[test]
fn networks_own_address_and_that_of_everybody_are_nobodys() {
    for (cidrs, capacity) in [
        (vec!["192.168.7.0/30"], 2),
        (vec!["10.20.0.0/24"], 254),
        (vec!["10.20.0.0/16"], 65_534),
        (vec!["10.0.0.0/8"], MAX_MEMBERS),
        (vec!["fd00::/120"], 255),
        (vec!["fd00::/64"], MAX_MEMBERS),
        (vec!["fd00::/48"], MAX_MEMBERS),
        (vec!["10.20.0.0/24", "fd00::/120"], 254),
        (vec!["10.20.0.0/16", "fd00::/120"], 255),
    ] {
        let network = network(&cidrs);
        assert_eq!(network.capacity(), capacity, "{cidrs:?}");
        let (first, last) = (network.addresses(1), network.addresses(capacity));
        for (cidr, addresses) in network.cidrs().zip(first.into_iter().zip(last)) {
            assert!(cidr.contains(addresses.0) && cidr.contains(addresses.1), "{cidr}");
            assert_ne!(cidr.network(), addresses.0);
        }
    }
    let last = network(&["10.20.0.0/24"]);
    assert_eq!(texts(&last.addresses(last.capacity())), ["10.20.0.254"]);
}

#[test]
fn lowest_free_number_is_given() {
    let network = network(&["10.20.0.0/29"]);
    for (released, highest, next) in [
        (None, 0, Some(1)),
        (None, 3, Some(4)),
        (Some(2), 6, Some(2)),
        (None, 6, None),
        (Some(6), 6, Some(6)),
    ] {
        assert_eq!(network.next(Standing { released, highest }), next, "{released:?} {highest}");
    }
}

#[test]
fn machine_joins_stays_and_leaves() {
    let content = with(&[(Kind::Meshes, json!({"Name": "home", "Cidrs": ["10.20.0.0/29", "fd00::/64"]}))]);
    let new = made(&content, &json!({"Name": "alpha"}));
    assert_eq!((wants(None, &new), problem(&new, &content)), (None, None));
    let mut joined = new.clone();
    joined.placement.mesh_network = "home".to_owned();
    assert_eq!(wants(Some(&new), &joined), Some("home"));
    assert!(problem(&joined, &content).unwrap().starts_with("it has no address in mesh network home"));
    let change = join(&mut joined, &content, Standing { released: None, highest: 2 }).unwrap();
    assert_eq!(change, Change::JoinMesh { mesh: "home".to_owned(), number: 3, machine: new.id });
    assert_eq!(texts(&joined.membership.addresses), ["10.20.0.3", "fd00::3"]);
    assert_eq!((wants(Some(&joined), &joined), problem(&joined, &content)), (None, None));
    let mut same = joined.clone();
    assert_eq!(leave(&joined, &mut same), None);
    assert_eq!(same, joined);
    let mut gone = joined.clone();
    gone.placement.mesh_network.clear();
    assert_eq!(leave(&joined, &mut gone), Some(Change::LeaveMesh(new.id)));
    assert_eq!(gone, new);
}

#[test]
fn full_or_missing_network_is_told_and_gives_no_address() {
    let content = with(&[(Kind::Meshes, json!({"Name": "tiny", "Cidrs": ["10.20.0.0/30"]}))]);
    let mut machine = made(&content, &json!({"Name": "alpha"}));
    machine.placement.mesh_network = "tiny".to_owned();
    let full = Standing { released: None, highest: 2 };
    let told = join(&mut machine, &content, full).unwrap_err().to_string();
    assert_eq!(told, "mesh network tiny is full: all of its 2 addresses are taken");
    machine.placement.mesh_network = "none".to_owned();
    let told = join(&mut machine, &content, Standing::default()).unwrap_err().to_string();
    assert_eq!(told, "mesh network none does not exist");
    assert_eq!(problem(&machine, &content).unwrap(), told);
    assert!(machine.membership.addresses.is_empty());
}

#[test]
fn new_machines_go_to_the_default_one_which_nobody_chose() {
    let home = json!({"Name": "home", "Cidrs": ["10.20.0.0/24"], "Default": true});
    let content = with(&[(Kind::Meshes, home)]);
    let machine = made(&content, &json!({"Name": "alpha"}));
    assert_eq!((machine.placement.mesh_network.as_str(), machine.membership.by_default), ("home", true));
    assert_eq!(machine.chosen_placement(), crate::admission::Placement::default());
    let lab = json!({"Name": "lab", "Cidrs": ["10.21.0.0/24"]});
    let content = and(&content, &[(Kind::Meshes, lab)]);
    let chosen = made(&content, &json!({"Name": "alpha", "MeshNetwork": "lab"}));
    assert_eq!((chosen.placement.mesh_network.as_str(), chosen.membership.by_default), ("lab", false));
}

/// What the store keeps of one network: whose each number is that was ever given.
#[derive(Default)]
struct Numbers(BTreeMap<u32, Option<usize>>);

impl Numbers {
    fn standing(&self) -> Standing {
        Standing {
            released: self.0.iter().find(|(_, owner)| owner.is_none()).map(|(number, _)| *number),
            highest: self.0.keys().next_back().copied().unwrap_or(0),
        }
    }

    /// Takes a number unless it is taken.
    fn take(&mut self, number: u32, owner: usize) -> bool {
        let free = self.0.get(&number).is_none_or(Option::is_none);
        let other = self.0.values().any(|one| *one == Some(owner));
        if free && !other {
            self.0.insert(number, Some(owner));
        }
        free && !other
    }

    fn give_back(&mut self, owner: usize) {
        self.0.values_mut().filter(|one| **one == Some(owner)).for_each(|one| *one = None);
    }
}

#[derive(Debug, Clone)]
enum Deed {
    /// The machine reads how things stand.
    Look(usize),
    /// It tries to have what it decided on when it looked last.
    Join(usize),
    /// It leaves, or is deleted.
    Leave(usize),
}

fn deed() -> impl Strategy<Value = Deed> {
    (0_usize..12, 0_u8..5).prop_map(|(machine, what)| match what {
        0 | 1 => Deed::Look(machine),
        2 | 3 => Deed::Join(machine),
        _ => Deed::Leave(machine),
    })
}

proptest! {
    /// Whatever happens in between a look and its commit: no address is had twice, none is lost, and the
    /// highest number is never more than one above the most that were in the network at once.
    #[test]
    fn no_address_is_had_twice_or_lost(
        deeds in proptest::collection::vec(deed(), 0..200),
        prefix in 28_u8..=30,
    ) {
        let network = network(&[&format!("10.20.0.0/{prefix}"), "fd00:20::/64"]);
        let mut numbers = Numbers::default();
        let mut decided: BTreeMap<usize, Option<u32>> = BTreeMap::new();
        let mut most = 0;
        for deed in deeds {
            match deed {
                Deed::Look(machine) => {
                    let next = network.next(numbers.standing());
                    // Full means full.
                    let members = numbers.0.values().flatten().count();
                    prop_assert_eq!(next.is_none(), members == network.capacity() as usize);
                    decided.insert(machine, next);
                }
                Deed::Join(machine) => {
                    if let Some(Some(number)) = decided.get(&machine) {
                        numbers.take(*number, machine);
                    }
                }
                Deed::Leave(machine) => numbers.give_back(machine),
            }
            let members: Vec<usize> = numbers.0.values().flatten().copied().collect();
            prop_assert_eq!(members.iter().collect::<BTreeSet<_>>().len(), members.len());
            most = most.max(members.len());
            // Every number up to the highest is known: none is lost.
            let highest = numbers.standing().highest;
            prop_assert_eq!(numbers.0.len(), highest as usize);
            prop_assert!(highest as usize <= most + 1 && highest <= network.capacity());
        }
        let addresses: Vec<IpAddr> = numbers.0.keys().flat_map(|number| network.addresses(*number)).collect();
        prop_assert_eq!(addresses.iter().collect::<BTreeSet<_>>().len(), addresses.len());
    }

    /// Two networks that do not overlap never give one address.
    #[test]
    fn networks_apart_give_addresses_apart(one in 0_u8..8, other in 0_u8..8, a in 1_u32..254, b in 1_u32..254) {
        let cidr = |third: u8| format!("10.0.{third}.0/24");
        let (first, second) = (network(&[&cidr(one)]), network(&[&cidr(other)]));
        prop_assert_eq!(first.overlap(&second).is_some(), one == other);
        if one != other {
            prop_assert_ne!(first.addresses(a), second.addresses(b));
        }
    }
}

#[test]
fn overlapping_one_is_refused_where_it_is_written() {
    let content = with(&[(Kind::Meshes, json!({"Name": "home", "Cidrs": ["10.20.0.0/16"]}))]);
    let refused = create(&content, Kind::Meshes, &json!({"Name": "lab", "Cidrs": ["10.20.0.0/16"]}));
    assert!(refused.unwrap_err().to_string().contains("overlaps"));
}
