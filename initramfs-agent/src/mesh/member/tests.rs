//! A member without a kernel and without a server: what it decides.

use super::super::plan::{By, PeerChange};
use super::*;
use crate::mesh::plan::tests::{id, key, own, peer, whole};
use proptest::prelude::*;
use protocol::mesh::{KEEPALIVE, MeshPeer, VipGrant};
use std::net::SocketAddr;

const WALL: i128 = 1_800_000_000_000_000_000;
const VIP: &str = "10.20.0.99/32";

/// A member of which the kernel knows nothing yet.
fn member(peers: &[MeshPeer]) -> Member {
    let mut member = Member::new(Known::default(), 0);
    member.learn(whole(Some(own()), peers), 0);
    member
}

fn place(number: u8) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, number], 51_820))
}

/// A kernel that does what it is told, and shakes hands with nobody by itself.
#[derive(Default)]
struct Kernel(Device);

impl Kernel {
    fn obey(&mut self, changes: &[Change]) {
        self.0.key = Some(key(1));
        for change in changes {
            match change {
                Change::Remove(key) => drop(self.0.peers.remove(key)),
                Change::Set(told) => {
                    let before = self.0.peers.get(&told.key).cloned();
                    assert_eq!(before.is_none(), told.is_new, "{told:?}");
                    let present = changed(before.as_ref().map(|peer| &peer.present), told);
                    self.0.peers.insert(told.key, Peer { present, ..before.unwrap_or_default() });
                }
            }
        }
    }

    fn shake(&mut self, number: u8, at: i128) {
        self.0.peers.get_mut(&key(number)).unwrap().handshake = Some(at);
    }
}

fn keys(changes: &[Change]) -> Vec<(u8, bool)> {
    let mut keys: Vec<(u8, bool)> = changes
        .iter()
        .map(|change| match change {
            Change::Set(PeerChange { key, .. }) => (key.0[0], true),
            Change::Remove(key) => (key.0[0], false),
        })
        .collect();
    keys.sort_unstable();
    keys
}

/// A member and a kernel that has all it wants.
fn settled(peers: &[MeshPeer]) -> (Member, Kernel) {
    let (mut member, mut kernel) = (member(peers), Kernel::default());
    kernel.obey(&member.changes(None, 0));
    member.see(kernel.0.clone(), 0, WALL);
    (member, kernel)
}

#[test]
fn one_change_among_many_is_one_message() {
    let peers: Vec<MeshPeer> = (2..202).map(peer).collect();
    let (mut member, mut kernel) = settled(&peers);
    assert_eq!(kernel.0.peers.len(), 200);
    assert!(kernel.0.peers.values().all(|peer| peer.present.keepalive == KEEPALIVE));
    let renumbered = MeshPeer { key: Some(key(250)), ..peer(9) };
    let news =
        MeshNews { own: Some(own()), peers: vec![renumbered], gone: vec![id(10)], ..MeshNews::default() };
    let learnt = member.learn(news, 100);
    let changes = member.changes(Some(&learnt), 100);
    assert_eq!(keys(&changes), [(9, false), (10, false), (250, true)]);
    kernel.obey(&changes);
    member.see(kernel.0.clone(), 200, WALL);
    assert_eq!(member.changes(None, 200), [], "nothing else differs");
}

#[test]
fn kernel_that_somebody_else_changed_is_put_right() {
    let (mut member, mut kernel) = settled(&[peer(2), peer(3)]);
    kernel.0.peers.remove(&key(2));
    kernel.0.peers.get_mut(&key(3)).unwrap().present.allowed.clear();
    kernel.0.peers.insert(key(66), Peer::default());
    member.see(kernel.0.clone(), 500, WALL);
    let changes = member.changes(None, 500);
    assert_eq!(keys(&changes), [(2, true), (3, true), (66, false)]);
    kernel.obey(&changes);
    member.see(kernel.0.clone(), 900, WALL);
    assert_eq!(member.changes(None, 900), []);
}

#[test]
fn tunnels_of_the_process_before_are_taken_over_as_they_are() {
    let (_, mut kernel) = settled(&[peer(2), peer(3)]);
    kernel.shake(2, WALL);
    let mut again = member(&[peer(2), peer(3)]);
    again.see(kernel.0.clone(), 50_000, WALL + 1_000_000_000);
    assert_eq!(again.changes(None, 50_000), []);
}

#[test]
fn tunnel_that_comes_up_is_reported_at_once() {
    let (mut member, mut kernel) = settled(&[peer(2), peer(3)]);
    assert!(member.report(Vec::new(), 1_000).is_some());
    assert_eq!(member.report_at(), Some(21_000));
    kernel.shake(2, WALL + 1);
    member.see(kernel.0.clone(), 2_000, WALL + 1);
    assert_eq!(member.report_at(), Some(2_000));
    let report = member.report(vec!["192.168.1.5".parse().unwrap()], 2_000).unwrap();
    let told: Vec<_> = report.peers.iter().map(|peer| (peer.machine, peer.handshake, peer.tried)).collect();
    assert_eq!(told, [(id(2), Some(0), 0)], "the other one stands as before");
    assert_eq!((report.key, report.port, report.addresses.len()), (Some(key(1)), 51_820, 1));
    let all = member.report(Vec::new(), 22_000).unwrap();
    assert_eq!(all.peers.len(), 2);
    assert_eq!(all.peers.iter().find(|peer| peer.machine == id(3)).unwrap().tried, 22);
}

#[test]
fn reports_do_not_follow_each_other_without_a_breath() {
    let (mut member, mut kernel) = settled(&[peer(2)]);
    member.report(Vec::new(), 1_000).unwrap();
    kernel.shake(2, WALL + 1);
    member.see(kernel.0.clone(), 1_001, WALL + 1);
    assert_eq!(member.report_at(), Some(1_000 + BREATH));
}

#[test]
fn answer_does_not_put_off_what_waits_for_a_breath() {
    let (mut member, mut kernel) = settled(&[peer(2)]);
    member.report(Vec::new(), 1_000).unwrap();
    kernel.shake(2, WALL + 1);
    member.see(kernel.0.clone(), 1_001, WALL + 1);
    member.answered(1_000, &MeshReportAnswer::default(), 1_050, 0);
    assert_eq!(member.report_at(), Some(1_000 + BREATH));
}

#[test]
fn report_is_due_when_the_server_says_and_never_later() {
    let (mut member, _) = settled(&[peer(2)]);
    for (due, random, expected) in [
        (0, 0, 20_000),
        (0, 2_000, 18_000),
        (10_000, 1_000, 9_000),
        (4_000, 999, 4_000),
        (900_000, 0, 20_000),
    ] {
        member.report(Vec::new(), 100_000).unwrap();
        let answer = MeshReportAnswer { due, grants: Vec::new() };
        member.answered(100_000, &answer, 100_050, random);
        assert_eq!(member.report_at(), Some(100_000 + expected), "{due} {random}");
    }
}

#[test]
fn without_a_key_only_why_there_is_none_is_reported() {
    let mut member = member(&[peer(2)]);
    assert_eq!(member.report_at(), None);
    member.failed("this kernel has no WireGuard", 0);
    assert_eq!(member.report_at(), Some(0));
    let report = member.report(Vec::new(), 0).unwrap();
    assert_eq!((report.key, report.error.as_str()), (None, "this kernel has no WireGuard"));
    member.failed("", 400);
    member.has_key(Some(key(1)), 400);
    assert_eq!(member.report_at(), Some(400));
    let report = member.report(Vec::new(), 400).unwrap();
    assert_eq!((report.key, report.error.as_str()), (Some(key(1)), ""));
}

#[test]
fn dead_peer_is_tried_at_its_other_places() {
    let many = MeshPeer { endpoints: vec![place(2), place(77)], ..peer(2) };
    let (mut member, mut kernel) = settled(&[many]);
    let endpoint = |kernel: &Kernel| kernel.0.peers.get(&key(2)).unwrap().present.endpoint;
    assert_eq!(endpoint(&kernel), Some(place(2)));
    for (now, expected) in [(900, 2), (1_000, 77), (2_000, 2), (3_000, 77), (7_900, 77), (8_000, 2)] {
        member.see(kernel.0.clone(), now, WALL);
        kernel.obey(&member.changes(None, now));
        assert_eq!(endpoint(&kernel), Some(place(expected)), "{now}");
    }
    kernel.shake(2, WALL + 1);
    member.see(kernel.0.clone(), 11_000, WALL);
    assert_eq!(member.changes(None, 60_000), []);
}

#[test]
fn peer_that_was_never_met_is_greeted_at_once_at_another_place_and_one_that_was_is_not_reset() {
    let many = MeshPeer { endpoints: vec![place(2), place(77)], ..peer(2) };
    let (mut never, kernel) = settled(std::slice::from_ref(&many));
    never.see(kernel.0.clone(), 2_000, WALL);
    assert_eq!(keys(&never.changes(None, 2_000)), [(2, false), (2, true)], "out and in again");
    let (mut met, mut kernel) = settled(&[many]);
    kernel.shake(2, WALL);
    met.see(kernel.0.clone(), 1_000, WALL);
    for now in [200_000, 206_000] {
        met.see(kernel.0.clone(), now, WALL);
        let changes = met.changes(None, now);
        assert!(
            changes.iter().all(|change| matches!(change, Change::Set(told) if !told.is_new)),
            "{changes:?}"
        );
        kernel.obey(&changes);
    }
    assert_eq!(kernel.0.peers.get(&key(2)).unwrap().present.endpoint, Some(place(77)));
}

#[test]
fn news_of_another_place_wait_for_the_next_look_which_is_at_once() {
    let (mut member, kernel) = settled(&[peer(2)]);
    let moved = MeshPeer { endpoints: vec![place(88), place(2)], ..peer(2) };
    let learnt = member.learn(MeshNews { own: Some(own()), peers: vec![moved], ..MeshNews::default() }, 100);
    assert_eq!(member.changes(Some(&learnt), 100), []);
    assert!(member.awaits(&learnt));
    member.see(kernel.0.clone(), 110, WALL);
    let changes = member.changes(None, 110);
    assert!(
        matches!(changes.last(), Some(Change::Set(told)) if told.endpoint == Some(place(88))),
        "{changes:?}"
    );
}

#[test]
fn kernel_is_looked_at_often_while_a_tunnel_is_awaited() {
    let (mut member, mut kernel) = settled(&[peer(2)]);
    assert_eq!(member.look_after(1_000), 1_000 + LOOK_SOON);
    assert_eq!(member.look_after(AWAITED), AWAITED + LOOK);
    kernel.shake(2, WALL);
    member.see(kernel.0.clone(), 2_000, WALL);
    assert_eq!(member.look_after(2_000), 2_000 + LOOK);
}

fn vip(name: &str, prefix: &str, kind: CheckKind) -> MeshVip {
    let target = if kind == CheckKind::None { String::new() } else { ":80".to_owned() };
    let check =
        HealthCheck { kind, target, healthy_threshold: 1, unhealthy_threshold: 2, ..HealthCheck::default() };
    MeshVip { name: name.to_owned(), prefix: prefix.parse().unwrap(), check }
}

/// A member that may hold these, and has told so at 1,000.
fn candidate(vips: &[MeshVip]) -> Member {
    let (mut member, _) = settled(&[peer(2)]);
    member.learn(MeshNews { own: Some(own()), vips: vips.to_vec(), ..MeshNews::default() }, 500);
    member
}

fn grant(name: &str, epoch: u64, lease: u64) -> MeshReportAnswer {
    MeshReportAnswer { due: 3_000, grants: vec![VipGrant { name: name.to_owned(), epoch, lease }] }
}

fn has_vip(member: &mut Member, now: u64) -> Option<u64> {
    member.layout(now).addresses.get(&"10.20.0.99".parse().unwrap()).copied().flatten()
}

#[test]
fn what_is_granted_is_put_on_for_as_long_as_its_lease() {
    let mut member = candidate(&[vip("db", VIP, CheckKind::None)]);
    let report = member.report(Vec::new(), 1_000).unwrap();
    assert!(report.vips.iter().all(|vip| vip.healthy && vip.epoch == 0));
    assert_eq!(has_vip(&mut member, 1_000), None);
    member.answered(1_000, &grant("db", 4, 10_000), 1_200, 0);
    assert_eq!(has_vip(&mut member, 1_200), Some(11_000));
    let report = member.report(Vec::new(), 4_000).unwrap();
    assert_eq!(report.vips.first().map(|vip| (vip.epoch, vip.released)), Some((4, 0)));
    member.answered(4_000, &grant("db", 4, 10_000), 4_100, 0);
    assert_eq!(has_vip(&mut member, 10_999), Some(14_000));
    assert_eq!(member.lease_ends(), Some(14_000));
    assert_eq!(has_vip(&mut member, 14_000), None, "nobody answered");
}

#[test]
fn it_is_given_back_only_once_the_kernel_has_let_go() {
    let mut member = candidate(&[vip("db", VIP, CheckKind::None)]);
    member.report(Vec::new(), 1_000).unwrap();
    member.answered(1_000, &grant("db", 4, 10_000), 1_200, 0);
    let laid = member.layout(1_300);
    member.settled(&laid, 1_300);
    member.answered(2_000, &MeshReportAnswer::default(), 2_100, 0);
    let told = |member: &mut Member, now| {
        let report = member.report(Vec::new(), now).unwrap();
        report.vips.first().map(|vip| (vip.epoch, vip.released)).unwrap()
    };
    assert_eq!(told(&mut member, 2_400), (0, 0), "the kernel has it still");
    let without = member.layout(2_500);
    member.settled(&laid, 2_500);
    assert_eq!(told(&mut member, 2_800), (0, 0));
    member.settled(&without, 2_900);
    assert_eq!(member.report_at(), Some(2_800 + BREATH), "at once");
    assert_eq!(told(&mut member, 3_200), (0, 4));
}

#[test]
fn what_is_unhealthy_is_let_go_and_told_at_once() {
    let mut member = candidate(&[vip("db", VIP, CheckKind::Tcp)]);
    let what = ToTest { name: "db".to_owned(), check: vip("db", VIP, CheckKind::Tcp).check };
    assert_eq!(member.due_tests(500), std::slice::from_ref(&what));
    assert_eq!((member.due_tests(9_000), member.next_test()), (Vec::new(), None), "it is under way");
    member.report(Vec::new(), 600).unwrap();
    member.tested(&what, Ok(()), 500, 700);
    assert_eq!((member.next_test(), member.report_at()), (Some(5_500), Some(900)));
    member.report(Vec::new(), 1_000).unwrap();
    member.answered(1_000, &grant("db", 1, 60_000), 1_100, 0);
    assert!(has_vip(&mut member, 1_100).is_some());
    for (begun, holds) in [(5_500, true), (10_500, false)] {
        assert_eq!(member.due_tests(begun).len(), 1);
        member.tested(&what, Err("refused"), begun, begun + 10);
        assert_eq!(has_vip(&mut member, begun + 10).is_some(), holds, "{begun}");
    }
    let report = member.report(Vec::new(), 10_510).unwrap();
    assert_eq!(report.vips.first().map(|vip| (vip.healthy, vip.message.as_str())), Some((false, "refused")));
    // A grant that was on its way meanwhile gives nothing.
    member.answered(10_600, &grant("db", 2, 60_000), 10_700, 0);
    assert_eq!(has_vip(&mut member, 10_700), None);
}

#[test]
fn test_of_an_earlier_check_says_nothing_about_the_present_one() {
    let mut member = candidate(&[vip("db", VIP, CheckKind::Tcp)]);
    let old = member.due_tests(500).remove(0);
    let mut other = vip("db", VIP, CheckKind::Tcp);
    other.check.target = ":81".to_owned();
    member.learn(MeshNews { own: Some(own()), vips: vec![other], ..MeshNews::default() }, 600);
    member.tested(&old, Ok(()), 500, 700);
    assert!(!member.report(Vec::new(), 1_000).unwrap().vips.first().unwrap().healthy);
    assert_eq!(member.due_tests(1_000).first().unwrap().check.target, ":81");
}

#[test]
fn vip_of_another_prefix_and_one_that_is_none_any_more_are_let_go() {
    for now_called in [vec![vip("db", "10.20.0.98/32", CheckKind::None)], Vec::new()] {
        let mut member = candidate(&[vip("db", VIP, CheckKind::None)]);
        member.report(Vec::new(), 1_000).unwrap();
        member.answered(1_000, &grant("db", 4, 60_000), 1_100, 0);
        assert!(has_vip(&mut member, 1_100).is_some());
        member.learn(MeshNews { own: Some(own()), vips: now_called, ..MeshNews::default() }, 2_000);
        let laid = member.layout(2_000);
        assert_eq!(laid.addresses.values().flatten().count(), 0, "{laid:?}");
        member.settled(&laid, 2_000);
        assert_eq!(member.lease_ends(), None);
    }
}

#[test]
fn network_that_is_held_makes_a_gateway_and_no_address() {
    let mut member = candidate(&[vip("lan", "192.168.7.0/24", CheckKind::None)]);
    member.report(Vec::new(), 1_000).unwrap();
    member.answered(1_000, &grant("lan", 1, 60_000), 1_100, 0);
    let laid = member.layout(1_100);
    assert!(laid.forwards && laid.addresses.values().flatten().count() == 0);
    assert!(laid.routes.iter().all(|route| route.by != By::TunnelsAtLast));
    member.settled(&laid, 1_100);
    member.answered(2_000, &MeshReportAnswer::default(), 2_100, 0);
    let laid = member.layout(2_100);
    assert!(!laid.forwards);
    member.settled(&laid, 2_100);
    assert_eq!(member.report(Vec::new(), 2_400).unwrap().vips.first().unwrap().released, 1);
}

#[test]
fn without_an_answer_it_reports_again_soon() {
    let mut member = candidate(&[vip("db", VIP, CheckKind::None)]);
    member.report(Vec::new(), 1_000).unwrap();
    member.unanswered(9_000, 7);
    assert_eq!(member.report_at(), Some(10_000));
    assert_eq!(
        member.report(Vec::new(), 10_000).unwrap().peers.len(),
        1,
        "of all tunnels: the other was lost"
    );
}

proptest! {
    /// Whatever is granted, lost, tested and delayed: nothing is in a layout beyond the end of the lease that was granted
    /// last for it, counted from when its report was sent.
    #[test]
    fn nothing_is_held_beyond_its_lease(
        events in prop::collection::vec((0..4_u8, 1..3_000_u64, 0..4_u64, 0..2_000_u64), 1..60),
    ) {
        let mut member = candidate(&[vip("db", VIP, CheckKind::None)]);
        let (mut now, mut end) = (1_000, 0);
        for (kind, gap, epoch, late) in events {
            now += gap;
            match kind {
                0 => {
                    let sent = now.saturating_sub(late);
                    member.answered(sent, &grant("db", epoch, 4_000), now, late);
                    end = end.max(sent + 4_000);
                }
                1 => member.answered(now, &MeshReportAnswer::default(), now, late),
                2 => drop(member.report(Vec::new(), now)),
                _ => {
                    let laid = member.layout(now);
                    member.settled(&laid, now);
                }
            }
            let until = has_vip(&mut member, now);
            prop_assert!(until.is_none_or(|until| now < until && until <= end), "{until:?} at {now}, {end}");
        }
    }
}
