//! Who is there right now, in memory: when each waiting machine last polled, and when each
//! registered machine last sent a heartbeat.
//!
//! A restart counts as a poll, so that waiting consoles survive it. Heartbeats reach the store
//! in batches (`app/sweep.rs`).

use crate::limits::{Host, Limited, Prefix};
use engine::machine::{Machine, Name, Presence};
use engine::time::Timestamp;
use protocol::ids::{EnrollmentId, MachineId};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Seconds between polls to begin with.
pub(crate) const POLL_INTERVAL: u64 = 5;
/// What each early poll adds to a request's interval, in seconds (RFC 8628 section 3.5).
const SLOWER_BY: u64 = 5;
/// The longest interval, in seconds.
const SLOWEST: u64 = 30;
/// Most waiting machines of one host (IPv4 address, IPv6 /64).
const MAX_PER_HOST: usize = 64;
/// Most waiting machines of one network (IPv4 /24, IPv6 /48).
const MAX_PER_PREFIX: usize = 1_024;
/// Most waiting machines of the server.
const MAX_WAITING: usize = 10_000;
/// From here on the oldest unpolled machine of the heaviest network makes room.
const CROWDED: usize = MAX_WAITING / 10 * 8;
/// A waiting machine that has not polled this long, twice the slowest interval, may make room.
const UNPOLLED: Duration = Duration::from_secs(2 * SLOWEST);

#[derive(Debug)]
struct Waiting {
    source: IpAddr,
    last_poll: Timestamp,
    /// When the last poll came in; none yet after a restart or for a new enrollment.
    arrived: Option<Timestamp>,
    interval: u64,
}

#[derive(Debug, Default)]
struct Pool {
    waiting: HashMap<EnrollmentId, Waiting>,
    by_host: HashMap<Host, usize>,
    by_prefix: HashMap<Prefix, usize>,
}

#[derive(Debug, Clone, Copy)]
struct Heard {
    last_seen: Option<Timestamp>,
    goodbye: bool,
    /// Seen since the last checkpoint.
    unsaved: bool,
    /// What watchers were last told.
    told_online: bool,
}

/// What a machine's agent hears of it with the answer to a heartbeat, and hears again when it changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Said {
    name: Name,
    mesh: bool,
}

impl Said {
    /// What there is to say of a machine now.
    pub(crate) fn of(machine: &Machine) -> Self {
        Self { name: machine.name.clone(), mesh: machine.wants_mesh() }
    }
}

/// In-memory liveness of one server process.
#[derive(Debug, Default)]
pub(crate) struct Liveness {
    pool: Mutex<Pool>,
    machines: Mutex<HashMap<MachineId, Heard>>,
    said: Mutex<HashMap<MachineId, Said>>,
}

/// Whether one more machine may wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Room {
    /// Yes.
    Free,
    /// Yes, once this one is expired: the pool is crowded.
    Evict(EnrollmentId),
    /// This host or network has its share.
    Share(Limited),
    /// The pool is full of machines that poll.
    Full,
}

/// A poll that came too early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooEarly {
    /// The request's new interval in seconds.
    pub(crate) interval: u64,
}

/// Heartbeats to store, and machines whose dot changed colour.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Checkpoint {
    /// Last heartbeats since the previous checkpoint.
    pub(crate) seen: Vec<(MachineId, Timestamp)>,
    /// Machines that went on- or offline and whose watchers were not told yet.
    pub(crate) turned: Vec<MachineId>,
}

impl Pool {
    fn remove(&mut self, id: EnrollmentId) {
        if let Some(gone) = self.waiting.remove(&id) {
            decrement(&mut self.by_host, Host::of(gone.source));
            decrement(&mut self.by_prefix, Prefix::of(gone.source));
        }
    }

    fn oldest_unpolled_of_the_heaviest(&self, now: Timestamp) -> Option<EnrollmentId> {
        let (heaviest, _) = self.by_prefix.iter().max_by_key(|(prefix, count)| (**count, **prefix))?;
        self.waiting
            .iter()
            .filter(|(_, one)| Prefix::of(one.source) == *heaviest && now.since(one.last_poll) >= UNPOLLED)
            .min_by_key(|(id, one)| (one.last_poll, **id))
            .map(|(id, _)| *id)
    }
}

fn decrement<K: Eq + std::hash::Hash>(counts: &mut HashMap<K, usize>, key: K) {
    if let std::collections::hash_map::Entry::Occupied(mut entry) = counts.entry(key) {
        match entry.get().checked_sub(1) {
            None | Some(0) => drop(entry.remove()),
            Some(fewer) => *entry.get_mut() = fewer,
        }
    }
}

impl Liveness {
    /// Nobody is there.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// A machine begins to wait, or is known to wait after a restart: both count as a poll.
    pub(crate) fn waits(&self, id: EnrollmentId, source: IpAddr, now: Timestamp) {
        let mut pool = self.pool();
        pool.remove(id);
        *pool.by_host.entry(Host::of(source)).or_default() += 1;
        *pool.by_prefix.entry(Prefix::of(source)).or_default() += 1;
        pool.waiting.insert(id, Waiting { source, last_poll: now, arrived: None, interval: POLL_INTERVAL });
    }

    /// A machine waits no longer.
    pub(crate) fn waits_no_longer(&self, id: EnrollmentId) {
        self.pool().remove(id);
    }

    /// Whether one more machine may wait at this address.
    pub(crate) fn room(&self, source: IpAddr, now: Timestamp) -> Room {
        let pool = self.pool();
        let of_host = pool.by_host.get(&Host::of(source)).copied().unwrap_or(0);
        let of_prefix = pool.by_prefix.get(&Prefix::of(source)).copied().unwrap_or(0);
        if of_host >= MAX_PER_HOST || of_prefix >= MAX_PER_PREFIX {
            return Room::Share(Limited { retry_after: 60 });
        }
        let total = pool.waiting.len();
        if total < CROWDED {
            return Room::Free;
        }
        match pool.oldest_unpolled_of_the_heaviest(now) {
            Some(id) => Room::Evict(id),
            None if total < MAX_WAITING => Room::Free,
            None => Room::Full,
        }
    }

    /// A poll came in: refused when it is early, noted otherwise. Answers the request's
    /// interval in seconds.
    pub(crate) fn poll(&self, id: EnrollmentId, now: Timestamp) -> Result<u64, TooEarly> {
        let mut pool = self.pool();
        let Some(one) = pool.waiting.get_mut(&id) else { return Ok(POLL_INTERVAL) };
        one.last_poll = now;
        // Agents vary the interval by a fifth, which is the one second of tolerance at five.
        let due =
            Duration::from_secs(one.interval).saturating_sub(Duration::from_secs((one.interval / 5).max(1)));
        let early = one.arrived.is_some_and(|arrived| now.since(arrived) < due);
        one.arrived = Some(now);
        if early {
            one.interval = (one.interval + SLOWER_BY).min(SLOWEST);
            return Err(TooEarly { interval: one.interval });
        }
        Ok(one.interval)
    }

    /// The machine is still there, at the end of a held poll.
    pub(crate) fn still_waits(&self, id: EnrollmentId, now: Timestamp) {
        if let Some(one) = self.pool().waiting.get_mut(&id) {
            one.last_poll = now;
        }
    }

    /// When a waiting machine last polled.
    pub(crate) fn last_poll(&self, id: EnrollmentId) -> Option<Timestamp> {
        self.pool().waiting.get(&id).map(|one| one.last_poll)
    }

    /// Everybody who waits, and when each last polled.
    pub(crate) fn everybody_waiting(&self) -> Vec<(EnrollmentId, Timestamp)> {
        self.pool().waiting.iter().map(|(id, one)| (*id, one.last_poll)).collect()
    }

    /// A registered machine as the store knew it at start.
    pub(crate) fn recall(&self, id: MachineId, last_seen: Option<Timestamp>, now: Timestamp) {
        let told_online = Presence::at(now, last_seen, false).online;
        self.machines().insert(id, Heard { last_seen, goodbye: false, unsaved: false, told_online });
    }

    /// A machine was heard, perhaps for the last time. Answers whether its dot changes colour.
    pub(crate) fn heard(&self, id: MachineId, goodbye: bool, now: Timestamp) -> bool {
        let mut machines = self.machines();
        let told_online = machines.get(&id).is_some_and(|heard| heard.told_online);
        let online = !goodbye;
        machines.insert(id, Heard { last_seen: Some(now), goodbye, unsaved: true, told_online: online });
        told_online != online
    }

    /// A machine was deleted.
    pub(crate) fn forget(&self, id: MachineId) {
        self.machines().remove(&id);
        self.last_said().remove(&id);
    }

    /// What a machine's agent was told last; nothing yet after a restart.
    pub(crate) fn said(&self, id: MachineId) -> Option<Said> {
        self.last_said().get(&id).cloned()
    }

    /// A machine's agent is told this.
    pub(crate) fn say(&self, id: MachineId, said: Said) {
        self.last_said().insert(id, said);
    }

    /// When a machine was last heard of, and whether it is online.
    pub(crate) fn presence(&self, id: MachineId, now: Timestamp) -> Presence {
        let heard = self.machines().get(&id).copied();
        heard.map_or_else(Presence::default, |heard| Presence::at(now, heard.last_seen, heard.goodbye))
    }

    /// How many machines are online.
    pub(crate) fn online(&self, now: Timestamp) -> usize {
        let machines = self.machines();
        machines.values().filter(|heard| Presence::at(now, heard.last_seen, heard.goodbye).online).count()
    }

    /// The machines that are online.
    pub(crate) fn who_is_online(&self, now: Timestamp) -> Vec<MachineId> {
        let machines = self.machines();
        let online = |heard: &Heard| Presence::at(now, heard.last_seen, heard.goodbye).online;
        machines.iter().filter(|(_, heard)| online(heard)).map(|(id, _)| *id).collect()
    }

    /// How many machines wait for an operator.
    pub(crate) fn waiting(&self) -> usize {
        self.pool().waiting.len()
    }

    /// What happened since the previous checkpoint.
    pub(crate) fn checkpoint(&self, now: Timestamp) -> Checkpoint {
        let mut checkpoint = Checkpoint::default();
        for (id, heard) in self.machines().iter_mut() {
            if let (true, Some(last_seen)) = (heard.unsaved, heard.last_seen) {
                checkpoint.seen.push((*id, last_seen));
                heard.unsaved = false;
            }
            let online = Presence::at(now, heard.last_seen, heard.goodbye).online;
            if heard.told_online != online {
                checkpoint.turned.push(*id);
                heard.told_online = online;
            }
        }
        checkpoint
    }

    /// A checkpoint could not be stored: its heartbeats are to be stored again.
    pub(crate) fn unsave(&self, seen: &[(MachineId, Timestamp)]) {
        let mut machines = self.machines();
        for (id, _) in seen {
            if let Some(heard) = machines.get_mut(id) {
                heard.unsaved = true;
            }
        }
    }

    fn pool(&self) -> MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn machines(&self) -> MutexGuard<'_, HashMap<MachineId, Heard>> {
        self.machines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn last_said(&self) -> MutexGuard<'_, HashMap<MachineId, Said>> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    const START: Timestamp = Timestamp::from_millis(1_800_000_000_000);

    fn id(number: u128) -> EnrollmentId {
        EnrollmentId(Uuid::from_u128(number))
    }

    fn machine(number: u128) -> MachineId {
        MachineId(Uuid::from_u128(number))
    }

    fn address(network: u8, host: u8) -> IpAddr {
        IpAddr::from([10, 0, network, host])
    }

    fn after(seconds: u64) -> Timestamp {
        START.plus(Duration::from_secs(seconds))
    }

    #[test]
    fn early_polls_slow_a_request_down_to_thirty_seconds() {
        let liveness = Liveness::new();
        liveness.waits(id(1), address(0, 1), START);
        assert_eq!(liveness.poll(id(1), after(0)), Ok(5));
        assert_eq!(liveness.poll(id(1), after(4)), Ok(5));
        for (second, interval) in [(5, 10), (6, 15), (7, 20), (8, 25), (9, 30), (10, 30)] {
            assert_eq!(liveness.poll(id(1), after(second)), Err(TooEarly { interval }));
        }
        assert_eq!(liveness.poll(id(1), after(34)), Ok(30));
        assert_eq!(liveness.last_poll(id(1)), Some(after(34)));
    }

    #[test]
    fn one_host_has_64_places_and_one_network_1024() {
        let liveness = Liveness::new();
        for number in 0..64 {
            assert_eq!(liveness.room(address(1, 1), START), Room::Free);
            liveness.waits(id(number), address(1, 1), START);
        }
        assert!(matches!(liveness.room(address(1, 1), START), Room::Share(_)));
        assert_eq!(liveness.room(address(1, 2), START), Room::Free);
        for number in 64..1_024 {
            liveness.waits(id(number), address(1, u8::try_from(number / 64 + 2).unwrap()), START);
        }
        assert!(matches!(liveness.room(address(1, 200), START), Room::Share(_)));
        assert_eq!(liveness.room(address(2, 1), START), Room::Free);
        liveness.waits_no_longer(id(1_000));
        assert_eq!(liveness.room(address(1, 200), START), Room::Free);
    }

    #[test]
    fn crowded_pool_evicts_the_oldest_unpolled_of_the_heaviest_network() {
        let liveness = Liveness::new();
        for number in 0..8_000_u128 {
            let network = u8::try_from(number / 1_000).unwrap();
            let host = u8::try_from(number % 200).unwrap();
            liveness.waits(id(number), address(network, host), START);
        }
        liveness.waits(id(9_000), address(3, 250), START);
        assert_eq!(liveness.room(address(99, 1), START), Room::Free);
        liveness.still_waits(id(3_000), after(30));
        let now = after(61);
        assert_eq!(liveness.room(address(99, 1), now), Room::Evict(id(3_001)));
    }

    #[test]
    fn full_pool_of_polling_machines_is_full() {
        let liveness = Liveness::new();
        for number in 0..10_000_u128 {
            let network = u8::try_from(number / 100).unwrap();
            liveness.waits(id(number), address(network, u8::try_from(number % 100).unwrap()), START);
        }
        assert_eq!(liveness.room(address(200, 1), START), Room::Full);
    }

    #[test]
    fn heartbeats_are_checkpointed_once_and_silence_turns_the_dot() {
        let liveness = Liveness::new();
        liveness.recall(machine(1), None, START);
        assert!(liveness.heard(machine(1), false, START));
        assert!(!liveness.heard(machine(1), false, after(20)));
        let checkpoint = liveness.checkpoint(after(21));
        assert_eq!(checkpoint.seen, [(machine(1), after(20))]);
        assert_eq!(checkpoint.turned, []);
        assert_eq!(liveness.checkpoint(after(79)), Checkpoint::default());
        assert_eq!(liveness.checkpoint(after(80)).turned, [machine(1)]);
        assert_eq!(liveness.checkpoint(after(81)), Checkpoint::default());
    }

    #[test]
    fn goodbye_turns_the_dot_at_once() {
        let liveness = Liveness::new();
        liveness.heard(machine(1), false, START);
        assert!(liveness.heard(machine(1), true, after(1)));
        assert!(!liveness.presence(machine(1), after(1)).online);
        assert_eq!(liveness.presence(machine(1), after(1)).last_seen, Some(after(1)));
    }
}
