//! A thousand runs of a server and a few members that share virtual addresses, each with a clock of its own that runs up
//! to a hundredth too fast or too slow. Messages take their time, get lost and overtake each other; members are killed,
//! cut off and fall ill; the server is restarted, fails to store, and is told other VIPs. The members' half is the one
//! that the agent has ([`Leases`]).
//!
//! Held is what is in a member's kernel: from when it takes it until it is really off, some time after it was to be.

use super::{Arbiter, MARGIN, Record, Terms};
use protocol::ids::MachineId;
use protocol::mesh::lease::{Leases, Steps};
use protocol::mesh::{HealthCheck, VipGrant, VipReport};
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

const RUNS: u64 = 1_000;
/// Milliseconds of each.
const LENGTH: u64 = 120_000;
const PREFIX: &str = "10.20.200.1/32";
/// Milliseconds after which a member sends another report when no answer came.
const TIMEOUT: u64 = 900;
/// Milliseconds from a kill within which nothing else may happen for the VIP's move to be judged.
const BEYOND: u64 = 2_000;

/// What somebody does wrong, to see that it is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    /// The server keeps no record.
    Forgetful,
    /// Members count leases from when the answer came.
    Late,
    /// Members say that they took off what is still in their kernel.
    Hasty,
}

/// Random numbers of a seed (xorshift64*).
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    fn within(&mut self, least: u64, most: u64) -> u64 {
        least + self.next() % (most - least + 1)
    }

    /// 1 to so many.
    fn seconds(&mut self, most: u16) -> u16 {
        u16::try_from(self.within(1, most.into())).unwrap()
    }

    fn below(&mut self, count: usize) -> usize {
        usize::try_from(self.within(0, count as u64 - 1)).unwrap()
    }

    fn one_in(&mut self, of: u64) -> bool {
        self.next().is_multiple_of(of)
    }
}

/// A clock: it showed `offset` at `begun`, and goes `rate` thousandths as fast as time.
#[derive(Clone, Copy)]
struct Clock {
    begun: u64,
    offset: u64,
    rate: u64,
}

impl Clock {
    fn of(dice: &mut Dice, begun: u64) -> Self {
        Self { begun, offset: dice.within(0, 1 << 40), rate: dice.within(990, 1_010) }
    }

    fn shows(self, time: u64) -> u64 {
        self.offset + (time - self.begun) * self.rate / 1_000
    }

    /// When so many of its milliseconds have passed.
    fn after(self, time: u64, millis: u64) -> u64 {
        time + (millis * 1_000).div_ceil(self.rate)
    }
}

#[derive(Debug, Clone)]
enum Event {
    /// A member reports, unless it did so again since.
    Report {
        member: usize,
        life: u64,
        turn: u64,
    },
    AtServer {
        member: usize,
        life: u64,
        sent: u64,
        reports: Vec<VipReport>,
    },
    AtMember {
        member: usize,
        life: u64,
        sent: u64,
        grants: Vec<VipGrant>,
        due: u64,
    },
    /// A member looks at its clock.
    Tick {
        member: usize,
        life: u64,
    },
    /// The kernel has taken it off.
    Off {
        member: usize,
        life: u64,
        name: String,
    },
    /// A member hears which VIPs there are.
    News {
        member: usize,
        life: u64,
    },
    Disturb,
    Mend {
        member: usize,
    },
    ServerUp,
    /// The VIP that a killed member held is to be elsewhere by now.
    Judge {
        killed_at: u64,
        takes: usize,
    },
}

struct Member {
    clock: Clock,
    /// Another one since it was started anew; what is meant for an earlier one is nobody's.
    life: u64,
    alive: bool,
    cut: bool,
    healthy: bool,
    leases: Leases,
    known: BTreeSet<String>,
    turn: u64,
    present: BTreeSet<String>,
    /// Alive, within reach and healthy since then.
    steady_since: Option<u64>,
}

impl Member {
    const fn steady(&self) -> bool {
        self.alive && !self.cut && self.healthy
    }
}

struct World {
    dice: Dice,
    now: u64,
    events: BTreeMap<(u64, u64), Event>,
    scheduled: u64,
    members: Vec<Member>,
    server: Option<(Arbiter, Clock)>,
    server_since: u64,
    store: BTreeMap<String, Record>,
    vip: (String, HealthCheck),
    /// No message takes long, everything can be stored, and the VIP stays as it is.
    calm: bool,
    fault: Fault,
    /// What was found wrong.
    found: Vec<String>,
    /// What was taken: name, epoch, member.
    takes: Vec<(String, u64, usize)>,
    disturbed_at: u64,
    judged: usize,
}

impl World {
    fn of(seed: u64, fault: Fault) -> Self {
        let mut dice = Dice((seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let check = HealthCheck {
            interval: dice.seconds(3),
            unhealthy_threshold: dice.seconds(3),
            ..HealthCheck::default()
        };
        let member = |dice: &mut Dice| Member {
            clock: Clock::of(dice, 0),
            life: 0,
            alive: true,
            cut: false,
            healthy: true,
            leases: Leases::default(),
            known: BTreeSet::from(["a".to_owned()]),
            turn: 0,
            present: BTreeSet::new(),
            steady_since: Some(0),
        };
        let members = (0..dice.within(2, 5)).map(|_| member(&mut dice)).collect();
        let calm = dice.one_in(2);
        let mut world = Self {
            dice,
            now: 0,
            events: BTreeMap::new(),
            scheduled: 0,
            members,
            server: None,
            server_since: 0,
            store: BTreeMap::new(),
            vip: ("a".to_owned(), check),
            calm,
            fault,
            found: Vec::new(),
            takes: Vec::new(),
            disturbed_at: 0,
            judged: 0,
        };
        world.server_up();
        for member in 0..world.members.len() {
            world.report_in(member, 0);
        }
        world.disturb_later();
        world
    }

    fn at(&mut self, time: u64, event: Event) {
        self.scheduled += 1;
        self.events.insert((time.max(self.now), self.scheduled), event);
    }

    fn run(&mut self) {
        while let Some(((time, _), event)) = self.events.pop_first() {
            if time > LENGTH {
                return;
            }
            self.now = time;
            self.happens(event);
            self.one_holds();
        }
    }

    /// Never two members have the address, whatever the VIP is called by now.
    fn one_holds(&mut self) {
        let holders: Vec<usize> =
            (0..self.members.len()).filter(|member| !self.members[*member].present.is_empty()).collect();
        if holders.len() > 1 {
            self.found.push(format!("at {} {holders:?} hold it; taken: {:?}", self.now, self.takes));
        }
    }

    fn is_of(&self, member: usize, life: u64) -> bool {
        self.members[member].alive && self.members[member].life == life
    }

    fn happens(&mut self, event: Event) {
        match event {
            Event::Report { member, life, turn } => {
                if self.is_of(member, life) && self.members[member].turn == turn {
                    self.report(member);
                }
            }
            Event::AtServer { member, life, sent, reports } => {
                if !self.members[member].cut {
                    self.heard(member, life, sent, &reports);
                }
            }
            Event::AtMember { member, life, sent, grants, due } => {
                if self.is_of(member, life) && !self.members[member].cut {
                    self.answered(member, sent, &grants, due);
                }
            }
            Event::Tick { member, life } => {
                if self.is_of(member, life) {
                    let now = self.members[member].clock.shows(self.now);
                    let let_go = self.members[member].leases.tick(now);
                    self.take_off(member, let_go);
                    self.tick_later(member);
                }
            }
            Event::Off { member, life, name } => {
                if self.is_of(member, life) {
                    self.members[member].present.remove(&name);
                    self.members[member].leases.lost(&name);
                    self.report_in(member, 0);
                }
            }
            Event::News { member, life } => {
                if self.is_of(member, life) && !self.members[member].cut {
                    self.news(member);
                }
            }
            Event::Disturb => {
                self.disturb();
                self.disturb_later();
            }
            Event::Mend { member } => self.mend(member),
            Event::ServerUp => self.server_up(),
            Event::Judge { killed_at, takes } => self.judge(killed_at, takes),
        }
    }

    /// How long a message is on its way; nothing for one that gets lost.
    fn way(&mut self) -> Option<u64> {
        if self.calm {
            return Some(self.dice.within(1, 80));
        }
        match self.dice.within(0, 30) {
            0 => None,
            1 => Some(self.dice.within(100, 4_000)),
            _ => Some(self.dice.within(1, 100)),
        }
    }

    fn report_in(&mut self, member: usize, millis: u64) {
        let one = &mut self.members[member];
        one.turn += 1;
        let (life, turn) = (one.life, one.turn);
        let time = one.clock.after(self.now, millis);
        self.at(time, Event::Report { member, life, turn });
    }

    fn report(&mut self, member: usize) {
        let one = &self.members[member];
        let said = |name: &String| {
            let (epoch, released) = one.leases.report(name);
            VipReport { name: name.clone(), healthy: one.healthy, epoch, released, message: String::new() }
        };
        let reports = one.known.iter().map(said).collect();
        let (life, sent) = (one.life, one.clock.shows(self.now));
        if let Some(way) = self.way().filter(|_| !self.members[member].cut) {
            self.at(self.now + way, Event::AtServer { member, life, sent, reports });
        }
        self.report_in(member, TIMEOUT);
    }

    fn heard(&mut self, member: usize, life: u64, sent: u64, reports: &[VipReport]) {
        let fails = !self.calm && self.dice.one_in(20);
        let Some((arbiter, clock)) = &mut self.server else { return };
        let heard = arbiter.hear(id(member), reports, clock.shows(self.now));
        if fails && !heard.store.is_empty() {
            return;
        }
        self.store.extend(heard.store.iter().cloned());
        arbiter.stored(&heard.store);
        for asked in heard.nudge {
            let member = (0..self.members.len()).find(|member| id(*member) == asked).unwrap();
            let way = self.dice.within(1, 80);
            self.at(self.now + way, Event::News { member, life: self.members[member].life });
        }
        let storing = if heard.store.is_empty() { 0 } else { self.dice.within(0, 30) };
        if let Some(way) = self.way() {
            let answer = Event::AtMember { member, life, sent, grants: heard.grants, due: heard.due };
            self.at(self.now + storing + way, answer);
        }
    }

    fn answered(&mut self, member: usize, sent: u64, grants: &[VipGrant], due: u64) {
        let one = &mut self.members[member];
        let now = one.clock.shows(self.now);
        let sent = if self.fault == Fault::Late { now } else { sent };
        let Steps { let_go, take } = one.leases.answered(sent, grants, now);
        for name in take {
            let epoch = one.leases.report(&name).0;
            let before = self.takes.iter().rfind(|(earlier, ..)| *earlier == name);
            let later = before.is_none_or(|(_, had, by)| epoch > *had || epoch == *had && *by == member);
            if !later {
                self.found.push(format!("{name} went from {before:?} back to {epoch} at {member}"));
            }
            one.present.insert(name.clone());
            self.takes.push((name, epoch, member));
        }
        self.take_off(member, let_go);
        self.tick_later(member);
        self.report_in(member, if due == 0 { 20_000 } else { due });
    }

    /// The kernel takes a moment.
    fn take_off(&mut self, member: usize, names: Vec<String>) {
        for name in names {
            let time = self.now + self.dice.within(0, MARGIN / 2);
            let one = &mut self.members[member];
            if self.fault == Fault::Hasty {
                one.leases.lost(&name);
            }
            let life = one.life;
            self.at(time, Event::Off { member, life, name });
        }
    }

    fn tick_later(&mut self, member: usize) {
        let one = &self.members[member];
        if let Some(end) = one.leases.next_end() {
            let left = end.saturating_sub(one.clock.shows(self.now));
            let time = one.clock.after(self.now, left) + self.dice.within(0, 50);
            let life = self.members[member].life;
            self.at(time, Event::Tick { member, life });
        }
    }

    /// Which VIPs there are, and that it is to report.
    fn news(&mut self, member: usize) {
        let name = self.vip.0.clone();
        let one = &mut self.members[member];
        let let_go = one.leases.only(&[&name]);
        // What it lets go is spoken of until it is off.
        one.known.insert(name);
        self.take_off(member, let_go);
        self.report_in(member, 0);
    }

    fn disturb_later(&mut self) {
        let pause = self.dice.within(200, 25_000);
        self.at(self.now + pause, Event::Disturb);
    }

    fn disturb(&mut self) {
        let before = std::mem::replace(&mut self.disturbed_at, self.now);
        let member = self.dice.below(self.members.len());
        match self.dice.within(0, if self.calm { 7 } else { 9 }) {
            0..=2 => self.kill(before),
            3 | 4 => {
                self.members[member].cut = true;
                self.unsteady(member);
            }
            5 | 6 => {
                self.members[member].healthy = false;
                let let_go =
                    if self.members[member].leases.unhealthy("a") { vec!["a".to_owned()] } else { vec![] };
                self.take_off(member, let_go);
                self.unsteady(member);
            }
            7 => {
                self.server = None;
                let pause = self.dice.within(1, 8_000);
                self.at(self.now + pause, Event::ServerUp);
            }
            _ => self.other_vip(),
        }
    }

    /// A machine loses power: most often the one that holds the VIP.
    fn kill(&mut self, disturbed_before: u64) {
        let holder = (0..self.members.len()).find(|member| !self.members[*member].present.is_empty());
        let any = self.dice.below(self.members.len());
        let member = if self.dice.one_in(4) { any } else { holder.unwrap_or(any) };
        let lease = self.vip.1.lease();
        if holder == Some(member) && self.calm && self.now >= disturbed_before + 2 * (lease + BEYOND) {
            let judge = Event::Judge { killed_at: self.now, takes: self.takes.len() };
            self.at(self.now + lease + BEYOND, judge);
        }
        let one = &mut self.members[member];
        one.alive = false;
        one.present.clear();
        one.leases = Leases::default();
        self.unsteady(member);
    }

    fn unsteady(&mut self, member: usize) {
        self.members[member].steady_since = None;
        let pause = self.dice.within(100, 20_000);
        self.at(self.now + pause, Event::Mend { member });
    }

    /// It is well again; who was dead begins anew.
    fn mend(&mut self, member: usize) {
        self.disturbed_at = self.now;
        let clock = Clock::of(&mut self.dice, self.now);
        let one = &mut self.members[member];
        if !one.alive {
            one.alive = true;
            one.life += 1;
            one.clock = clock;
        }
        one.cut = false;
        one.healthy = true;
        one.steady_since = Some(self.now);
        self.news(member);
    }

    fn server_up(&mut self) {
        if self.server.is_none() {
            self.disturbed_at = self.now;
            self.server_since = self.now;
            let clock = Clock::of(&mut self.dice, self.now);
            let store = if self.fault == Fault::Forgetful { BTreeMap::new() } else { self.store.clone() };
            let arbiter = Arbiter::load(store, clock.shows(self.now));
            self.server = Some((arbiter, clock));
            self.set_terms();
        }
    }

    fn set_terms(&mut self) {
        let (name, check) = self.vip.clone();
        let candidates = (0..self.members.len()).map(id).collect();
        let terms =
            Terms { name, mesh: "home".to_owned(), prefix: PREFIX.parse().unwrap(), check, candidates };
        if let Some((arbiter, _)) = &mut self.server {
            arbiter.set(vec![terms]);
        }
        for member in 0..self.members.len() {
            let time = self.now + self.dice.within(1, 80);
            self.at(time, Event::News { member, life: self.members[member].life });
        }
    }

    /// The same address under another name, or with another lease.
    fn other_vip(&mut self) {
        if self.server.is_none() {
            return;
        }
        if self.dice.one_in(2) {
            self.vip.0 = if self.vip.0 == "a" { "b".to_owned() } else { "a".to_owned() };
        } else {
            self.vip.1.interval = self.dice.seconds(4);
        }
        self.set_terms();
    }

    /// Somebody else has it by now, when somebody was there all the time and nothing else happened.
    fn judge(&mut self, killed_at: u64, takes: usize) {
        let quiet = self.disturbed_at == killed_at && self.server_since < killed_at && self.server.is_some();
        let settled =
            |member: &Member| member.steady() && member.steady_since.is_some_and(|at| at < killed_at);
        if !quiet || !self.members.iter().any(settled) {
            return;
        }
        self.judged += 1;
        if self.takes.len() == takes {
            let lease = self.vip.1.lease();
            self.found.push(format!("held by nobody since {killed_at}: lease {lease}, {:?}", self.takes));
        }
    }
}

fn id(member: usize) -> MachineId {
    MachineId(Uuid::from_u128(member as u128 + 1))
}

#[test]
fn no_two_members_ever_hold_one_address_and_it_moves_in_time() {
    let (mut taken, mut judged) = (0, 0);
    for seed in 0..RUNS {
        let mut world = World::of(seed, Fault::None);
        world.run();
        assert!(world.found.is_empty(), "run {seed}: {:?}", world.found.first());
        taken += world.takes.len();
        judged += world.judged;
    }
    // The runs are worth something: addresses moved, and kills were judged.
    assert!(taken > 5_000, "{taken} were taken");
    assert!(judged > 200, "{judged} kills were judged");
}

#[test]
fn runs_find_what_is_done_wrong() {
    for fault in [Fault::Forgetful, Fault::Late, Fault::Hasty] {
        let finds = |seed| {
            let mut world = World::of(seed, fault);
            world.run();
            !world.found.is_empty()
        };
        assert!((0..RUNS).any(finds), "{fault:?}");
    }
}
