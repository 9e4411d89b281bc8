//! Which address is whose, on a network where nobody else gives any (RFC 2131). Pure: `now` is the
//! time since the server started.
//!
//! A client is its Ethernet card where it has one: firmware, iPXE and the agent of one machine call
//! themselves differently and keep one address. An address that was given stays with its client until
//! somebody else needs it.
//!
//! What must outlast a restart is who may hold which address, not until when: restored leases run as
//! long as one given at the restart, which is longer than any of them.

use super::Range;
use super::packet::Message;
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::time::Duration;

/// How long an address is lent.
pub const LEASE: Duration = Duration::from_secs(600);
/// Longest name of a client that is kept, in bytes; an RFC 4361 one has 135 at most. Whoever has a
/// longer one is known by its hardware.
pub const MAX_NAME: usize = 135;
/// How long an offered address is kept for whoever it was offered to.
const OFFER: Duration = Duration::from_secs(30);
/// How long an address is left alone that a client found taken.
const QUARANTINE: Duration = Duration::from_secs(3_600);

/// Who may hold an address.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Holder {
    /// The Ethernet card with this address.
    Card([u8; 6]),
    /// Any other client, by what it calls itself or by the address of its hardware. At most
    /// [`MAX_NAME`] bytes.
    Named(Vec<u8>),
}

impl Holder {
    /// Who sent a message, if it says.
    pub fn of(message: &Message) -> Option<Self> {
        if let Some(mac) = message.hardware.mac() {
            return Some(Self::Card(mac));
        }
        let address = message.hardware.address();
        match (message.id.len(), address.len()) {
            (1..=MAX_NAME, _) => Some(Self::Named(message.id.clone())),
            (_, 1..) => Some(Self::Named([&[message.hardware.kind()], address].concat())),
            (_, 0) => None,
        }
    }
}

/// An address and who may hold it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The address.
    pub address: Ipv4Addr,
    /// Whoever it was given to last.
    pub holder: Holder,
}

/// What is kept about an address.
#[derive(Debug, Clone)]
enum Entry {
    /// Offered, not taken yet.
    Offered { holder: Holder, until: Duration },
    /// Given; beyond `until` it is only remembered.
    Given { holder: Holder, until: Duration },
    /// Somebody who is not our client uses it.
    Taken { until: Duration },
}

impl Entry {
    fn until(&self) -> Duration {
        match self {
            Self::Offered { until, .. } | Self::Given { until, .. } | Self::Taken { until } => *until,
        }
    }
}

/// The table. Bounded by its range.
#[derive(Debug)]
pub struct Leases {
    range: Range,
    /// Addresses inside the range that are never given: our own, the network's.
    reserved: BTreeSet<Ipv4Addr>,
    entries: BTreeMap<Ipv4Addr, Entry>,
    of: BTreeMap<Holder, Ipv4Addr>,
    /// Whether [`Leases::kept`] has changed since it was asked for.
    changed: bool,
}

impl Leases {
    /// An empty table.
    pub fn new(range: Range, reserved: impl IntoIterator<Item = Ipv4Addr>) -> Self {
        let reserved = reserved.into_iter().filter(|address| range.contains(*address)).collect();
        Self { range, reserved, entries: BTreeMap::new(), of: BTreeMap::new(), changed: false }
    }

    /// Takes what was kept before a restart. What is outside the range, or twice there, is left out.
    pub fn restore(&mut self, leases: impl IntoIterator<Item = Lease>, now: Duration) {
        for Lease { address, holder } in leases {
            let known = self.of.contains_key(&holder) || self.entries.contains_key(&address);
            if self.gives(address) && !known {
                self.of.insert(holder.clone(), address);
                self.entries.insert(address, Entry::Given { holder, until: now.saturating_add(LEASE) });
            }
        }
    }

    /// An address for a client: the one it has or had, the one it would like, any.
    pub fn offer(&mut self, holder: &Holder, wish: Option<Ipv4Addr>, now: Duration) -> Option<Ipv4Addr> {
        if let Some(address) = self.of.get(holder).copied() {
            let offered = now.saturating_add(OFFER);
            match self.entries.get_mut(&address) {
                Some(Entry::Offered { until, .. } | Entry::Given { until, .. }) => {
                    *until = offered.max(*until);
                }
                Some(Entry::Taken { .. }) | None => {}
            }
            return Some(address);
        }
        let wish = wish.filter(|address| self.is_free(*address, now));
        let address = wish.or_else(|| self.unused()).or_else(|| self.longest_over(now))?;
        let until = now.saturating_add(OFFER);
        self.put(address, Entry::Offered { holder: holder.clone(), until });
        Some(address)
    }

    /// Gives an address to a client, or more time with it. False when it cannot have this one: it
    /// has another, or somebody else may use it.
    pub fn give(&mut self, holder: &Holder, address: Ipv4Addr, now: Duration) -> bool {
        let given = Entry::Given { holder: holder.clone(), until: now.saturating_add(LEASE) };
        match self.of.get(holder) {
            Some(own) if *own == address => {
                self.changed |= matches!(self.entries.get(&address), Some(Entry::Offered { .. }));
                self.entries.insert(address, given);
                true
            }
            // We are the only server: a client that comes with a free address had it from us.
            None if self.is_free(address, now) => {
                self.changed = true;
                self.put(address, given);
                true
            }
            Some(_) | None => false,
        }
    }

    /// A client is done with its address. It is remembered for the client, and free for others.
    pub fn release(&mut self, holder: &Holder, address: Ipv4Addr, now: Duration) -> bool {
        let own = self.of.get(holder) == Some(&address);
        match self.entries.get_mut(&address) {
            Some(Entry::Offered { until, .. } | Entry::Given { until, .. }) if own => {
                *until = now;
                true
            }
            Some(Entry::Offered { .. } | Entry::Given { .. } | Entry::Taken { .. }) | None => false,
        }
    }

    /// A client found somebody else at the address it was given: nobody gets that one for a while.
    pub fn decline(&mut self, holder: &Holder, address: Ipv4Addr, now: Duration) -> bool {
        let own = self.of.get(holder) == Some(&address);
        if own {
            self.changed = true;
            self.put(address, Entry::Taken { until: now.saturating_add(QUARANTINE) });
        }
        own
    }

    /// A client took another server's offer.
    pub fn forget_offer(&mut self, holder: &Holder) {
        let Some(address) = self.of.get(holder).copied() else { return };
        if let Some(Entry::Offered { .. }) = self.entries.get(&address) {
            self.entries.remove(&address);
            self.of.remove(holder);
        }
    }

    /// What must outlast a restart, if it has changed since this was asked last.
    pub fn kept(&mut self) -> Option<Vec<Lease>> {
        std::mem::take(&mut self.changed).then(|| {
            let given = self.entries.iter().filter_map(|(address, entry)| match entry {
                Entry::Given { holder, .. } => Some(Lease { address: *address, holder: holder.clone() }),
                Entry::Offered { .. } | Entry::Taken { .. } => None,
            });
            given.collect()
        })
    }

    /// What [`Leases::kept`] handed out was not kept: it does so again.
    pub fn keep_again(&mut self) {
        self.changed = true;
    }

    /// Whether an address is one of ours to give.
    fn gives(&self, address: Ipv4Addr) -> bool {
        self.range.contains(address) && !self.reserved.contains(&address)
    }

    fn is_free(&self, address: Ipv4Addr, now: Duration) -> bool {
        self.gives(address) && self.entries.get(&address).is_none_or(|entry| entry.until() <= now)
    }

    /// The lowest address that nothing is known about.
    fn unused(&self) -> Option<Ipv4Addr> {
        self.range.iter().find(|address| self.gives(*address) && !self.entries.contains_key(address))
    }

    /// The address whose last user has been gone for longest.
    fn longest_over(&self, now: Duration) -> Option<Ipv4Addr> {
        let over = self.entries.iter().filter(|(_, entry)| entry.until() <= now);
        over.min_by_key(|(_, entry)| entry.until()).map(|(address, _)| *address)
    }

    /// Replaces what is known of an address, and whose it was.
    fn put(&mut self, address: Ipv4Addr, entry: Entry) {
        match self.entries.remove(&address) {
            Some(Entry::Offered { holder, .. } | Entry::Given { holder, .. }) => {
                self.of.remove(&holder);
            }
            Some(Entry::Taken { .. }) | None => {}
        }
        match &entry {
            Entry::Offered { holder, .. } | Entry::Given { holder, .. } => {
                self.of.insert(holder.clone(), address);
            }
            Entry::Taken { .. } => {}
        }
        self.entries.insert(address, entry);
    }
}
