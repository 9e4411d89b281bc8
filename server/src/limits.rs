//! How often a caller may (`spec/security.md` 2.6 and 3.5): token buckets in memory, counted
//! by the server's clock, in maps that cannot grow without bound.
//!
//! Wrong codes are charged to the account that typed them, never to a code, a machine or a
//! shared address, so that nobody can lock anybody else out.

use engine::time::Timestamp;
use protocol::ids::MachineId;
use std::collections::{HashMap, HashSet, VecDeque};
use std::fmt;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Most callers a bucket remembers at a time.
const REMEMBERED: usize = 65_536;
/// Wrong codes of the whole server within [`ALARM_WINDOW`] that raise the alarm.
pub(crate) const ALARM_MISSES: usize = 60;
/// Over how long wrong codes are counted for the alarm.
const ALARM_WINDOW: Duration = Duration::from_secs(3_600);
/// Longest answer to "when may I", in seconds: a bucket's next token is never further away.
const LONGEST_RETRY: u64 = 360;

/// Too fast.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limited {
    /// Seconds until it may be tried again.
    pub(crate) retry_after: u64,
}

/// Whom an address stands for: an IPv4 address, or an IPv6 /64.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Host(u128);

/// The network an address lies in: an IPv4 /24, or an IPv6 /48.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Prefix(u128);

/// The smallest network that is anybody's own: an IPv4 /24, or an IPv6 /64.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Subnet(u128);

impl Host {
    /// The host behind an address.
    pub(crate) fn of(address: IpAddr) -> Self {
        Self(masked(address, 32, 64))
    }
}

impl Prefix {
    /// The network of an address.
    pub(crate) fn of(address: IpAddr) -> Self {
        Self(masked(address, 24, 48))
    }
}

impl Subnet {
    /// The network of an address.
    pub(crate) fn of(address: IpAddr) -> Self {
        Self(masked(address, 24, 64))
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match IpAddr::V6(Ipv6Addr::from_bits(self.0)).to_canonical() {
            IpAddr::V4(network) => write!(f, "{network}/24"),
            IpAddr::V6(network) => write!(f, "{network}/64"),
        }
    }
}

/// The address cut to a prefix length, IPv4 in its mapped form: ::ffff:0:0/96 is nobody's IPv6.
fn masked(address: IpAddr, v4: u32, v6: u32) -> u128 {
    let (bits, length) = match address.to_canonical() {
        IpAddr::V4(address) => (address.to_ipv6_mapped().to_bits(), 96 + v4),
        IpAddr::V6(address) => (Ipv6Addr::to_bits(address), v6),
    };
    bits & u128::MAX.checked_shl(128_u32.saturating_sub(length)).unwrap_or(0)
}

/// Token buckets by caller, each kept as the one moment at which it is full again.
#[derive(Debug)]
pub(crate) struct Buckets<K> {
    full_at: HashMap<K, Timestamp>,
    every: Duration,
    burst: u32,
}

impl<K: Eq + Hash + Clone> Buckets<K> {
    pub(crate) fn new(burst: u32, every: Duration) -> Self {
        Self { full_at: HashMap::new(), every, burst }
    }

    /// Takes a token.
    pub(crate) fn take(&mut self, caller: K, now: Timestamp) -> Result<(), Limited> {
        let full_at = self.full_at.get(&caller).copied().unwrap_or(now).max(now).plus(self.every);
        let room = self.every.saturating_mul(self.burst);
        let short = full_at.since(now).saturating_sub(room);
        if short > Duration::ZERO {
            let seconds = short.as_millis().div_ceil(1_000);
            return Err(Limited {
                retry_after: u64::try_from(seconds).unwrap_or(LONGEST_RETRY).clamp(1, LONGEST_RETRY),
            });
        }
        if self.full_at.len() >= REMEMBERED && !self.full_at.contains_key(&caller) {
            self.make_room(now);
        }
        self.full_at.insert(caller, full_at);
        Ok(())
    }

    /// Puts a token back.
    pub(crate) fn put_back(&mut self, caller: &K) {
        if let Some(full_at) = self.full_at.get_mut(caller) {
            *full_at = full_at.minus(self.every);
        }
    }

    fn prune(&mut self, now: Timestamp) {
        self.full_at.retain(|_, full_at| *full_at > now);
    }

    /// Forgets full buckets, and if there are none, the eighth nearest to full: forgetting those
    /// gives away least, and so many at once are worth the search.
    fn make_room(&mut self, now: Timestamp) {
        self.prune(now);
        if self.full_at.len() < REMEMBERED {
            return;
        }
        let mut moments: Vec<Timestamp> = self.full_at.values().copied().collect();
        let (_, last_to_go, _) = moments.select_nth_unstable(REMEMBERED / 8);
        let last_to_go = *last_to_go;
        self.full_at.retain(|_, full_at| *full_at > last_to_go);
    }
}

/// What a wrong code did besides taking a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Miss {
    /// Counted.
    Counted,
    /// The whole server's alarm went off with this one.
    Alarm,
}

#[derive(Debug)]
struct Inner {
    creates: Buckets<Host>,
    unanswered: Buckets<Host>,
    unanswered_nearby: Buckets<Prefix>,
    registers: Buckets<Host>,
    all_registers: Buckets<()>,
    tokens: Buckets<String>,
    refused_tokens: Buckets<String>,
    guesses: Buckets<String>,
    failed_proofs: Buckets<Host>,
    observations: Buckets<MachineId>,
    mesh_polls: Buckets<MachineId>,
    mesh_reports: Buckets<MachineId>,
    misses: VecDeque<(Timestamp, String)>,
    step_up: HashSet<String>,
}

/// All limits of one server process.
#[derive(Debug)]
pub(crate) struct Limits(Mutex<Inner>);

impl Limits {
    /// Full buckets.
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Inner {
            creates: Buckets::new(16, Duration::from_secs(2)),
            unanswered: Buckets::new(256, Duration::from_secs(60)),
            unanswered_nearby: Buckets::new(4_096, Duration::from_secs(4)),
            registers: Buckets::new(100, Duration::from_millis(200)),
            all_registers: Buckets::new(500, Duration::from_millis(2)),
            tokens: Buckets::new(200, Duration::from_millis(100)),
            refused_tokens: Buckets::new(200, Duration::from_secs(10)),
            guesses: Buckets::new(10, Duration::from_secs(360)),
            failed_proofs: Buckets::new(5, Duration::from_secs(60)),
            observations: Buckets::new(3, Duration::from_secs(10)),
            mesh_polls: Buckets::new(600, Duration::from_millis(50)),
            mesh_reports: Buckets::new(60, Duration::from_millis(250)),
            misses: VecDeque::new(),
            step_up: HashSet::new(),
        }))
    }

    /// One more enrollment from this address.
    pub(crate) fn create(&self, source: IpAddr, now: Timestamp) -> Result<(), Limited> {
        self.lock().creates.take(Host::of(source), now)
    }

    /// One more code for this address, and for its network. Until an operator answers it, it
    /// counts as one of those that only use up codes, which rest for a day each: 256 at once,
    /// then one a minute.
    pub(crate) fn new_code(&self, source: IpAddr, now: Timestamp) -> Result<(), Limited> {
        let mut inner = self.lock();
        inner.unanswered.take(Host::of(source), now)?;
        inner
            .unanswered_nearby
            .take(Prefix::of(source), now)
            .inspect_err(|_| inner.unanswered.put_back(&Host::of(source)))
    }

    /// An operator answered an enrollment from this address.
    pub(crate) fn answered(&self, source: IpAddr) {
        let mut inner = self.lock();
        inner.unanswered.put_back(&Host::of(source));
        inner.unanswered_nearby.put_back(&Prefix::of(source));
    }

    /// One more registration by token from this address.
    pub(crate) fn register(&self, source: IpAddr, now: Timestamp) -> Result<(), Limited> {
        self.lock().registers.take(Host::of(source), now)
    }

    /// One more registration by token, wherever it comes from.
    pub(crate) fn register_anywhere(&self, now: Timestamp) -> Result<(), Limited> {
        self.lock().all_registers.take((), now)
    }

    /// One more refusal of this token: whether the audit log takes a row. A token that ended stays
    /// in boot menus, and whoever has it could fill the log with it.
    pub(crate) fn refused_token(&self, jti: &str, now: Timestamp) -> Result<(), Limited> {
        self.lock().refused_tokens.take(jti.to_owned(), now)
    }

    /// One more registration by this token.
    pub(crate) fn token(&self, jti: &str, now: Timestamp) -> Result<(), Limited> {
        self.lock().tokens.take(jti.to_owned(), now)
    }

    /// One more proof from this address that did not hold: whether the audit log takes a row.
    pub(crate) fn failed_proof(&self, source: IpAddr, now: Timestamp) -> Result<(), Limited> {
        self.lock().failed_proofs.take(Host::of(source), now)
    }

    /// One more inventory of this machine that differs from the stored one.
    pub(crate) fn observation(&self, machine: MachineId, now: Timestamp) -> Result<(), Limited> {
        self.lock().observations.take(machine, now)
    }

    /// One more question of this machine what is new in its mesh network: it comes again after each answer,
    /// and a network that is being filled has many.
    pub(crate) fn mesh_poll(&self, machine: MachineId, now: Timestamp) -> Result<(), Limited> {
        self.lock().mesh_polls.take(machine, now)
    }

    /// One more report of this machine of its mesh network.
    pub(crate) fn mesh_report(&self, machine: MachineId, now: Timestamp) -> Result<(), Limited> {
        self.lock().mesh_reports.take(machine, now)
    }

    /// One more code typed by this account. Charged before anything is looked up, so that
    /// parallel guesses count too; [`Limits::hit`] gives it back.
    pub(crate) fn guess(&self, account: &str, now: Timestamp) -> Result<(), Limited> {
        self.lock().guesses.take(account.to_owned(), now)
    }

    /// The code was right.
    pub(crate) fn hit(&self, account: &str) {
        self.lock().guesses.put_back(&account.to_owned());
    }

    /// The code was wrong: counts towards the alarm. When it goes off, every account that
    /// missed within the hour must enter its password again.
    pub(crate) fn miss(&self, account: &str, now: Timestamp) -> Miss {
        let mut inner = self.lock();
        inner.misses.retain(|(at, _)| now.since(*at) < ALARM_WINDOW);
        inner.misses.push_back((now, account.to_owned()));
        if inner.misses.len() < ALARM_MISSES {
            return Miss::Counted;
        }
        // Counting starts again, so one wave raises one alarm.
        let accounts: Vec<String> = inner.misses.drain(..).map(|(_, account)| account).collect();
        inner.step_up.extend(accounts);
        Miss::Alarm
    }

    /// Whether this account must enter its password again before it types codes.
    pub(crate) fn needs_step_up(&self, account: &str) -> bool {
        self.lock().step_up.contains(account)
    }

    /// The account entered its password.
    pub(crate) fn password_entered(&self, account: &str) {
        self.lock().step_up.remove(account);
    }

    /// Forgets what no longer limits anybody.
    pub(crate) fn prune(&self, now: Timestamp) {
        let mut inner = self.lock();
        inner.creates.prune(now);
        inner.unanswered.prune(now);
        inner.unanswered_nearby.prune(now);
        inner.registers.prune(now);
        inner.all_registers.prune(now);
        inner.tokens.prune(now);
        inner.refused_tokens.prune(now);
        inner.guesses.prune(now);
        inner.failed_proofs.prune(now);
        inner.observations.prune(now);
        inner.mesh_polls.prune(now);
        inner.mesh_reports.prune(now);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::from_millis(1_800_000_000_000);

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn sixteen_enrollments_at_once_then_one_in_two_seconds() {
        let limits = Limits::new();
        let source = address("10.0.0.5");
        for _ in 0..16 {
            assert_eq!(limits.create(source, START), Ok(()));
        }
        assert_eq!(limits.create(source, START), Err(Limited { retry_after: 2 }));
        assert_eq!(limits.create(address("::ffff:10.0.0.5"), START), Err(Limited { retry_after: 2 }));
        assert_eq!(limits.create(address("10.0.0.6"), START), Ok(()));
        let later = START.plus(Duration::from_secs(2));
        assert_eq!(limits.create(source, later), Ok(()));
        assert!(limits.create(source, later).is_err());
    }

    #[test]
    fn codes_nobody_answers_are_one_a_minute_after_256() {
        let limits = Limits::new();
        let source = address("10.0.0.5");
        for _ in 0..256 {
            assert_eq!(limits.new_code(source, START), Ok(()));
        }
        assert_eq!(limits.new_code(source, START), Err(Limited { retry_after: 60 }));
        limits.answered(source);
        assert_eq!(limits.new_code(source, START), Ok(()));
        for host in 6..21 {
            for _ in 0..256 {
                limits.new_code(IpAddr::from([10, 0, 0, host]), START).unwrap();
            }
        }
        assert_eq!(limits.new_code(address("10.0.0.99"), START), Err(Limited { retry_after: 4 }));
        assert_eq!(limits.new_code(address("10.0.1.99"), START), Ok(()));
    }

    #[test]
    fn ipv6_neighbours_of_a_64_share_a_bucket() {
        assert_eq!(Host::of(address("2001:db8::1")), Host::of(address("2001:db8::ffff:2")));
        assert_ne!(Host::of(address("2001:db8::1")), Host::of(address("2001:db8:0:1::1")));
        assert_eq!(Prefix::of(address("2001:db8::1")), Prefix::of(address("2001:db8:0:1::1")));
        assert_eq!(Prefix::of(address("10.0.0.1")), Prefix::of(address("10.0.0.200")));
        assert_ne!(Prefix::of(address("10.0.0.1")), Prefix::of(address("10.0.1.1")));
    }

    #[test]
    fn registrations_have_a_limit_by_address_by_token_and_for_all() {
        let limits = Limits::new();
        let passed = |take: &dyn Fn(Timestamp) -> Result<(), Limited>, second| {
            let now = START.plus(Duration::from_secs(second));
            (0..2_000).take_while(|_| take(now).is_ok()).count()
        };
        let by_address = |now| limits.register(address("10.0.0.5"), now);
        assert_eq!([passed(&by_address, 0), passed(&by_address, 1)], [100, 5]);
        let by_token = |now| limits.token("j", now);
        assert_eq!([passed(&by_token, 0), passed(&by_token, 1)], [200, 10]);
        let all = |now| limits.register_anywhere(now);
        assert_eq!([passed(&all, 0), passed(&all, 1)], [500, 500]);
    }

    #[test]
    fn ten_wrong_codes_an_hour_and_right_ones_are_free() {
        let limits = Limits::new();
        for _ in 0..50 {
            limits.guess("eve", START).unwrap();
            limits.hit("eve");
        }
        for _ in 0..10 {
            limits.guess("eve", START).unwrap();
        }
        assert_eq!(limits.guess("eve", START), Err(Limited { retry_after: 360 }));
        assert_eq!(limits.guess("adam", START), Ok(()));
        let mut passed = 0;
        for second in 0..3_600 {
            passed += u32::from(limits.guess("eve", START.plus(Duration::from_secs(second))).is_ok());
        }
        assert_eq!(passed, 9);
    }

    #[test]
    fn sixty_misses_raise_one_alarm_and_ask_for_passwords() {
        let limits = Limits::new();
        for number in 1..ALARM_MISSES {
            let account = if number % 2 == 0 { "eve" } else { "mallory" };
            assert_eq!(limits.miss(account, START), Miss::Counted);
        }
        assert!(!limits.needs_step_up("eve"));
        assert_eq!(limits.miss("eve", START), Miss::Alarm);
        assert!(limits.needs_step_up("eve") && limits.needs_step_up("mallory"));
        assert!(!limits.needs_step_up("adam"));
        assert_eq!(limits.miss("adam", START), Miss::Counted);
        limits.password_entered("eve");
        assert!(!limits.needs_step_up("eve"));
    }

    #[test]
    fn misses_of_another_hour_do_not_add_up() {
        let limits = Limits::new();
        for number in 0..200 {
            let at = START.plus(Duration::from_secs(62 * number));
            assert_eq!(limits.miss("eve", at), Miss::Counted);
        }
    }

    #[test]
    fn buckets_stay_bounded_and_forget_the_fullest_first() {
        let mut buckets = Buckets::new(2, Duration::from_secs(1));
        buckets.take(u32::MAX, START).unwrap();
        buckets.take(u32::MAX, START).unwrap();
        for caller in 0..70_000 {
            buckets.take(caller, START).unwrap();
            assert!(buckets.full_at.len() <= REMEMBERED);
        }
        assert!(buckets.take(u32::MAX, START).is_err());
        buckets.prune(START.plus(Duration::from_secs(2)));
        assert!(buckets.full_at.is_empty());
    }
}
