//! What is learnt about a machine after its hardware was looked at: the controller's address,
//! the switches on its links. Whoever learns something says so here; the next inventory has it.

use protocol::inventory::{Bmc, Inventory, Lldp};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

/// Everything learnt so far.
#[derive(Debug, Default)]
pub(crate) struct Learnt {
    /// The management controller, once it answered.
    pub(crate) bmc: Option<Bmc>,
    /// By the name of the link they were heard on.
    neighbours: BTreeMap<String, Neighbour>,
}

/// A switch and until when its word holds.
#[derive(Debug)]
struct Neighbour {
    lldp: Lldp,
    until: Instant,
}

impl Learnt {
    /// Takes in what a neighbour said on a link; it holds for some time, none takes it back.
    /// Tells whether it is news.
    pub(crate) fn hear(&mut self, link: &str, lldp: Lldp, holds: Duration, now: Instant) -> bool {
        if holds.is_zero() {
            return self.neighbours.remove(link).is_some();
        }
        let neighbour = Neighbour { lldp, until: now + holds };
        let is_news = self.neighbours.get(link).is_none_or(|known| known.lldp != neighbour.lldp);
        self.neighbours.insert(link.to_owned(), neighbour);
        is_news
    }

    /// The neighbour of a link, as long as its word holds.
    fn neighbour(&self, link: &str, now: Instant) -> Option<&Lldp> {
        self.neighbours.get(link).filter(|known| now < known.until).map(|known| &known.lldp)
    }

    /// Adds all of it to an inventory. A link without a carrier has no neighbour, whatever was
    /// heard on it before.
    pub(super) fn join(&self, inventory: &mut Inventory, now: Instant) {
        if let Some(bmc) = &self.bmc {
            inventory.bmc.clone_from(bmc);
        }
        for link in inventory.links.iter_mut().filter(|link| link.carrier) {
            link.lldp = self.neighbour(&link.name, now).cloned();
        }
    }

    /// Every neighbour in a few words, such as `sw-3 port Eth1/7 (eth0)`.
    pub(crate) fn switches(&self, now: Instant) -> Vec<String> {
        let known = |link: &String| Some(format!("{} ({link})", self.neighbour(link, now)?.summary()));
        self.neighbours.keys().filter_map(known).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::ids::MacAddr;
    use protocol::inventory::Link;

    const MINUTE: Duration = Duration::from_secs(60);

    fn switch(name: &str) -> Lldp {
        Lldp { system_name: name.to_owned(), port_id: "Eth1/7".to_owned(), ..Lldp::default() }
    }

    fn inventory() -> Inventory {
        let link = |name: &str, carrier| Link { carrier, ..Link::new(name, MacAddr([2, 0, 0, 0, 0, 1])) };
        Inventory { links: vec![link("eth0", true), link("eth1", false)], ..Inventory::default() }
    }

    fn joined(learnt: &Learnt, now: Instant) -> Vec<Option<String>> {
        let mut inventory = inventory();
        learnt.join(&mut inventory, now);
        inventory.links.into_iter().map(|link| link.lldp.map(|lldp| lldp.system_name)).collect()
    }

    #[test]
    fn a_neighbour_joins_the_link_it_was_heard_on_while_its_word_holds() {
        let (mut learnt, now) = (Learnt::default(), Instant::now());
        assert!(learnt.hear("eth0", switch("sw-3"), 2 * MINUTE, now));
        assert!(learnt.hear("eth1", switch("sw-4"), 2 * MINUTE, now), "heard before its carrier went");
        assert_eq!(joined(&learnt, now), [Some("sw-3".to_owned()), None]);
        assert_eq!(learnt.switches(now).first().unwrap(), "sw-3 port Eth1/7 (eth0)");
        assert!(!learnt.hear("eth0", switch("sw-3"), 2 * MINUTE, now + MINUTE), "said again is no news");
        assert_eq!(joined(&learnt, now + 2 * MINUTE), [Some("sw-3".to_owned()), None]);
        assert_eq!(joined(&learnt, now + 3 * MINUTE), [None, None]);
    }

    #[test]
    fn a_neighbour_that_says_goodbye_is_gone() {
        let (mut learnt, now) = (Learnt::default(), Instant::now());
        learnt.hear("eth0", switch("sw-3"), 2 * MINUTE, now);
        assert!(learnt.hear("eth0", switch("sw-3"), Duration::ZERO, now));
        assert_eq!(joined(&learnt, now), [None, None]);
        assert!(learnt.switches(now).is_empty());
    }

    #[test]
    fn a_controller_that_answered_is_in_the_inventory() {
        let bmc = Bmc { present: true, address: "10.0.0.9".to_owned(), ..Bmc::default() };
        let learnt = Learnt { bmc: Some(bmc.clone()), ..Learnt::default() };
        let mut inventory = inventory();
        learnt.join(&mut inventory, Instant::now());
        assert_eq!(inventory.bmc, bmc);
    }
}
