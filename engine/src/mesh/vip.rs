//! Who holds which virtual address or route: the server grants, and what it grants is a lease.
//!
//! A lease lasts interval times unhealthy threshold of the VIP's check, is renewed by every report of a healthy holder,
//! and counts at the member from when it sent the report ([`protocol::mesh::lease`]). Nobody else is given the same
//! prefix before that lease has ended here too, [`MARGIN`] later, or the holder said that it took the address off. Every
//! grant to another member has the next epoch, stored before it is answered, with all leases that may still run: a server
//! that begins anew lets them run out from then on.
//!
//! The holder is kept while it is healthy. Else the healthy candidate with the lowest id comes next, as far as its
//! report comes when it is due.
//!
//! `now` is milliseconds of a clock that no one sets: the server's own, from its start.

mod offer;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;

pub use offer::{Conflict, conflict, offers, terms};

use protocol::cidr::Cidr;
use protocol::ids::MachineId;
use protocol::mesh::{HealthCheck, VipGrant, VipReport};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Milliseconds that a lease lasts longer here than at its member, which needs them to take the address off.
pub const MARGIN: u64 = 1_000;
/// The part of a lease that its member is not told of: clocks of members and server may differ by a hundredth each.
const CLOCKS: u64 = 50;
/// Milliseconds that a candidate's report may come late before the next one is looked at.
const GRACE: u64 = 300;
/// Milliseconds behind the end of a lease when candidates are to report.
const BEHIND: u64 = 50;
/// The fewest milliseconds between two reports of a member.
const SOONEST: u64 = 100;

/// A virtual address or route in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// Its name.
    pub name: String,
    /// Its mesh network.
    pub mesh: String,
    /// The address or route.
    pub prefix: Cidr,
    /// When a member is healthy, and how long a lease lasts.
    pub check: HealthCheck,
    /// Who may hold it.
    pub candidates: BTreeSet<MachineId>,
}

/// A lease that was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// To whom.
    pub machine: MachineId,
    /// Under which epoch.
    pub epoch: u64,
    /// For what.
    pub prefix: Cidr,
    /// For how many milliseconds.
    pub lease: u64,
}

/// What is stored of a VIP. It outlives the VIP: one that is made anew under its name goes on counting.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The last epoch that was given.
    pub epoch: u64,
    /// Leases that may run.
    pub holds: Vec<Hold>,
}

/// What comes of a report.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Heard {
    /// What the member holds from now on, to be answered once `store` is stored.
    pub grants: Vec<VipGrant>,
    /// What to store first: names and records. When that fails, no grant is answered.
    pub store: Vec<(String, Record)>,
    /// Milliseconds until the member is to report again; 0 when it may hold nothing.
    pub due: u64,
    /// Something is held by another member than before, or by nobody.
    pub moved: bool,
    /// Candidates for what became free, to be asked to report at once.
    pub nudge: BTreeSet<MachineId>,
}

/// How a VIP stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    /// Who holds it.
    pub holder: Option<MachineId>,
    /// The last epoch.
    pub epoch: u64,
    /// Its candidates by id.
    pub members: Vec<Candidate>,
}

/// A member that may hold a VIP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The member.
    pub machine: MachineId,
    /// It is healthy there.
    pub healthy: bool,
    /// Why not, as far as that is known.
    pub message: String,
}

/// All VIPs of a server.
#[derive(Debug, Clone, Default)]
pub struct Arbiter {
    vips: BTreeMap<String, Vip>,
}

#[derive(Debug, Clone, Default)]
struct Vip {
    /// None for one that is disabled or gone.
    terms: Option<Terms>,
    epoch: u64,
    /// Leases that may run, each with when it has ended.
    holds: Vec<(Hold, u64)>,
    stored: Record,
    members: BTreeMap<MachineId, Health>,
}

#[derive(Debug, Clone, Default)]
struct Health {
    healthy: bool,
    message: String,
    /// When its next report is overdue.
    expected: u64,
}

impl Arbiter {
    /// From what is stored: every lease may have been renewed just before the server ended.
    pub fn load(records: impl IntoIterator<Item = (String, Record)>, now: u64) -> Self {
        let vip = |record: Record| Vip {
            epoch: record.epoch,
            holds: record.holds.iter().map(|hold| (*hold, hold.end(now))).collect(),
            stored: record,
            ..Vip::default()
        };
        Self { vips: records.into_iter().map(|(name, record)| (name, vip(record))).collect() }
    }

    /// These are all that are in force now. Answers the candidates of those that are new or other than before, to be
    /// asked to report at once.
    pub fn set(&mut self, terms: Vec<Terms>) -> BTreeSet<MachineId> {
        let mut before: BTreeMap<String, Terms> =
            self.vips.iter_mut().filter_map(|(name, vip)| Some((name.clone(), vip.terms.take()?))).collect();
        let mut nudge = BTreeSet::new();
        for terms in terms {
            if before.remove(&terms.name).as_ref() != Some(&terms) {
                nudge.extend(&terms.candidates);
            }
            let vip = self.vips.entry(terms.name.clone()).or_default();
            vip.members.retain(|member, _| terms.candidates.contains(member));
            vip.terms = Some(terms);
        }
        nudge
    }

    /// Whether there is nothing to hold for anybody.
    pub fn is_idle(&self) -> bool {
        self.vips.values().all(|vip| vip.terms.is_none())
    }

    /// A member tells how it stands. What it does not speak of it cannot hold.
    pub fn hear(&mut self, machine: MachineId, reports: &[VipReport], now: u64) -> Heard {
        let reports: BTreeMap<&str, &VipReport> =
            reports.iter().map(|report| (report.name.as_str(), report)).collect();
        let running = self.running(now);
        let mut heard = Heard::default();
        for (name, vip) in &mut self.vips {
            let Some(report) = reports.get(name.as_str()) else { continue };
            let before = vip.holder(now);
            vip.release(machine, report.released, now);
            let fading =
                |prefix: &Cidr| running.iter().any(|(other, held)| other != name && held.overlaps(prefix));
            let decided = vip.decide(machine, report, now, fading);
            if let Some(grant) = decided.grant {
                heard.grants.push(VipGrant { name: name.clone(), ..grant });
                heard.store.extend(vip.to_store().map(|record| (name.clone(), record)));
            }
            heard.due = [heard.due, decided.due].into_iter().filter(|due| *due > 0).min().unwrap_or(0);
            let after = vip.holder(now);
            heard.moved |= before != after;
            if before.is_some() && after.is_none() {
                heard.nudge.extend(vip.healthy().filter(|member| *member != machine));
            }
        }
        heard
    }

    /// These were stored.
    pub fn stored(&mut self, records: &[(String, Record)]) {
        for (name, record) in records {
            if let Some(vip) = self.vips.get_mut(name).filter(|vip| vip.stored.epoch <= record.epoch) {
                vip.stored.clone_from(record);
            }
        }
    }

    /// A member is none any more. What it holds runs out.
    pub fn forget(&mut self, machine: MachineId) {
        for vip in self.vips.values_mut() {
            vip.members.remove(&machine);
            if let Some(terms) = &mut vip.terms {
                terms.candidates.remove(&machine);
            }
        }
    }

    /// What each member holds.
    pub fn held(&self, now: u64) -> BTreeMap<MachineId, Vec<Cidr>> {
        let mut held: BTreeMap<MachineId, Vec<Cidr>> = BTreeMap::new();
        for vip in self.vips.values() {
            if let (Some(holder), Some(terms)) = (vip.holder(now), &vip.terms) {
                held.entry(holder).or_default().push(terms.prefix);
            }
        }
        held
    }

    /// How a VIP stands.
    pub fn standing(&self, name: &str, now: u64) -> Standing {
        let Some(vip) = self.vips.get(name) else { return Standing::default() };
        let candidates = vip.terms.iter().flat_map(|terms| &terms.candidates);
        let lease = vip.terms.as_ref().map_or(0, |terms| terms.check.lease());
        let candidate = |machine: &MachineId| {
            let (healthy, message) = match vip.members.get(machine) {
                None => (false, "it has not reported yet"),
                Some(health) if now > health.expected.saturating_add(lease) => (false, "its reports stopped"),
                Some(health) => (health.healthy, health.message.as_str()),
            };
            Candidate { machine: *machine, healthy, message: message.to_owned() }
        };
        Standing { holder: vip.holder(now), epoch: vip.epoch, members: candidates.map(candidate).collect() }
    }

    /// Leases that run, by name of their VIP.
    fn running(&self, now: u64) -> Vec<(String, Cidr)> {
        let of = |(name, vip): (&String, &Vip)| -> Vec<(String, Cidr)> {
            let running = vip.holds.iter().filter(|(_, end)| now < *end);
            running.map(|(hold, _)| (name.clone(), hold.prefix)).collect()
        };
        self.vips.iter().flat_map(of).collect()
    }
}

/// What comes of a report for one VIP.
#[derive(Default)]
struct Decided {
    grant: Option<VipGrant>,
    due: u64,
}

impl Vip {
    /// Whose lease runs under the terms of now; nobody who may not hold it any more.
    fn holder(&self, now: u64) -> Option<MachineId> {
        let terms = self.terms.as_ref()?;
        let (hold, _) = self.holds.iter().find(|(hold, end)| now < *end && self.is_current(hold, terms))?;
        terms.candidates.contains(&hold.machine).then_some(hold.machine)
    }

    fn is_current(&self, hold: &Hold, terms: &Terms) -> bool {
        hold.epoch == self.epoch && hold.prefix == terms.prefix && hold.lease == terms.check.lease()
    }

    /// Ends leases whose time is over, and those that their member gave back.
    fn release(&mut self, machine: MachineId, released: u64, now: u64) {
        self.holds.retain(|(hold, end)| now < *end && !(hold.machine == machine && hold.epoch <= released));
    }

    fn healthy(&self) -> impl Iterator<Item = MachineId> {
        self.members.iter().filter(|(_, health)| health.healthy).map(|(id, _)| *id)
    }

    fn decide(
        &mut self,
        machine: MachineId,
        report: &VipReport,
        now: u64,
        fading: impl Fn(&Cidr) -> bool,
    ) -> Decided {
        let Some(terms) = self.terms.clone().filter(|terms| terms.candidates.contains(&machine)) else {
            return Decided::default();
        };
        let health = self.members.entry(machine).or_default();
        health.healthy = report.healthy;
        health.expected = now;
        health.message.clone_from(&report.message);
        let holder =
            self.holds.iter().any(|(hold, _)| hold.machine == machine && self.is_current(hold, &terms));
        let free = self.holds.is_empty() && !fading(&terms.prefix);
        let grant = match report.healthy {
            true if holder => self.renew(machine, &terms, now),
            true if free && self.preferred(now) == Some(machine) => Some(self.give(machine, &terms, now)),
            true | false => None,
        };
        let due = self.due(&terms, free && report.healthy && grant.is_none(), grant.is_some(), now);
        if let Some(health) = self.members.get_mut(&machine) {
            health.expected = now.saturating_add(due + GRACE);
        }
        Decided { grant, due }
    }

    fn renew(&mut self, machine: MachineId, terms: &Terms, now: u64) -> Option<VipGrant> {
        let epoch = self.epoch;
        let (hold, end) =
            self.holds.iter_mut().find(|(hold, _)| hold.machine == machine && hold.epoch == epoch)?;
        *end = hold.end(now).max(*end);
        Some(granted(epoch, terms.check.lease()))
    }

    fn give(&mut self, machine: MachineId, terms: &Terms, now: u64) -> VipGrant {
        self.epoch += 1;
        let hold = Hold { machine, epoch: self.epoch, prefix: terms.prefix, lease: terms.check.lease() };
        self.holds.push((hold, hold.end(now)));
        granted(hold.epoch, hold.lease)
    }

    /// The healthy candidate with the lowest id whose report is not overdue.
    fn preferred(&self, now: u64) -> Option<MachineId> {
        let comes = |(_, health): &(&MachineId, &Health)| health.healthy && now <= health.expected;
        self.members.iter().find(comes).map(|(id, _)| *id)
    }

    /// Milliseconds until a candidate is to report again: with the rhythm of its lease, or when somebody else's may end.
    fn due(&self, terms: &Terms, waits: bool, holds: bool, now: u64) -> u64 {
        let rhythm = terms.check.renewal();
        let left = self.holds.iter().map(|(_, end)| end.saturating_sub(now)).max();
        let due = match left {
            _ if holds => rhythm,
            Some(left) => rhythm.min(left + BEHIND),
            None if waits => rhythm.min(GRACE),
            None => rhythm,
        };
        due.max(SOONEST)
    }

    /// What to store before a grant of the present epoch is answered; none when it is stored.
    fn to_store(&self) -> Option<Record> {
        let holds: Vec<Hold> = self.holds.iter().map(|(hold, _)| *hold).collect();
        let is_stored =
            self.stored.epoch == self.epoch && holds.iter().all(|hold| self.stored.holds.contains(hold));
        (!is_stored).then_some(Record { epoch: self.epoch, holds })
    }
}

impl Hold {
    /// When it has ended for sure, when its member may have sent a report as late as now.
    const fn end(&self, now: u64) -> u64 {
        now.saturating_add(self.lease).saturating_add(MARGIN)
    }
}

/// A grant, whose name is not filled in yet.
const fn granted(epoch: u64, lease: u64) -> VipGrant {
    VipGrant { name: String::new(), epoch, lease: lease - lease / CLOCKS }
}
