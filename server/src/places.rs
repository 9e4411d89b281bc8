//! Places: how many of something may exist at once, altogether and for one source.

use crate::limits::Host;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Hands out places.
#[derive(Debug)]
pub(crate) struct Places {
    total: usize,
    per_source: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    total: usize,
    by_source: HashMap<Host, usize>,
}

/// A place; free again when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    places: Arc<Places>,
    source: Host,
}

impl Places {
    /// So many places, and so many of them for one IPv4 address or IPv6 /64.
    pub(crate) fn new(total: usize, per_source: usize) -> Arc<Self> {
        Arc::new(Self { total, per_source, taken: Mutex::default() })
    }

    /// A place for this address, or `None` when all, or all of its source, are taken.
    pub(crate) fn take(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let source = Host::of(address);
        let mut taken = self.lock();
        let by_source = taken.by_source.get(&source).copied().unwrap_or(0);
        if by_source >= self.per_source || taken.total >= self.total {
            return None;
        }
        taken.by_source.insert(source, by_source + 1);
        taken.total += 1;
        Some(Place { places: Arc::clone(self), source })
    }

    /// Places taken at the moment.
    pub(crate) fn taken(&self) -> usize {
        self.lock().total
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.lock();
        taken.total = taken.total.saturating_sub(1);
        if let Some(by_source) = taken.by_source.get_mut(&self.source) {
            *by_source = by_source.saturating_sub(1);
            if *by_source == 0 {
                taken.by_source.remove(&self.source);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_source_cannot_take_every_place() {
        let places = Places::new(3, 2);
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        let first = places.take(address("fd00::1"));
        let second = places.take(address("fd00::2"));
        assert!(first.is_some() && second.is_some());
        assert!(places.take(address("fd00::3")).is_none(), "same /64");
        let third = places.take(address("10.0.0.1"));
        assert!(third.is_some());
        assert!(places.take(address("10.0.0.2")).is_none(), "all are taken");
        drop(first);
        assert!(places.take(address("::ffff:10.0.0.1")).is_some());
        drop((second, third));
        assert_eq!(places.taken(), 0);
        assert!(places.lock().by_source.is_empty());
    }
}
