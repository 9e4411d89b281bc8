use super::*;
use crate::content::sample::with;
use crate::mesh::board::Board;
use crate::mesh::view::Member;
use protocol::model::Kind;
use serde_json::json;
use uuid::Uuid;

/// Interval times unhealthy threshold of the check below, in milliseconds.
const LEASE: u64 = 15_000;

fn id(number: u128) -> MachineId {
    MachineId(Uuid::from_u128(number))
}

fn terms(name: &str, prefix: &str, candidates: &[u128]) -> Terms {
    Terms {
        name: name.to_owned(),
        mesh: "home".to_owned(),
        prefix: prefix.parse().unwrap(),
        check: HealthCheck::default(),
        candidates: candidates.iter().map(|number| id(*number)).collect(),
    }
}

fn one() -> Arbiter {
    let mut arbiter = Arbiter::default();
    let nudge = arbiter.set(vec![terms("api", "10.20.200.1/32", &[1, 2, 3])]);
    assert_eq!(nudge.len(), 3);
    arbiter
}

fn said(healthy: bool, epoch: u64, released: u64) -> [VipReport; 1] {
    [VipReport { name: "api".to_owned(), healthy, epoch, released, message: String::new() }]
}

/// Hears a healthy member and stores what is to be stored.
fn hear(arbiter: &mut Arbiter, number: u128, now: u64) -> Heard {
    let heard = arbiter.hear(id(number), &said(true, 0, 0), now);
    arbiter.stored(&heard.store);
    heard
}

fn epochs(heard: &Heard) -> Vec<u64> {
    heard.grants.iter().map(|grant| grant.epoch).collect()
}

#[test]
fn first_healthy_candidate_is_granted_a_lease_that_is_stored_first() {
    let mut arbiter = one();
    let heard = arbiter.hear(id(2), &said(true, 0, 0), 1_000);
    let grant = VipGrant { name: "api".to_owned(), epoch: 1, lease: LEASE - LEASE / 50 };
    assert_eq!((heard.grants.as_slice(), heard.moved, heard.due), ([grant].as_slice(), true, 5_000));
    let hold = Hold { machine: id(2), epoch: 1, prefix: "10.20.200.1/32".parse().unwrap(), lease: LEASE };
    assert_eq!(heard.store, [("api".to_owned(), Record { epoch: 1, holds: vec![hold] })]);
    // As long as it was not stored it is to be stored with every grant.
    assert_eq!(arbiter.hear(id(2), &said(true, 1, 0), 2_000).store, heard.store);
    arbiter.stored(&heard.store);
    let renewed = arbiter.hear(id(2), &said(true, 1, 0), 3_000);
    assert_eq!((epochs(&renewed), renewed.store.len(), renewed.moved), (vec![1], 0, false));
    assert_eq!(arbiter.held(3_000), BTreeMap::from([(id(2), vec![hold.prefix])]));
}

#[test]
fn holder_is_kept_while_it_is_healthy_whoever_else_is() {
    let mut arbiter = one();
    hear(&mut arbiter, 3, 0);
    for now in [1_000, 14_000, 28_000] {
        assert_eq!(epochs(&hear(&mut arbiter, 3, now - 1_000)), [1]);
        assert!(hear(&mut arbiter, 1, now).grants.is_empty());
    }
}

#[test]
fn nobody_else_is_granted_before_the_lease_of_a_silent_holder_has_ended() {
    let mut arbiter = one();
    hear(&mut arbiter, 1, 0);
    let last = LEASE + MARGIN - 1;
    let waits = hear(&mut arbiter, 2, last - 400);
    // It is asked to come just behind the end.
    assert_eq!((waits.grants.len(), waits.due), (0, 401 + BEHIND));
    assert!(hear(&mut arbiter, 2, last).grants.is_empty());
    assert_eq!(arbiter.standing("api", last).holder, Some(id(1)));
    assert_eq!(arbiter.standing("api", last + 1).holder, None);
    assert_eq!(epochs(&hear(&mut arbiter, 2, last + 1)), [2]);
    assert!(hear(&mut arbiter, 1, last + 2).grants.is_empty(), "who had it comes behind");
}

#[test]
fn what_was_taken_off_is_free_at_once() {
    let mut arbiter = one();
    hear(&mut arbiter, 1, 0);
    hear(&mut arbiter, 2, 10);
    // Unhealthy, and still on its way out of the kernel.
    let leaving = arbiter.hear(id(1), &said(false, 0, 0), 1_000);
    assert!(leaving.grants.is_empty() && leaving.nudge.is_empty());
    assert!(hear(&mut arbiter, 2, 1_100).grants.is_empty());
    let off = arbiter.hear(id(1), &said(false, 0, 1), 1_200);
    assert_eq!((off.moved, off.nudge), (true, BTreeSet::from([id(2)])));
    assert_eq!(epochs(&hear(&mut arbiter, 2, 1_300)), [2]);
}

#[test]
fn report_from_before_a_grant_does_not_give_it_back() {
    let mut arbiter = one();
    hear(&mut arbiter, 1, 0);
    let late = arbiter.hear(id(1), &said(true, 0, 0), 50);
    assert_eq!(epochs(&late), [1]);
    assert!(hear(&mut arbiter, 2, 60).grants.is_empty());
}

#[test]
fn lowest_healthy_candidate_comes_next_unless_its_report_is_overdue() {
    let mut arbiter = one();
    hear(&mut arbiter, 2, 0);
    hear(&mut arbiter, 1, 14_000);
    hear(&mut arbiter, 3, 14_000);
    let end = LEASE + MARGIN;
    let third = hear(&mut arbiter, 3, end + 10);
    assert_eq!((third.grants.len(), third.due), (0, GRACE));
    // The first was to come when the lease ends.
    assert_eq!(epochs(&hear(&mut arbiter, 3, end + BEHIND + GRACE + 1)), [2]);
    let mut punctual = one();
    hear(&mut punctual, 2, 0);
    hear(&mut punctual, 1, 14_000);
    hear(&mut punctual, 3, end + 10);
    assert_eq!(epochs(&hear(&mut punctual, 1, end + 40)), [2]);
}

#[test]
fn nobody_holds_what_is_healthy_nowhere() {
    let mut arbiter = one();
    for number in 1..=3 {
        let heard = arbiter.hear(id(number), &said(false, 0, 0), 1_000);
        assert_eq!((heard.grants.len(), heard.due), (0, 5_000));
    }
    assert!(arbiter.held(1_000).is_empty());
    assert!(arbiter.hear(id(9), &said(true, 0, 0), 1_000).grants.is_empty(), "no candidate");
    assert!(arbiter.hear(id(1), &[], 1_000).grants.is_empty(), "it does not speak of it");
}

#[test]
fn server_that_begins_anew_lets_every_lease_run_out_and_goes_on_counting() {
    let mut arbiter = one();
    let record = hear(&mut arbiter, 1, 0).store;
    let text = serde_json::to_string(&record[0].1).unwrap();
    let mut anew = Arbiter::load([("api".to_owned(), serde_json::from_str(&text).unwrap())], 100);
    anew.set(vec![terms("api", "10.20.200.1/32", &[1, 2])]);
    let end = 100 + LEASE + MARGIN;
    assert!(hear(&mut anew, 2, end - 1).grants.is_empty());
    assert_eq!(epochs(&hear(&mut anew.clone(), 1, end - 1)), [1], "the holder goes on");
    assert_eq!(epochs(&hear(&mut anew, 2, end)), [2]);
}

#[test]
fn address_of_a_vip_that_is_gone_is_given_under_another_name_when_its_lease_has_ended() {
    let mut arbiter = one();
    hear(&mut arbiter, 1, 0);
    arbiter.set(vec![terms("web", "10.20.200.0/28", &[1, 2])]);
    let web = |arbiter: &mut Arbiter, number, now| {
        let report = VipReport { name: "web".to_owned(), healthy: true, ..VipReport::default() };
        arbiter.hear(id(number), &[report], now).grants.len()
    };
    assert_eq!(web(&mut arbiter, 2, LEASE + MARGIN - 1), 0);
    assert_eq!(web(&mut arbiter.clone(), 2, LEASE + MARGIN), 1);
    // Or when its holder took it off: it speaks of it once more.
    arbiter.hear(id(1), &said(false, 0, 1), 2_000);
    assert_eq!(web(&mut arbiter, 2, 2_001), 1);
}

#[test]
fn longer_or_shorter_lease_begins_under_another_epoch() {
    let mut arbiter = one();
    hear(&mut arbiter, 1, 0);
    let mut shorter = terms("api", "10.20.200.1/32", &[1, 2]);
    shorter.check.interval = 1;
    arbiter.set(vec![shorter]);
    let told = hear(&mut arbiter, 1, 1_000);
    assert!(told.grants.is_empty(), "it lets go first");
    assert!(hear(&mut arbiter, 2, 14_000).grants.is_empty());
    let off = arbiter.hear(id(1), &said(true, 0, 1), 14_100);
    assert_eq!(epochs(&off), [2]);
    assert_eq!(off.grants[0].lease, 3_000 - 60);
}

#[test]
fn who_is_no_candidate_any_more_is_not_renewed() {
    let mut arbiter = one();
    hear(&mut arbiter, 1, 0);
    arbiter.forget(id(1));
    assert!(arbiter.held(10).is_empty());
    assert!(hear(&mut arbiter, 1, 1_000).grants.is_empty());
    assert!(hear(&mut arbiter, 2, 1_000).grants.is_empty(), "its lease runs all the same");
    arbiter.set(Vec::new());
    assert!(arbiter.is_idle());
}

#[test]
fn standing_says_of_each_candidate_why_it_is_not_healthy() {
    let mut arbiter = one();
    let mut bad = said(false, 0, 0);
    "connection refused".clone_into(&mut bad[0].message);
    arbiter.hear(id(2), &bad, 0);
    hear(&mut arbiter, 1, 0);
    let standing = arbiter.standing("api", 100);
    let told: Vec<(bool, &str)> =
        standing.members.iter().map(|member| (member.healthy, member.message.as_str())).collect();
    assert_eq!(told, [(true, ""), (false, "connection refused"), (false, "it has not reported yet")]);
    assert_eq!((standing.holder, standing.epoch), (Some(id(1)), 1));
    let later = arbiter.standing("api", 60_000);
    assert_eq!((later.holder, later.members[0].message.as_str()), (None, "its reports stopped"));
}

#[test]
fn vips_in_force_are_those_that_are_enabled_and_in_nobodys_way() {
    let vip = |name: &str, prefix: &str, more: serde_json::Value| {
        let mut vip =
            json!({"Name": name, "MeshNetwork": "home", "Prefix": prefix, "Machines": ["m1"], "Role": "db"});
        vip.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        (Kind::Vips, vip)
    };
    let content = with(&[
        (Kind::Meshes, json!({"Name": "home", "Cidrs": ["10.20.0.0/16"]})),
        vip("api", "10.20.200.1/32", json!({})),
        vip("off", "10.20.200.2/32", json!({"Enabled": false})),
        vip("taken", "10.20.200.3/32", json!({})),
        vip("far", "192.168.7.0/24", json!({"Machines": [id(2).to_string()], "Role": ""})),
        vip("none", "192.168.8.0/24", json!({"MeshNetwork": "none"})),
    ]);
    let mut board = Board::new("home", vec!["10.20.0.0/16".parse().unwrap()], false);
    for (number, address, role) in
        [(1, "10.20.0.1", "web"), (2, "10.20.0.2", "web"), (3, "10.20.200.3", "db")]
    {
        let roles = BTreeSet::from([role.to_owned()]);
        let addresses = vec![address.parse().unwrap()];
        board.put(id(number), Member { name: format!("m{number}"), roles, addresses, ..Member::default() });
    }
    let terms = super::terms(&content, |mesh| (mesh == "home").then_some(&board));
    let told: Vec<(&str, Vec<MachineId>)> =
        terms.iter().map(|terms| (terms.name.as_str(), terms.candidates.iter().copied().collect())).collect();
    assert_eq!(told, [("api", vec![id(1), id(3)]), ("far", vec![id(2)])]);
    let conflict = conflict("10.20.200.3/32".parse().unwrap(), &board).unwrap().to_string();
    assert!(conflict.starts_with("10.20.200.3 is the address of machine m3; take"), "{conflict}");
    let offers = offers(&terms);
    assert_eq!(offers[&id(3)].iter().map(|vip| vip.name.as_str()).collect::<Vec<_>>(), ["api"]);
    assert!(!offers.contains_key(&id(9)));
}
