//! Whether a machine is online: computed from its last heartbeat, never stored.

use crate::time::Timestamp;
use std::time::Duration;

/// A machine is online while its last heartbeat is younger than this.
pub const ONLINE_FOR: Duration = Duration::from_secs(60);

/// When a machine was last heard of, and whether that counts as online. Computed, never stored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Presence {
    /// A heartbeat within [`ONLINE_FOR`], and no goodbye since.
    pub online: bool,
    /// The last heartbeat ever.
    pub last_seen: Option<Timestamp>,
}

impl Presence {
    /// The 60-second rule.
    pub fn at(now: Timestamp, last_seen: Option<Timestamp>, said_goodbye: bool) -> Self {
        let recent = last_seen.is_some_and(|seen| now.since(seen) < ONLINE_FOR);
        Self { online: recent && !said_goodbye, last_seen }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machine_is_online_for_sixty_seconds_unless_it_said_goodbye() {
        let seen = Timestamp::from_seconds(1_000);
        for (after, goodbye, online) in
            [(0, false, true), (59, false, true), (60, false, false), (1, true, false)]
        {
            let now = seen.plus(Duration::from_secs(after));
            assert_eq!(Presence::at(now, Some(seen), goodbye).online, online, "{after}");
        }
        assert!(!Presence::at(seen, None, false).online);
    }
}
