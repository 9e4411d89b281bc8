//! The way between two members, from what both of them see.
//!
//! A tunnel between the two is tried always. It is given up for the relay when neither end has had a handshake for as
//! long as a session lasts and both tried in vain for a while, and taken again at the first handshake: while the relay is
//! between them both go on trying.

use crate::time::Timestamp;
use protocol::mesh::{PeerReport, SESSION, Way};

/// Seconds that both ends try before they go by the relay: three endpoints of five seconds each.
pub const PATIENCE: u64 = 15;

/// What one end told of the other, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// What it told.
    pub report: PeerReport,
    /// When it came.
    pub at: Timestamp,
}

impl Told {
    /// Seconds since the last handshake, as of now.
    pub fn handshake(&self, now: Timestamp) -> Option<u64> {
        self.report.handshake.map(|then| then.saturating_add(now.since(self.at).as_secs()))
    }

    /// Whether there is a session, as of now.
    pub fn up(&self, now: Timestamp) -> bool {
        self.handshake(now).is_some_and(|ago| ago <= SESSION)
    }
}

/// The way of a pair that went by `before`. `relay`: there is a third member that relays, and both ends are online.
pub fn decide(before: Way, relay: bool, ends: [Option<&Told>; 2], now: Timestamp) -> Way {
    if ends.iter().flatten().any(|end| end.up(now)) {
        return Way::Direct;
    }
    let in_vain = |end: &Option<&Told>| end.is_some_and(|end| end.report.tried >= PATIENCE);
    match before {
        Way::Direct if relay && ends.iter().all(in_vain) => Way::Relay,
        Way::Direct => Way::Direct,
        Way::Relay => Way::Relay,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::ids::MachineId;
    use uuid::Uuid;

    fn told(handshake: Option<u64>, tried: u64) -> Told {
        let report = PeerReport {
            machine: MachineId(Uuid::nil()),
            endpoint: None,
            handshake,
            tried,
            received: 0,
            sent: 0,
            way: Way::Direct,
        };
        Told { report, at: Timestamp::from_seconds(1_000) }
    }

    fn decided(before: Way, relay: bool, ends: [Option<&Told>; 2]) -> Way {
        decide(before, relay, ends, Timestamp::from_seconds(1_000))
    }

    #[test]
    fn relay_is_taken_when_both_tried_in_vain_and_there_is_one() {
        let (vain, early, none) = (told(None, 15), told(None, 14), None);
        assert_eq!(decided(Way::Direct, true, [Some(&vain), Some(&vain)]), Way::Relay);
        assert_eq!(decided(Way::Direct, false, [Some(&vain), Some(&vain)]), Way::Direct);
        assert_eq!(decided(Way::Direct, true, [Some(&vain), Some(&early)]), Way::Direct);
        assert_eq!(decided(Way::Direct, true, [Some(&vain), none]), Way::Direct);
        let over = told(Some(SESSION + 1), 40);
        assert_eq!(decided(Way::Direct, true, [Some(&over), Some(&vain)]), Way::Relay);
    }

    #[test]
    fn first_handshake_of_either_end_brings_the_tunnel_back() {
        let (vain, met) = (told(None, 500), told(Some(0), 0));
        assert_eq!(decided(Way::Relay, true, [Some(&vain), Some(&met)]), Way::Direct);
        assert_eq!(decided(Way::Relay, true, [Some(&met), None]), Way::Direct);
        // One that began anew has tried for no time: that brings nothing back.
        let anew = told(None, 0);
        assert_eq!(decided(Way::Relay, true, [Some(&anew), Some(&vain)]), Way::Relay);
        assert_eq!(decided(Way::Relay, false, [Some(&anew), Some(&vain)]), Way::Relay);
    }

    #[test]
    fn handshake_grows_older_since_it_was_told() {
        let end = told(Some(100), 0);
        let later = |seconds: u64| Timestamp::from_seconds(1_000 + seconds);
        assert_eq!(end.handshake(later(30)), Some(130));
        assert!(end.up(later(80)) && !end.up(later(81)));
    }
}
