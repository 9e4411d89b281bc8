//! What is usual for a bootstrap token, so that a leaked one is noticed: how many machines it
//! registers in an hour, and from which networks (`spec/security.md` 3.5).
//!
//! In memory only, and bounded: habits are learnt anew after a restart.

use crate::limits::Subnet;
use engine::time::Timestamp;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

/// Most tokens of which habits are known; beyond, the one that was used longest ago is forgotten.
const TOKENS: usize = 4_096;
/// Most networks of one token; a token that is used from more is known everywhere.
const SUBNETS: usize = 64;
/// An hour is unusual when it has more registrations than this many times the mean of those before.
const TIMES_USUAL: u64 = 3;
/// Registrations in an hour that are never unusual: a rack that is switched on.
const NEVER_UNUSUAL: u64 = 30;
const HOUR_MILLIS: i64 = 3_600_000;

/// Something that was never so before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unusual {
    /// This many registrations within the hour, where so many are usual.
    Rate {
        /// Registrations so far.
        found: u64,
        /// Mean of the hours before.
        usual: u64,
    },
    /// A network it never registered from.
    Subnet(Subnet),
}

impl std::fmt::Display for Unusual {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Rate { found, usual } => {
                write!(f, "registered {found} machines within an hour, {usual} are usual")
            }
            Self::Subnet(subnet) => write!(f, "was used from {subnet}, for the first time"),
        }
    }
}

#[derive(Debug)]
struct Habit {
    /// Hours since 1970: the first and the current one.
    first_hour: i64,
    hour: i64,
    /// Registrations before the current hour, and in it.
    before: u64,
    within: u64,
    /// Whether the current hour was told to be unusual.
    told: bool,
    subnets: Vec<Subnet>,
    last_used: Timestamp,
}

/// Habits of the tokens that were used since the server started.
#[derive(Debug, Default)]
pub(crate) struct Habits(Mutex<HashMap<String, Habit>>);

impl Habits {
    /// A token registered a machine. Answers what is unusual about that; each thing once.
    pub(crate) fn used(&self, jti: &str, source: IpAddr, now: Timestamp) -> Vec<Unusual> {
        let mut habits = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (hour, subnet) = (now.as_millis() / HOUR_MILLIS, Subnet::of(source));
        let Some(habit) = habits.get_mut(jti) else {
            if habits.len() >= TOKENS {
                forget_oldest(&mut habits);
            }
            let (before, within, told) = (0, 1, false);
            let subnets = vec![subnet];
            let first = Habit { first_hour: hour, hour, before, within, told, subnets, last_used: now };
            habits.insert(jti.to_owned(), first);
            return Vec::new();
        };
        habit.last_used = now;
        let mut unusual = Vec::new();
        unusual.extend(habit.count(hour));
        if !habit.subnets.contains(&subnet) && habit.subnets.len() < SUBNETS {
            habit.subnets.push(subnet);
            unusual.push(Unusual::Subnet(subnet));
        }
        unusual
    }
}

impl Habit {
    fn count(&mut self, hour: i64) -> Option<Unusual> {
        if hour > self.hour {
            self.before = self.before.saturating_add(self.within);
            (self.hour, self.within, self.told) = (hour, 0, false);
        }
        self.within = self.within.saturating_add(1);
        // In its first hour nothing is usual yet.
        let hours = u64::try_from(self.hour - self.first_hour).ok().filter(|hours| *hours > 0)?;
        let usual = self.before / hours;
        let many = self.within > NEVER_UNUSUAL.max(usual.saturating_mul(TIMES_USUAL));
        (many && !std::mem::replace(&mut self.told, many))
            .then_some(Unusual::Rate { found: self.within, usual })
    }
}

fn forget_oldest(habits: &mut HashMap<String, Habit>) {
    let oldest = habits.iter().min_by_key(|(_, habit)| habit.last_used).map(|(jti, _)| jti.clone());
    if let Some(jti) = oldest {
        habits.remove(&jti);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const HOME: &str = "10.20.4.17";

    fn at(hour: u64) -> Timestamp {
        Timestamp::from_millis(1_800_000_000_000).plus(Duration::from_secs(hour * 3_600))
    }

    fn used(habits: &Habits, source: &str, now: Timestamp) -> Vec<String> {
        let unusual = habits.used("j", source.parse().unwrap(), now);
        unusual.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn hour_with_thrice_the_usual_is_told_once() {
        let habits = Habits::default();
        for hour in 0..10 {
            for _ in 0..20 {
                assert_eq!(used(&habits, HOME, at(hour)), [""; 0]);
            }
        }
        for _ in 0..60 {
            assert_eq!(used(&habits, HOME, at(10)), [""; 0]);
        }
        let told = "registered 61 machines within an hour, 20 are usual";
        assert_eq!(used(&habits, HOME, at(10)), [told]);
        for _ in 0..100 {
            assert_eq!(used(&habits, HOME, at(10)), [""; 0]);
        }
    }

    #[test]
    fn first_hour_and_a_rack_that_is_switched_on_are_usual() {
        let habits = Habits::default();
        for _ in 0..1_000 {
            assert_eq!(used(&habits, HOME, at(0)), [""; 0]);
        }
        let habits = Habits::default();
        used(&habits, HOME, at(0));
        for _ in 0..30 {
            assert_eq!(used(&habits, HOME, at(5)), [""; 0]);
        }
        assert_eq!(used(&habits, HOME, at(5)), ["registered 31 machines within an hour, 0 are usual"]);
    }

    #[test]
    fn network_never_seen_is_told_once_by_its_24_or_64() {
        let habits = Habits::default();
        for (source, told) in [
            ("10.20.4.17", ""),
            ("10.20.4.99", ""),
            ("10.20.5.1", "was used from 10.20.5.0/24, for the first time"),
            ("10.20.5.2", ""),
            ("2001:db8:0:1::5", "was used from 2001:db8:0:1::/64, for the first time"),
            ("2001:db8:0:1:2::5", ""),
            ("::ffff:10.20.4.1", ""),
        ] {
            assert_eq!(used(&habits, source, at(0)).concat(), told, "{source}");
        }
    }

    #[test]
    fn memory_is_bounded() {
        let habits = Habits::default();
        for number in 0..200_u8 {
            used(&habits, &format!("10.0.{number}.1"), at(0));
        }
        for number in 0..TOKENS + 100 {
            habits.used(&number.to_string(), HOME.parse().unwrap(), at(1));
        }
        let known = habits.0.lock().unwrap();
        assert_eq!(known.len(), TOKENS);
        assert!(known.values().all(|habit| habit.subnets.len() <= SUBNETS) && !known.contains_key("j"));
    }
}
