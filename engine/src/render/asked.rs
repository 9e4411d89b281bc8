//! What a template asked about a machine's addresses: the path of a file tells by it for which of
//! them it is, and that it is for none.

use std::sync::atomic::{AtomicU8, Ordering};

/// The questions so far.
#[derive(Debug, Default)]
pub(super) struct Asked(AtomicU8);

const HARDWARE_ADDRESS: u8 = 1;
const ABSENT_ADDRESS: u8 = 2;

impl Asked {
    /// The hardware address was asked for; `present` says whether there is one.
    pub(super) fn hardware_address(&self, present: bool) {
        self.set(if present { HARDWARE_ADDRESS } else { ABSENT_ADDRESS });
    }

    /// The IP address was asked for; `present` says whether there is one.
    pub(super) fn address(&self, present: bool) {
        self.set(if present { 0 } else { ABSENT_ADDRESS });
    }

    /// Whether the answer depends on the hardware address.
    pub(super) fn depends_on_hardware(&self) -> bool {
        self.has(HARDWARE_ADDRESS)
    }

    /// Whether an address was asked for that the machine does not have.
    pub(super) fn missed_an_address(&self) -> bool {
        self.has(ABSENT_ADDRESS)
    }

    fn set(&self, question: u8) {
        self.0.fetch_or(question, Ordering::Relaxed);
    }

    fn has(&self, question: u8) -> bool {
        self.0.load(Ordering::Relaxed) & question != 0
    }
}
