//! How often clients are answered, and what has been said of them in the log: a bounded memory, so that
//! nobody who makes up hardware addresses fills ours.

use super::packet::Hardware;
use crate::question::{Answer, Firmware};
use std::collections::HashMap;
use std::time::Duration;

/// Clients that are remembered.
const MAX_GUESTS: usize = 4_096;
/// A client that is not heard of for so long is forgotten: its next boot is told of again.
const MEMORY: Duration = Duration::from_secs(600);
/// Answers to one client: at once, and a second. A boot by PXE, iPXE and our agent takes about ten.
const EACH: Rate = Rate { burst: 24, a_second: 2 };
/// Answers to everybody. Each asks the database once.
const EVERYBODY: Rate = Rate { burst: 1_024, a_second: 512 };
/// What can be told to one client: firmware changes its mind between PXE, HTTP and iPXE.
const MAX_TOLD: usize = 6;

#[derive(Debug, Clone, Copy)]
struct Rate {
    burst: u32,
    a_second: u32,
}

/// One answer, as a bucket counts: by what a nanosecond brings, so that no moment is too short to count.
const ONE: u64 = 1_000_000_000;

/// A token bucket.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    rate: Rate,
    left: u64,
    at: Duration,
}

impl Bucket {
    fn full(rate: Rate, now: Duration) -> Self {
        Self { rate, left: u64::from(rate.burst) * ONE, at: now }
    }

    fn refill(&mut self, now: Duration) {
        let passed = u64::try_from(now.saturating_sub(self.at).as_nanos()).unwrap_or(u64::MAX);
        let more = passed.saturating_mul(self.rate.a_second.into());
        self.left = self.left.saturating_add(more).min(u64::from(self.rate.burst) * ONE);
        self.at = self.at.max(now);
    }

    fn has_one(&mut self, now: Duration) -> bool {
        self.refill(now);
        self.left >= ONE
    }

    fn take(&mut self) {
        self.left = self.left.saturating_sub(ONE);
    }
}

/// Whether a client is answered now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admission {
    /// It is.
    Granted,
    /// This one asks too often.
    TooOften,
    /// Too many ask.
    TooMany,
}

#[derive(Debug)]
struct Guest {
    bucket: Bucket,
    seen: Duration,
    told: Vec<(Firmware, Answer)>,
}

/// The clients of late.
#[derive(Debug)]
pub(super) struct Guests {
    everybody: Bucket,
    each: HashMap<Hardware, Guest>,
}

impl Guests {
    /// Nobody yet.
    pub(super) fn new(now: Duration) -> Self {
        Self { everybody: Bucket::full(EVERYBODY, now), each: HashMap::new() }
    }

    /// Whether a client is answered now; if so, one answer is counted.
    pub(super) fn admit(&mut self, hardware: Hardware, now: Duration) -> Admission {
        // First, so that a flood of made-up addresses costs no memory either.
        if !self.everybody.has_one(now) {
            return Admission::TooMany;
        }
        if self.each.len() >= MAX_GUESTS && !self.each.contains_key(&hardware) {
            self.make_room(now);
        }
        let guest = self.each.entry(hardware).or_insert_with(|| Guest {
            bucket: Bucket::full(EACH, now),
            seen: now,
            told: Vec::new(),
        });
        if now.saturating_sub(guest.seen) >= MEMORY {
            guest.told.clear();
        }
        guest.seen = guest.seen.max(now);
        if !guest.bucket.has_one(now) {
            return Admission::TooOften;
        }
        guest.bucket.take();
        self.everybody.take();
        Admission::Granted
    }

    /// Notes what a client is told; false when that is what it was told before.
    pub(super) fn is_news(&mut self, hardware: Hardware, firmware: Firmware, answer: &Answer) -> bool {
        let Some(guest) = self.each.get_mut(&hardware) else { return true };
        if guest.told.iter().any(|(whom, what)| *whom == firmware && what == answer) {
            return false;
        }
        guest.told.retain(|(whom, _)| *whom != firmware);
        guest.told.truncate(MAX_TOLD - 1);
        guest.told.push((firmware, answer.clone()));
        true
    }

    /// Forgets whoever has not been heard of for long, or else the older half: one pass for many.
    fn make_room(&mut self, now: Duration) {
        self.each.retain(|_, guest| now.saturating_sub(guest.seen) < MEMORY);
        if self.each.len() < MAX_GUESTS {
            return;
        }
        let mut seen: Vec<Duration> = self.each.values().map(|guest| guest.seen).collect();
        let (_, middle, _) = seen.select_nth_unstable(MAX_GUESTS / 2);
        let middle = *middle;
        self.each.retain(|_, guest| guest.seen > middle);
    }
}
