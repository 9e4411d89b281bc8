//! What one input may cost (`spec/security.md` 6: no input takes 100 ms or 64 MiB).
//!
//! Time is the thread's processor time, so that a busy machine makes no findings; memory is what
//! the heap grew by at its highest, counted by the allocator, so that one request for a gigabyte is
//! found although nobody touches it. That counter is the whole process's: one input is measured at a
//! time.

use crate::Property;
use nix::time::{ClockId, clock_gettime};
use peak_alloc::PeakAlloc;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Most processor time that one input may take, in an optimised build.
pub const MAX_TIME: Duration = Duration::from_millis(100);
/// Most that the heap may grow by, in bytes.
pub const MAX_MEMORY: usize = 64 * 1_024 * 1_024;
/// An input over its time is tried so often again: the first time may have filled caches.
const TRIES: usize = 3;

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

/// Held while an input is measured: another's would count as this one's, or begin the count anew.
static MEASURING: Mutex<()> = Mutex::new(());

/// Runs a target on one input and panics when that costs more than it may, or when the target finds
/// that a property does not hold.
///
/// Answers what the target does.
pub fn bounded(target: Property, data: &[u8], limit: Duration) -> bool {
    let mut fastest = Duration::MAX;
    for _ in 0..TRIES {
        let (understood, time, memory) = measured(target, data);
        assert!(memory <= MAX_MEMORY, "{} bytes of input took {memory} bytes of memory", data.len());
        fastest = fastest.min(time);
        if fastest <= limit {
            return understood;
        }
    }
    panic!("{} bytes of input took {fastest:?}, at most {limit:?} are allowed", data.len());
}

fn measured(target: Property, data: &[u8]) -> (bool, Duration, usize) {
    // An input that made its target panic left nothing behind that the next one reads.
    let _alone = MEASURING.lock().unwrap_or_else(PoisonError::into_inner);
    let before = HEAP.current_usage();
    HEAP.reset_peak_usage();
    let begun = processor_time();
    let understood = target(data);
    let time = processor_time().saturating_sub(begun);
    (understood, time, HEAP.peak_usage().saturating_sub(before))
}

fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("Linux counts the time of threads");
    Duration::from(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn input_that_costs_nothing_passes() {
        assert!(bounded(|data| !data.to_vec().is_empty(), &[0; 100], MAX_TIME));
    }

    #[test]
    #[should_panic(expected = "bytes of memory")]
    fn memory_is_found_although_nobody_touches_it() {
        let greedy = |_: &[u8]| std::hint::black_box(Vec::<u8>::with_capacity(MAX_MEMORY + 1)).is_empty();
        bounded(greedy, b"", MAX_TIME);
    }

    #[test]
    #[should_panic(expected = "0 bytes of input took")]
    fn input_that_takes_long_is_found() {
        bounded(|_| (0..100_000).map(std::hint::black_box).sum::<u64>() > 0, b"", Duration::ZERO);
    }
}
