//! The log of a job: where bytes go, and where it ends.

use crate::change::Change;
use crate::job::Job;
use crate::machine::Machine;
use uuid::Uuid;

/// Longest log, in bytes, but for its last line; the store takes 16 MiB. What a task writes beyond is not kept: a task that talks too much
/// does not fail for it, and fills nobody's disk.
pub const MAX_LOG: u64 = 16 * 1_024 * 1_024 - 1_024;
/// Most bytes of one append.
pub const MAX_APPEND: usize = 1_024 * 1_024;
/// Last line of a log that was cut.
const CUT: &str = "\n[the log is longer than 16 MiB; the rest was not kept]\n";

/// The first line names the job; what the server has to say follows.
pub(super) fn start(machine: &Machine, job: &Job, text: &str) -> Change {
    let job = &job.fields;
    let bytes = format!("job {}: {} on {} ({})\n{text}", job.uuid, job.task, machine.name, machine.id);
    Change::AppendLog { job: job.uuid, at: Some(0), bytes: bytes.into_bytes() }
}

/// What becomes of bytes that are to be appended.
#[derive(Debug, Clone, PartialEq)]
pub enum Append {
    /// They are stored, as far as they are new.
    Store(Box<Change>),
    /// All of them are there already, or the log is full: nothing to store.
    Known,
    /// Bytes before them are missing.
    Gap,
}

/// Appends `bytes` to a log that is `length` bytes long. `offset` is where they belong; none:
/// wherever the log ends.
pub fn append(job: Uuid, length: u64, offset: Option<u64>, bytes: &[u8]) -> Append {
    if length > MAX_LOG {
        return Append::Known;
    }
    let known = match offset {
        Some(offset) if offset > length => return Append::Gap,
        Some(offset) => usize::try_from(length - offset).unwrap_or(usize::MAX),
        None => 0,
    };
    let Some(new) = bytes.get(known..).filter(|new| !new.is_empty()) else { return Append::Known };
    let room = usize::try_from(MAX_LOG - length).unwrap_or(usize::MAX);
    let mut kept = new.get(..room).unwrap_or(new).to_vec();
    if kept.len() < new.len() || room == new.len() {
        // One byte more than the limit at least: this is how a full log is known.
        kept.extend_from_slice(CUT.as_bytes());
    }
    // Without an offset the log may grow meanwhile; the store finds its end.
    Append::Store(Box::new(Change::AppendLog { job, at: offset.map(|_| length), bytes: kept }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(append: Append) -> Vec<u8> {
        let Append::Store(change) = append else { panic!("{append:?}") };
        let Change::AppendLog { bytes, .. } = *change else { panic!("{change:?}") };
        bytes
    }

    fn store(job: Uuid, at: Option<u64>, bytes: &[u8]) -> Append {
        Append::Store(Box::new(Change::AppendLog { job, at, bytes: bytes.to_vec() }))
    }

    #[test]
    fn resent_bytes_are_stored_once() {
        let job = Uuid::from_u128(1);
        assert_eq!(append(job, 10, Some(8), b"abcd"), store(job, Some(10), b"cd"));
        assert_eq!(append(job, 12, Some(8), b"abcd"), Append::Known);
        assert_eq!(append(job, 40, Some(8), b"abcd"), Append::Known);
        assert_eq!(append(job, 7, Some(8), b"abcd"), Append::Gap);
        assert_eq!(append(job, 7, None, b"abcd"), store(job, None, b"abcd"));
        assert_eq!(append(job, 7, None, b""), Append::Known);
    }

    #[test]
    fn a_log_ends_at_its_limit_and_says_so_once() {
        let job = Uuid::from_u128(1);
        let near = MAX_LOG - 2;
        assert_eq!(stored(append(job, near, None, b"a")), b"a");
        for bytes in [&b"ab"[..], b"abcdef"] {
            let kept = stored(append(job, near, Some(near), bytes));
            assert_eq!(kept, [b"ab", CUT.as_bytes()].concat());
            let length = near + u64::try_from(kept.len()).unwrap();
            assert_eq!(append(job, length, None, b"x"), Append::Known);
            assert_eq!(
                append(job, length, Some(length + 9), b"x"),
                Append::Known,
                "no gap in what is not kept"
            );
        }
    }
}
