//! The table of leases, whatever clients do and whenever the server restarts.

use crate::messages::network;
use proptest::prelude::*;
use pxe::dhcp::{Holder, LEASE, Lease, Leases};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

/// Something that happens.
#[derive(Debug, Clone)]
enum Event {
    /// A client looks for an address, with a wish.
    Discover(u8, Option<u8>),
    /// A client asks for an address.
    Request(u8, u8),
    /// A client asks for the address that it was offered, or has.
    Take(u8),
    /// A client gives its address back.
    Release(u8),
    /// A client finds its address taken.
    Decline(u8),
    /// Time passes.
    Wait(u16),
    /// The server is started anew, with what it kept.
    Restart,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let client = 0..6_u8;
    let address = 0..8_u8;
    let event = prop_oneof![
        3 => (client.clone(), prop::option::of(address.clone())).prop_map(|(who, wish)| Event::Discover(who, wish)),
        2 => (client.clone(), address).prop_map(|(who, what)| Event::Request(who, what)),
        4 => client.clone().prop_map(Event::Take),
        1 => client.clone().prop_map(Event::Release),
        1 => client.prop_map(Event::Decline),
        3 => (0..700_u16).prop_map(Event::Wait),
        1 => Just(Event::Restart),
    ];
    prop::collection::vec(event, 1..120)
}

fn holder(who: u8) -> Holder {
    if who < 4 { Holder::Card([2, 0, 0, 0, 0, who]) } else { Holder::Named(vec![who]) }
}

/// Four of them are ours to give: 10.77.0.0 and 10.77.0.1 are reserved.
fn address(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 77, 0, number)
}

fn table() -> Leases {
    Leases::new("10.77.0.0-10.77.0.5".parse().unwrap(), network().reserved())
}

/// A network as its clients see it.
struct World {
    leases: Leases,
    kept: Vec<Lease>,
    now: Duration,
    offered: BTreeMap<u8, Ipv4Addr>,
    /// Whoever may use an address, and until when.
    held: BTreeMap<u8, (Ipv4Addr, Duration)>,
}

impl World {
    fn take(&mut self, who: u8, address: Ipv4Addr) {
        let given = self.leases.give(&holder(who), address, self.now);
        // As the desk does: kept before the client hears of it.
        self.kept = self.leases.kept().unwrap_or_else(|| self.kept.clone());
        match given {
            true => drop(self.held.insert(who, (address, self.now + LEASE))),
            // A client that is refused uses nothing any more.
            false => drop(self.held.remove(&who)),
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Discover(who, wish) => {
                // A client that looks for an address has none.
                self.held.remove(&who);
                match self.leases.offer(&holder(who), wish.map(address), self.now) {
                    Some(address) => drop(self.offered.insert(who, address)),
                    None => drop(self.offered.remove(&who)),
                }
            }
            Event::Request(who, number) => self.take(who, address(number)),
            Event::Take(who) => {
                let own = self.held.get(&who).map(|(address, _)| *address);
                if let Some(address) = own.or_else(|| self.offered.get(&who).copied()) {
                    self.take(who, address);
                }
            }
            Event::Release(who) => {
                if let Some((address, _)) = self.held.remove(&who) {
                    self.leases.release(&holder(who), address, self.now);
                }
            }
            Event::Decline(who) => {
                if let Some((address, _)) = self.held.remove(&who) {
                    assert!(self.leases.decline(&holder(who), address, self.now));
                    self.kept = self.leases.kept().unwrap();
                }
            }
            Event::Wait(seconds) => self.now += Duration::from_secs(seconds.into()),
            Event::Restart => {
                self.leases = table();
                self.leases.restore(self.kept.clone(), self.now);
            }
        }
        let now = self.now;
        self.held.retain(|_, (_, until)| *until > now);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn no_address_is_two_clients_at_once(events in events()) {
        let (leases, now) = (table(), Duration::ZERO);
        let mut world =
            World { leases, kept: Vec::new(), now, offered: BTreeMap::new(), held: BTreeMap::new() };
        for event in events {
            world.happen(event);
            let mut used: Vec<Ipv4Addr> = world.held.values().map(|(address, _)| *address).collect();
            used.sort_unstable();
            let count = used.len();
            used.dedup();
            prop_assert_eq!(used.len(), count, "{:?}", world.held);
            prop_assert!(used.iter().all(|used| (2..=5).contains(&used.octets()[3])), "{used:?}");
        }
    }

    #[test]
    fn a_free_address_is_found(waits in prop::collection::vec(0..700_u64, 4)) {
        let mut leases = table();
        let mut now = Duration::ZERO;
        for (who, wait) in (0..4).zip(waits) {
            let found = leases.offer(&holder(who), None, now);
            prop_assert!(found.is_some_and(|address| leases.give(&holder(who), address, now)));
            now += Duration::from_secs(wait);
        }
        // All four are known by now; the fifth client gets one exactly when a lease is over.
        let over = leases.offer(&holder(5), None, now);
        prop_assert!(over.is_none() || now >= LEASE);
        prop_assert!(leases.offer(&holder(5), None, now + LEASE).is_some());
    }
}

#[test]
fn what_was_kept_holds_for_a_whole_lease_after_a_restart() {
    let mut leases = Leases::new("10.77.0.100-10.77.0.100".parse().unwrap(), []);
    let kept = Lease { address: Ipv4Addr::new(10, 77, 0, 100), holder: holder(0) };
    leases.restore([kept.clone()], Duration::ZERO);
    assert_eq!(leases.offer(&holder(1), None, LEASE - Duration::from_secs(1)), None);
    assert_eq!(leases.offer(&holder(1), None, LEASE), Some(kept.address));
}

#[test]
fn what_is_outside_the_range_or_twice_in_the_file_is_left_out() {
    let mut leases = Leases::new("10.77.0.100-10.77.0.101".parse().unwrap(), []);
    let lease = |last, who| Lease { address: address(last), holder: holder(who) };
    leases.restore([lease(100, 0), lease(100, 1), lease(101, 0), lease(7, 2)], Duration::ZERO);
    assert_eq!(leases.offer(&holder(1), None, Duration::ZERO), Some(address(101)));
    assert_eq!(leases.offer(&holder(2), None, Duration::ZERO), None);
}
