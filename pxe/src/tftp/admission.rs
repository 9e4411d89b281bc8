//! Who may have a transfer.
//!
//! UDP tells nothing about who really sent a request. Until its address answered, a transfer is one of
//! a bounded number of unanswered ones, where the newest always finds room; those that answered are out
//! of the reach of whoever sends requests under wrong names.

use super::limits::Limits;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How long an address counts as one that answers, at least.
const ACQUAINTANCE: Duration = Duration::from_secs(300);
/// Most addresses that are remembered for it, twice.
const MAX_ACQUAINTANCES: usize = 4_096;
/// A client that says nothing for so long may have started anew.
const SILENCE: Duration = Duration::from_secs(2);

/// A transfer's number: never used twice, and younger ones have larger ones.
pub(super) type Id = u64;

/// What a request gets.
#[derive(Debug)]
pub(super) enum Verdict {
    /// A transfer of this number. The others end.
    Begin { id: Id, pulse: Arc<Pulse>, ended: Vec<Id> },
    /// Nothing: it came twice, or from a stranger while too many do.
    Ignore,
    /// A refusal.
    Busy,
}

/// When a transfer's client was last heard, told by the thread that has it to the one that listens.
#[derive(Debug)]
pub(super) struct Pulse {
    began: Instant,
    /// Milliseconds after it began; [`Pulse::OVER`] when everything was sent.
    heard: AtomicU64,
}

impl Pulse {
    const OVER: u64 = u64::MAX;

    fn new(now: Instant) -> Self {
        Self { began: now, heard: AtomicU64::new(0) }
    }

    /// The client was heard.
    pub(super) fn beats(&self, now: Instant, is_all_sent: bool) {
        let millis = now.saturating_duration_since(self.began).as_millis();
        let millis = u64::try_from(millis).unwrap_or(Self::OVER);
        self.heard.store(if is_all_sent { Self::OVER } else { millis }, Ordering::Relaxed);
    }

    /// Whether the client may have got everything, or begun anew.
    fn may_be_over(&self, now: Instant) -> bool {
        match self.heard.load(Ordering::Relaxed) {
            Self::OVER => true,
            millis => now.saturating_duration_since(self.began) >= Duration::from_millis(millis) + SILENCE,
        }
    }
}

/// Every transfer, and every request whose file is looked for.
#[derive(Debug)]
pub(super) struct Admission {
    limits: Limits,
    last: Id,
    by_id: HashMap<Id, Entry>,
    by_client: HashMap<SocketAddr, Id>,
    by_address: HashMap<IpAddr, usize>,
    /// Those that were never answered, the oldest first.
    unanswered: BTreeSet<Id>,
    acquaintances: Acquaintances,
    strangers: Bucket,
}

#[derive(Debug)]
struct Entry {
    client: SocketAddr,
    /// Of what was asked for.
    digest: u64,
    pulse: Arc<Pulse>,
}

impl Admission {
    pub(super) fn new(limits: Limits, now: Instant) -> Self {
        Self {
            strangers: Bucket::new(limits.strangers_per_second, now),
            limits,
            last: 0,
            by_id: HashMap::new(),
            by_client: HashMap::new(),
            by_address: HashMap::new(),
            unanswered: BTreeSet::new(),
            acquaintances: Acquaintances::new(now),
        }
    }

    /// A client asks for what has this digest.
    pub(super) fn ask(&mut self, client: SocketAddr, digest: u64, now: Instant) -> Verdict {
        let mut ended = Vec::new();
        if let Some(id) = self.by_client.get(&client).copied() {
            if self.is_a_repetition(id, digest, now) {
                return Verdict::Ignore;
            }
            self.end(id);
            ended.push(id);
        }
        let address = client.ip();
        if self.by_address.get(&address).is_some_and(|taken| *taken >= self.limits.per_client) {
            let is_its = |id: &&Id| self.by_id.get(id).is_some_and(|entry| entry.client.ip() == address);
            match self.unanswered.iter().find(is_its).copied() {
                Some(oldest) => ended.push(self.end(oldest)),
                None => return Verdict::Busy,
            }
        }
        if self.answered() >= self.limits.transfers {
            return Verdict::Busy;
        }
        if !self.acquaintances.knows(&address) && !self.strangers.take(now) {
            return Verdict::Ignore;
        }
        if self.unanswered.len() >= self.limits.unanswered
            && let Some(oldest) = self.unanswered.first().copied()
        {
            ended.push(self.end(oldest));
        }
        let (id, pulse) = self.insert(client, digest, now);
        Verdict::Begin { id, pulse, ended }
    }

    fn insert(&mut self, client: SocketAddr, digest: u64, now: Instant) -> (Id, Arc<Pulse>) {
        self.last += 1;
        let (id, pulse) = (self.last, Arc::new(Pulse::new(now)));
        self.by_id.insert(id, Entry { client, digest, pulse: Arc::clone(&pulse) });
        self.by_client.insert(client, id);
        *self.by_address.entry(client.ip()).or_default() += 1;
        self.unanswered.insert(id);
        (id, pulse)
    }

    /// Whether a request from the port of a transfer came twice. A client that never answered and
    /// asks for something else means it; one in the middle of a file does not, for then anybody could
    /// end a transfer by a request under its name.
    fn is_a_repetition(&self, id: Id, digest: u64, now: Instant) -> bool {
        let Some(entry) = self.by_id.get(&id) else { return false };
        if self.unanswered.contains(&id) {
            return entry.digest == digest;
        }
        !entry.pulse.may_be_over(now)
    }

    /// Whether a transfer still has its place.
    pub(super) fn has(&self, id: Id) -> bool {
        self.by_id.contains_key(&id)
    }

    /// The client of a transfer answered for the first time. False when it has no place any more.
    pub(super) fn answers(&mut self, id: Id, now: Instant) -> bool {
        let Some(entry) = self.by_id.get(&id) else { return false };
        self.acquaintances.meet(entry.client.ip(), now);
        if self.answered() >= self.limits.transfers {
            self.end(id);
            return false;
        }
        self.unanswered.remove(&id);
        true
    }

    /// A transfer ended.
    pub(super) fn end(&mut self, id: Id) -> Id {
        self.unanswered.remove(&id);
        if let Some(Entry { client, .. }) = self.by_id.remove(&id) {
            self.by_client.remove(&client);
            if let Some(taken) = self.by_address.get_mut(&client.ip()) {
                *taken = taken.saturating_sub(1);
                if *taken == 0 {
                    self.by_address.remove(&client.ip());
                }
            }
        }
        id
    }

    /// Transfers to clients that answered.
    pub(super) fn answered(&self) -> usize {
        self.by_id.len().saturating_sub(self.unanswered.len())
    }
}

/// Addresses that answered lately: of this span of time and of the one before.
#[derive(Debug)]
struct Acquaintances {
    new: HashSet<IpAddr>,
    old: HashSet<IpAddr>,
    turned: Instant,
}

impl Acquaintances {
    fn new(now: Instant) -> Self {
        Self { new: HashSet::new(), old: HashSet::new(), turned: now }
    }

    fn knows(&self, address: &IpAddr) -> bool {
        self.new.contains(address) || self.old.contains(address)
    }

    fn meet(&mut self, address: IpAddr, now: Instant) {
        let is_full = self.new.len() >= MAX_ACQUAINTANCES;
        if is_full || now.saturating_duration_since(self.turned) >= ACQUAINTANCE {
            self.old = std::mem::take(&mut self.new);
            self.turned = now;
        }
        self.new.insert(address);
    }
}

/// So many in a second, and as many at once.
#[derive(Debug)]
pub(super) struct Bucket {
    per_second: u32,
    /// Thousandths.
    level: u64,
    filled: Instant,
}

impl Bucket {
    pub(super) fn new(per_second: u32, now: Instant) -> Self {
        Self { per_second, level: u64::from(per_second) * 1_000, filled: now }
    }

    /// Takes one, if there is one.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let millis = now.saturating_duration_since(self.filled).as_millis();
        if millis > 0 {
            let more = u64::try_from(millis).unwrap_or(u64::MAX).saturating_mul(self.per_second.into());
            self.level = self.level.saturating_add(more).min(u64::from(self.per_second) * 1_000);
            self.filled = now;
        }
        let left = self.level.checked_sub(1_000);
        self.level = left.unwrap_or(self.level);
        left.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(host: u8, port: u16) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, host], port))
    }

    fn begun(verdict: Verdict) -> (Id, Vec<Id>) {
        match verdict {
            Verdict::Begin { id, ended, .. } => (id, ended),
            refused @ (Verdict::Ignore | Verdict::Busy) => panic!("{refused:?}"),
        }
    }

    fn few() -> Limits {
        Limits { transfers: 3, per_client: 2, unanswered: 4, strangers_per_second: 100, ..Limits::default() }
    }

    #[test]
    fn request_that_comes_twice_is_heard_once() {
        let now = Instant::now();
        let mut admission = Admission::new(Limits::default(), now);
        let (first, _) = begun(admission.ask(client(1, 5), 7, now));
        assert!(matches!(admission.ask(client(1, 5), 7, now), Verdict::Ignore));
        let (second, ended) = begun(admission.ask(client(1, 5), 8, now));
        assert_eq!(ended, [first], "the client thought better of it");
        assert!(admission.answers(second, now) && !admission.has(first));
        assert!(matches!(admission.ask(client(1, 5), 9, now), Verdict::Ignore), "in the middle of a file");
        let (_, ended) = begun(admission.ask(client(1, 5), 8, now + SILENCE));
        assert_eq!(ended, [second], "it began anew");
    }

    #[test]
    fn client_that_has_everything_may_ask_again_at_once() {
        let now = Instant::now();
        let mut admission = Admission::new(Limits::default(), now);
        let Verdict::Begin { id, pulse, .. } = admission.ask(client(1, 5), 7, now) else { panic!() };
        admission.answers(id, now);
        pulse.beats(now, false);
        assert!(matches!(admission.ask(client(1, 5), 7, now), Verdict::Ignore));
        pulse.beats(now, true);
        assert_eq!(begun(admission.ask(client(1, 5), 7, now)).1, [id]);
    }

    #[test]
    fn wrong_names_push_each_other_out_and_nobody_else() {
        let now = Instant::now();
        let mut admission = Admission::new(few(), now);
        let (good, _) = begun(admission.ask(client(9, 1), 0, now));
        assert!(admission.answers(good, now));
        let mut all_ended = Vec::new();
        for host in 20..90 {
            all_ended.extend(begun(admission.ask(client(host, 1), 0, now)).1);
        }
        assert!(admission.has(good) && !all_ended.contains(&good));
        assert_eq!((all_ended.len(), admission.by_id.len(), admission.by_client.len()), (66, 5, 5));
        let (late, _) = begun(admission.ask(client(9, 2), 0, now));
        assert!(admission.answers(late, now));
    }

    #[test]
    fn strangers_begin_at_a_bounded_rate_and_acquaintances_at_any() {
        let now = Instant::now();
        let mut admission = Admission::new(few(), now);
        let (good, _) = begun(admission.ask(client(9, 1), 0, now));
        assert!(admission.answers(good, now));
        admission.end(good);
        let heard = |verdict: &Verdict| matches!(verdict, Verdict::Begin { .. });
        let strangers = |admission: &mut Admission, at| {
            let ports = 1..=1_000;
            ports.map(|port| admission.ask(client(2, port), 0, at)).filter(heard).count()
        };
        assert_eq!(strangers(&mut admission, now), 99);
        assert!(heard(&admission.ask(client(9, 2), 0, now)));
        assert_eq!(strangers(&mut admission, now + Duration::from_millis(50)), 5);
        assert_eq!(strangers(&mut admission, now + Duration::from_secs(60)), 100);
    }

    #[test]
    fn one_address_has_few_places_and_all_have_some() {
        let now = Instant::now();
        let mut admission = Admission::new(few(), now);
        for port in 1..=2 {
            let (id, _) = begun(admission.ask(client(1, port), 0, now));
            assert!(admission.answers(id, now));
        }
        assert!(matches!(admission.ask(client(1, 3), 0, now), Verdict::Busy));
        let (third, _) = begun(admission.ask(client(2, 1), 0, now));
        let (fourth, _) = begun(admission.ask(client(2, 2), 0, now));
        let (_, ended) = begun(admission.ask(client(2, 3), 0, now));
        assert_eq!(ended, [third], "what the address never answered makes room");
        assert!(admission.answers(fourth, now));
        assert!(matches!(admission.ask(client(3, 1), 0, now), Verdict::Busy), "all are taken");
        admission.end(fourth);
        let (fifth, _) = begun(admission.ask(client(3, 1), 0, now));
        assert!(admission.answers(fifth, now));
    }

    #[test]
    fn nothing_is_left_of_what_ended() {
        let now = Instant::now();
        let mut admission = Admission::new(Limits::default(), now);
        for port in 1..=10 {
            let (id, _) = begun(admission.ask(client(1, port), 0, now));
            if port % 2 == 0 {
                admission.answers(id, now);
            }
            admission.end(id);
        }
        assert!(admission.by_id.is_empty() && admission.by_client.is_empty());
        assert!(admission.by_address.is_empty() && admission.unanswered.is_empty());
    }

    #[test]
    fn remembered_addresses_are_few_and_forgotten() {
        let now = Instant::now();
        let mut known = Acquaintances::new(now);
        for host in 0..3 * u32::try_from(MAX_ACQUAINTANCES).unwrap() {
            known.meet(IpAddr::V4(host.into()), now);
        }
        assert!(known.new.len() + known.old.len() <= 2 * MAX_ACQUAINTANCES);
        let address = "10.9.9.9".parse().unwrap();
        let other = "10.9.9.8".parse().unwrap();
        known.meet(address, now);
        known.meet(other, now + ACQUAINTANCE);
        assert!(known.knows(&address));
        known.meet(other, now + 2 * ACQUAINTANCE);
        assert!(!known.knows(&address) && known.knows(&other));
    }
}
