//! Machines that asked to come back under a new key while the old one was still warm: whom each
//! was taken for, and when that one was last heard.
//!
//! In memory only: after a restart a machine that waits is met for the first time again.

use engine::time::Timestamp;
use protocol::ids::{KeyThumbprint, MachineId};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Most machines that are remembered; one more waits like any other, but nobody notices when the
/// machine it was taken for speaks.
const REMEMBERED: usize = 4_096;
/// How long one is remembered: agents give up waiting after three minutes.
const FOR: Duration = Duration::from_secs(600);

#[derive(Debug, Clone, Copy)]
struct Meeting {
    machine: MachineId,
    heard: Timestamp,
    at: Timestamp,
}

/// Everybody who waits for a machine's silence.
#[derive(Debug, Default)]
pub(crate) struct Comebacks(Mutex<HashMap<KeyThumbprint, Meeting>>);

impl Comebacks {
    /// A key asks to be this machine, which was last heard at `heard`. Answers whether the machine
    /// spoke since the key first asked: then it is alive, and the key is somebody else's.
    pub(crate) fn spoke_since(
        &self,
        key: KeyThumbprint,
        machine: MachineId,
        heard: Timestamp,
        now: Timestamp,
    ) -> bool {
        let mut meetings = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        meetings.retain(|_, meeting| now.since(meeting.at) < FOR);
        match meetings.get(&key).filter(|meeting| meeting.machine == machine) {
            Some(meeting) => heard > meeting.heard,
            None => {
                if meetings.len() < REMEMBERED {
                    meetings.insert(key, Meeting { machine, heard, at: now });
                }
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::from_millis(1_800_000_000_000);
    const KEY: KeyThumbprint = KeyThumbprint([1; 32]);

    fn after(seconds: u64) -> Timestamp {
        START.plus(Duration::from_secs(seconds))
    }

    fn machine(number: u128) -> MachineId {
        MachineId(uuid::Uuid::from_u128(number))
    }

    #[test]
    fn machine_that_speaks_again_is_noticed_by_whoever_waits_for_its_silence() {
        let comebacks = Comebacks::default();
        assert!(!comebacks.spoke_since(KEY, machine(1), after(0), after(10)));
        assert!(!comebacks.spoke_since(KEY, machine(1), after(0), after(20)));
        assert!(comebacks.spoke_since(KEY, machine(1), after(25), after(30)));
        assert!(comebacks.spoke_since(KEY, machine(1), after(25), after(40)), "it stays noticed");
        let other = KeyThumbprint([2; 32]);
        assert!(!comebacks.spoke_since(other, machine(1), after(25), after(40)), "whoever comes later waits");
        assert!(!comebacks.spoke_since(KEY, machine(2), after(50), after(50)), "another machine");
    }

    #[test]
    fn meetings_are_forgotten_and_never_too_many() {
        let comebacks = Comebacks::default();
        for number in 0..10_000_u32 {
            let mut key = [0; 32];
            key[..4].copy_from_slice(&number.to_be_bytes());
            comebacks.spoke_since(KeyThumbprint(key), machine(1), after(0), after(0));
        }
        assert_eq!(comebacks.0.lock().unwrap().len(), REMEMBERED);
        assert!(!comebacks.spoke_since(KEY, machine(1), after(700), after(700)));
        assert_eq!(comebacks.0.lock().unwrap().len(), 1);
    }
}
