//! A member of a mesh network, as it decides: news, sights of the kernel, answers and tests go in; what the kernel is to
//! have, what is to be reported and what is to be tested come out. Pure: `now` is milliseconds of the boot clock.

use super::path::Path;
use super::plan::{Change, Hold, Known, Layout, Learnt, Present, change, changed, layout};
use super::prefix::Prefix;
use super::wireguard::{Device, Peer};
use protocol::ids::MachineId;
use protocol::mesh::health::Health;
use protocol::mesh::lease::Leases;
use protocol::mesh::{
    CheckKind, HealthCheck, MAX_MESSAGE, MAX_PEERS, MeshNews, MeshReport, MeshReportAnswer, MeshVip,
    PeerReport, PublicKey, REPORT_EVERY, VipReport, Way,
};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// Milliseconds between two reports at least, however much happens.
const BREATH: u64 = 300;
/// Milliseconds between two looks at the kernel while a tunnel is awaited, and while none is.
const LOOK_SOON: u64 = 500;
const LOOK: u64 = 5_000;
/// For so long after a change a tunnel is awaited, in milliseconds.
const AWAITED: u64 = 60_000;
/// Milliseconds between two reports of all tunnels; those between tell of what changed.
const EVERYTHING: u64 = REPORT_EVERY * 1_000;
/// Reports that are due this late or later are spread.
const SPREAD: u64 = 10_000;

/// A member.
#[derive(Debug, Default)]
pub(super) struct Member {
    known: Known,
    paths: BTreeMap<MachineId, Path>,
    /// Peers of the kernel, as far as is known.
    present: BTreeMap<PublicKey, Present>,
    /// The kernel shows them, too: traffic and the like.
    seen: BTreeMap<PublicKey, Peer>,
    leases: Leases,
    /// Until when what is held is held.
    until: BTreeMap<String, u64>,
    tests: BTreeMap<String, Test>,
    key: Option<PublicKey>,
    error: String,
    /// When the next report is due.
    report_at: u64,
    everything_at: u64,
    reported_at: Option<u64>,
    /// Peers of which something is new since the last report.
    news_of: BTreeSet<MachineId>,
    changed_at: u64,
}

/// The test of something that may be held.
#[derive(Debug)]
struct Test {
    vip: MeshVip,
    health: Health,
    /// When the next one is due; none while one is under way.
    due: Option<u64>,
}

/// A test to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ToTest {
    /// What for.
    pub(super) name: String,
    /// How.
    pub(super) check: HealthCheck,
}

impl Member {
    /// A member that knew this when it was last asked.
    pub(super) fn new(known: Known, now: u64) -> Self {
        Self { known, report_at: now, everything_at: now, changed_at: now, ..Self::default() }
    }

    /// What is known.
    pub(super) const fn known(&self) -> &Known {
        &self.known
    }

    /// Takes in news. What of it is new.
    pub(super) fn learn(&mut self, news: MeshNews, now: u64) -> Learnt {
        let learnt = self.known.learn(news);
        for id in learnt.peers.keys() {
            match self.known.peers.get(id) {
                None => {
                    self.paths.remove(id);
                }
                // Another key: whatever was tried is to be tried again.
                Some(peer) if learnt.peers.get(id).copied().flatten() != peer.key => {
                    self.paths.insert(*id, Path::default());
                }
                Some(_) => {}
            }
            self.news_of.insert(*id);
        }
        if learnt.is_lasting() {
            self.changed_at = now;
        }
        if learnt.vips {
            self.retest(now);
        }
        if !learnt.peers.is_empty() || !self.known.vips.is_empty() {
            self.report_soon(now);
        }
        learnt
    }

    /// Tests are those of what may be held; one that is another begins anew, and is not held meanwhile.
    fn retest(&mut self, now: u64) {
        let vips = &self.known.vips;
        let same: BTreeSet<String> = self
            .tests
            .iter()
            .filter(|(name, test)| vips.get(*name).is_some_and(|vip| vip.prefix == test.vip.prefix))
            .map(|(name, _)| name.clone())
            .collect();
        let names: Vec<&str> = same.iter().map(String::as_str).collect();
        // What is to be taken off is not in the next layout.
        drop(self.leases.only(&names));
        self.tests.retain(|name, test| vips.get(name) == Some(&test.vip));
        for (name, vip) in vips {
            self.tests.entry(name.clone()).or_insert_with(|| Test {
                vip: vip.clone(),
                health: Health::of(&vip.check),
                due: (vip.check.kind != CheckKind::None).then_some(now),
            });
        }
        for (name, test) in &self.tests {
            if !test.health.healthy() {
                // Begins anew, and so does who holds it.
                self.leases.unhealthy(name);
            }
        }
    }

    /// The key of the interface.
    pub(super) fn has_key(&mut self, key: Option<PublicKey>, now: u64) {
        if self.key != key {
            self.key = key;
            self.report_soon(now);
        }
    }

    /// Takes in what the kernel shows; `wall` is its clock, in nanoseconds since 1970.
    pub(super) fn see(&mut self, device: Device, now: u64, wall: i128) {
        self.has_key(device.key, now);
        let mut turned = Vec::new();
        for peer in self.known.peers.values() {
            let Some(seen) = peer.key.and_then(|key| device.peers.get(&key)) else { continue };
            let path = self.paths.entry(peer.machine).or_default();
            let before = peer.key.and_then(|key| self.seen.get(&key)).and_then(|seen| seen.present.endpoint);
            let moved = path.is_up() && before.is_some() && before != seen.present.endpoint;
            if path.see(seen.sight(), now, wall) || moved {
                turned.push(peer.machine);
            }
        }
        if !turned.is_empty() {
            self.news_of.extend(turned);
            self.report_soon(now);
        }
        self.present = device.peers.iter().map(|(key, peer)| (*key, peer.present.clone())).collect();
        self.seen = device.peers;
    }

    /// What is to change about peers now: after news only about those that changed, with none about all.
    pub(super) fn changes(&mut self, learnt: Option<&Learnt>, now: u64) -> Vec<Change> {
        let relay = self.known.relay();
        let mut changes = Vec::new();
        let ids: BTreeSet<MachineId> = match learnt {
            None => self.known.peers.keys().copied().collect(),
            Some(learnt) => {
                // What is on the relay's tunnel depends on others; and so does who the relay is.
                let routes = self.known.peers.values().filter(|peer| !peer.routes.is_empty());
                learnt.peers.keys().copied().chain(routes.map(|peer| peer.machine)).collect()
            }
        };
        let wanted: BTreeSet<PublicKey> = match learnt {
            None => self.known.peers.values().filter_map(|peer| peer.key).collect(),
            Some(_) => BTreeSet::new(),
        };
        let old: Vec<PublicKey> = match learnt {
            None => self.present.keys().filter(|key| !wanted.contains(key)).copied().collect(),
            Some(learnt) => {
                let key_now = |id: &MachineId| self.known.peers.get(id).and_then(|peer| peer.key);
                let left = |(id, old): (&MachineId, &Option<PublicKey>)| {
                    (*old).filter(|old| key_now(id) != Some(*old))
                };
                learnt.peers.iter().filter_map(left).collect()
            }
        };
        for key in old {
            self.present.remove(&key);
            self.seen.remove(&key);
            changes.push(Change::Remove(key));
        }
        for peer in ids.iter().filter_map(|id| self.known.peers.get(id)) {
            let Some(key) = peer.key else { continue };
            let sight = self.seen.get(&key).map(Peer::sight).unwrap_or_default();
            let path = self.paths.entry(peer.machine).or_default();
            if !self.seen.contains_key(&key) {
                path.see(sight, now, 0);
            }
            // What the kernel was seen doing is old news by now: whether to try another place, the next look says.
            let is_fresh = learnt.is_none() || !self.present.contains_key(&key);
            let place = if is_fresh { path.next(&peer.endpoints, sight, now) } else { None };
            let allowed = self.known.allowed(peer, relay);
            let goes_elsewhere = place.is_some() && sight.endpoint.is_some();
            if goes_elsewhere && path.never_met() && self.present.remove(&key).is_some() {
                // Made anew it is greeted at once; else the kernel waits five seconds after its last try.
                self.seen.remove(&key);
                changes.push(Change::Remove(key));
            }
            if let Some(told) = change(key, self.present.get(&key), &allowed, place) {
                let after = changed(self.present.get(&key), &told);
                if let Some(seen) = self.seen.get_mut(&key) {
                    seen.present = after.clone();
                }
                self.present.insert(key, after);
                changes.push(Change::Set(told));
            }
        }
        changes
    }

    /// Whether news are about a peer that is tried: at another place at once, maybe.
    pub(super) fn awaits(&self, learnt: &Learnt) -> bool {
        learnt.peers.keys().any(|id| self.paths.get(id).is_some_and(|path| !path.is_up()))
    }

    /// When the kernel is to be looked at next after `now`.
    pub(super) fn look_after(&self, now: u64) -> u64 {
        let is_awaited = |peer: &protocol::mesh::MeshPeer| {
            peer.key.is_some() && self.paths.get(&peer.machine).is_none_or(|path| !path.is_up())
        };
        let soon = now.saturating_sub(self.changed_at) < AWAITED && self.known.peers.values().any(is_awaited);
        now + if soon { LOOK_SOON } else { LOOK }
    }

    /// What the kernel is to have around the tunnels.
    pub(super) fn layout(&mut self, now: u64) -> Layout {
        drop(self.leases.tick(now));
        let holds: Vec<Hold> = self
            .known
            .vips
            .iter()
            .filter(|(name, _)| self.leases.holds(name, now))
            .map(|(name, vip)| Hold {
                prefix: Prefix::from(vip.prefix),
                until: self.until.get(name).copied().unwrap_or(now),
            })
            .collect();
        layout(&self.known, &holds)
    }

    /// The kernel has this layout: what is not held and not in it is really gone. Then that is told.
    pub(super) fn settled(&mut self, laid: &Layout, now: u64) {
        let gone = |name: &str| {
            let prefix = self.known.vips.get(name).map(|vip| Prefix::from(vip.prefix));
            let is_there =
                prefix.is_some_and(|p| laid.addresses.get(&p.address()).is_some_and(Option::is_some));
            // Held, or taken while the kernel was busy: then it is in the next layout.
            self.leases.report(name).0 == 0 && !is_there
        };
        let lost: Vec<String> = self.leases.present().filter(|name| gone(name)).map(str::to_owned).collect();
        for name in &lost {
            self.leases.lost(name);
            self.until.remove(name);
        }
        if !lost.is_empty() {
            self.report_soon(now);
        }
    }

    /// When something that is held ends.
    pub(super) fn lease_ends(&self) -> Option<u64> {
        self.leases.next_end()
    }

    /// Tests to begin now.
    pub(super) fn due_tests(&mut self, now: u64) -> Vec<ToTest> {
        let due = self.tests.iter_mut().filter(|(_, test)| test.due.is_some_and(|due| due <= now));
        due.map(|(name, test)| {
            test.due = None;
            ToTest { name: name.clone(), check: test.vip.check.clone() }
        })
        .collect()
    }

    /// When the next test is due.
    pub(super) fn next_test(&self) -> Option<u64> {
        self.tests.values().filter_map(|test| test.due).min()
    }

    /// A test that began at `begun` ended. One of a check that is another by now says nothing.
    pub(super) fn tested(&mut self, what: &ToTest, outcome: Result<(), &str>, begun: u64, now: u64) {
        let Some(test) = self.tests.get_mut(&what.name) else { return };
        if test.vip.check != what.check || test.due.is_some() {
            return;
        }
        let interval = u64::from(what.check.interval) * 1_000;
        test.due = Some((begun + interval).max(now));
        if test.health.tested(&what.check, outcome, now) {
            if !test.health.healthy() {
                self.leases.unhealthy(&what.name);
            }
            self.report_soon(now);
        }
    }

    /// Why there are no tunnels, in words; empty when there are.
    pub(super) fn failed(&mut self, error: &str, now: u64) {
        let error: String = error.chars().take(MAX_MESSAGE).collect();
        if self.error != error {
            self.error = error;
            self.report_soon(now);
        }
    }

    fn report_soon(&mut self, now: u64) {
        let earliest = self.reported_at.map_or(now, |at| (at + BREATH).max(now));
        self.report_at = self.report_at.min(earliest);
    }

    /// When the next report is due; none while there is neither a key to tell nor why there is none.
    pub(super) fn report_at(&self) -> Option<u64> {
        (self.key.is_some() || !self.error.is_empty()).then_some(self.report_at)
    }

    /// The report that is sent at `now`.
    pub(super) fn report(&mut self, addresses: Vec<IpAddr>, now: u64) -> Option<MeshReport> {
        let own = self.known.own.as_ref()?;
        let all = now >= self.everything_at;
        let told = self.known.peers.values().filter(|peer| all || self.news_of.contains(&peer.machine));
        let peers = told.filter_map(|peer| self.peer_report(peer.machine, now)).take(MAX_PEERS).collect();
        let report = MeshReport {
            key: self.key,
            port: own.port,
            addresses,
            peers,
            vips: self.tests.iter().map(|(name, test)| self.vip_report(name, test)).collect(),
            error: self.error.clone(),
        };
        if all {
            self.everything_at = now + EVERYTHING;
        }
        self.news_of.clear();
        self.reported_at = Some(now);
        self.report_at = now + self.renewal().unwrap_or(EVERYTHING).min(EVERYTHING);
        Some(report)
    }

    fn peer_report(&self, id: MachineId, now: u64) -> Option<PeerReport> {
        let peer = self.known.peers.get(&id)?;
        let (key, path) = (peer.key?, self.paths.get(&id)?);
        let seen = self.seen.get(&key);
        Some(PeerReport {
            machine: id,
            endpoint: seen.and_then(|seen| seen.present.endpoint),
            handshake: path.age(now),
            tried: path.tried(now),
            received: seen.map_or(0, |seen| seen.received),
            sent: seen.map_or(0, |seen| seen.sent),
            way: if peer.way == Way::Relay { Way::Relay } else { Way::Direct },
        })
    }

    fn vip_report(&self, name: &str, test: &Test) -> VipReport {
        let (epoch, released) = self.leases.report(name);
        VipReport {
            name: name.to_owned(),
            healthy: test.health.healthy(),
            epoch,
            released,
            message: test.health.message().to_owned(),
        }
    }

    /// Milliseconds between reports of whoever may hold something.
    fn renewal(&self) -> Option<u64> {
        self.tests.values().map(|test| test.vip.check.renewal()).min()
    }

    /// The answer to the report of `sent`; `random` spreads what is far off.
    pub(super) fn answered(&mut self, sent: u64, answer: &MeshReportAnswer, now: u64, random: u64) {
        let is_candidate = |name: &str| {
            self.tests.get(name).is_some_and(|test| test.health.healthy())
                && self.known.vips.contains_key(name)
        };
        let grants: Vec<_> =
            answer.grants.iter().filter(|grant| is_candidate(&grant.name)).cloned().collect();
        drop(self.leases.answered(sent, &grants, now));
        for grant in &grants {
            let until = sent.saturating_add(grant.lease);
            let known = self.until.entry(grant.name.clone()).or_default();
            *known = until.max(*known);
        }
        let due = if answer.due == 0 { EVERYTHING } else { answer.due.min(EVERYTHING) };
        // Up to a tenth earlier, so that members do not come in step.
        let earlier = if due >= SPREAD { random % (due / 10 + 1) } else { 0 };
        let at = sent + due - earlier;
        // What happened meanwhile is not put off, nor what waits for a breath.
        let breath = self.reported_at.unwrap_or(sent) + BREATH;
        let waits = self.report_at > now.max(breath);
        self.report_at = if waits { at.max(sent + BREATH) } else { self.report_at };
    }

    /// No answer came: again soon, while there is something to lose.
    pub(super) fn unanswered(&mut self, now: u64, random: u64) {
        self.everything_at = now;
        let pause = if self.tests.is_empty() { 2_000 + random % 3_000 } else { 1_000 };
        self.report_at = now + pause;
    }
}

#[cfg(test)]
#[path = "member/tests.rs"]
mod tests;
