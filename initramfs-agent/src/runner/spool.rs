//! What a task said and the server has not taken yet: a ring in a file, so that a server that is
//! away costs neither output nor memory, and a task that never stops talking costs at most the ring.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Room for the note about what was left out, in bytes.
const NOTE_ROOM: u64 = 128;

/// Bytes of one job's log by their offsets there.
#[derive(Debug)]
pub(crate) struct Spool {
    file: File,
    /// Most bytes that wait.
    capacity: u64,
    /// Offset in the log of the first byte that waits.
    start: u64,
    /// How many wait.
    len: u64,
    /// How many were left out since the ring was full.
    left_out: u64,
}

impl Spool {
    /// An empty ring of `capacity` bytes in `file`; the log holds `start` bytes already.
    pub(crate) fn new(file: File, capacity: u64, start: u64) -> Self {
        Self { file, capacity: capacity.max(2 * NOTE_ROOM), start, len: 0, left_out: 0 }
    }

    /// Bytes that wait.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Adds bytes. Those that do not fit are left out, and so is everything after them until half of
    /// the ring is free: one gap with a note, not a log full of holes.
    ///
    /// # Errors
    /// What the file system says.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> io::Result<()> {
        let count = length(bytes);
        if self.left_out > 0 {
            if self.len > self.capacity / 2 {
                self.left_out = self.left_out.saturating_add(count);
                return Ok(());
            }
            self.note()?;
        }
        let room = self.capacity.saturating_sub(NOTE_ROOM).saturating_sub(self.len);
        let kept = usize::try_from(room.min(count)).unwrap_or(usize::MAX);
        self.write(bytes.get(..kept).unwrap_or(bytes))?;
        self.left_out = count.saturating_sub(room);
        Ok(())
    }

    /// Nothing more comes: what was left out is said.
    ///
    /// # Errors
    /// What the file system says.
    pub(crate) fn finish(&mut self) -> io::Result<()> {
        if self.left_out > 0 { self.note() } else { Ok(()) }
    }

    /// Up to `most` bytes from the first one that waits, and the offset of that one.
    ///
    /// # Errors
    /// What the file system says.
    pub(crate) fn peek(&self, most: usize) -> io::Result<(u64, Vec<u8>)> {
        let count = usize::try_from(self.len).unwrap_or(usize::MAX).min(most);
        let mut bytes = vec![0; count];
        let (place, until_end) = self.place(self.start);
        let (first, second) = bytes.split_at_mut(count.min(until_end));
        self.file.read_exact_at(first, place)?;
        self.file.read_exact_at(second, 0)?;
        Ok((self.start, bytes))
    }

    /// The server has everything before this offset.
    pub(crate) fn taken_up_to(&mut self, offset: u64) {
        let count = offset.saturating_sub(self.start).min(self.len);
        self.start = self.start.saturating_add(count);
        self.len = self.len.saturating_sub(count);
    }

    /// The server's log is `length` bytes long, which is not what was thought: what waits follows
    /// there, without what it has.
    pub(crate) fn resume_at(&mut self, length: u64) -> io::Result<()> {
        if length > self.start {
            self.taken_up_to(length);
        }
        if length != self.start {
            // The ring's places follow the offsets: what waits moves along.
            let (_, bytes) = self.peek(usize::MAX)?;
            (self.start, self.len) = (length, 0);
            self.write(&bytes)?;
        }
        Ok(())
    }

    fn note(&mut self) -> io::Result<()> {
        let text = format!(
            "\nmuster: {} bytes were left out here, the server did not take them in time\n",
            self.left_out
        );
        self.left_out = 0;
        self.write(text.as_bytes())
    }

    /// Writes behind what waits; the caller has looked that there is room.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let (place, until_end) = self.place(self.start.saturating_add(self.len));
        let (first, second) = bytes.split_at(bytes.len().min(until_end));
        self.file.write_all_at(first, place)?;
        self.file.write_all_at(second, 0)?;
        self.len = self.len.saturating_add(length(bytes));
        Ok(())
    }

    /// Where an offset lies in the file, and how many bytes there are from there to its end.
    fn place(&self, offset: u64) -> (u64, usize) {
        let place = offset % self.capacity;
        (place, usize::try_from(self.capacity - place).unwrap_or(usize::MAX))
    }
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn spool(capacity: u64, start: u64) -> Spool {
        Spool::new(tempfile::tempfile().unwrap(), capacity, start)
    }

    #[test]
    fn output_that_no_server_takes_is_left_out_once_and_said() {
        let mut spool = spool(1_024, 10);
        for _ in 0..100 {
            spool.push(&[b'x'; 100]).unwrap();
        }
        assert_eq!(spool.len(), 1_024 - 128);
        let (offset, bytes) = spool.peek(600).unwrap();
        assert_eq!((offset, bytes.len()), (10, 600));
        spool.taken_up_to(610);
        spool.push(b"after the gap").unwrap();
        spool.finish().unwrap();
        let (_, rest) = spool.peek(usize::MAX).unwrap();
        let rest = String::from_utf8(rest).unwrap();
        let left_out = 100 * 100 - (1_024 - 128);
        assert_eq!(
            rest.trim_start_matches('x'),
            format!(
                "\nmuster: {left_out} bytes were left out here, the server did not take them in time\n\
                 after the gap"
            )
        );
    }

    #[test]
    fn a_log_of_another_length_is_gone_on_with() {
        let mut spool = spool(300, 250);
        spool.push(b"0123456789").unwrap();
        spool.resume_at(253).unwrap();
        assert_eq!(spool.peek(100).unwrap(), (253, b"3456789".to_vec()), "it had three of them");
        spool.resume_at(40).unwrap();
        assert_eq!(spool.peek(100).unwrap(), (40, b"3456789".to_vec()), "it lost some");
        spool.resume_at(900).unwrap();
        assert_eq!(spool.peek(100).unwrap(), (900, b"".to_vec()), "it has them all, and more");
    }

    proptest! {
        /// Whatever comes in whatever pieces, and however much is taken of it when: as long as the
        /// ring has room, every byte comes out once and in order.
        #[test]
        fn no_byte_is_lost_or_doubled(
            start in 0u64..5_000,
            steps in prop::collection::vec((0usize..90, 0usize..120), 1..60),
        ) {
            let mut spool = spool(2_000, start);
            let (mut said, mut taken, mut next) = (Vec::<u8>::new(), Vec::<u8>::new(), 0u8);
            for (count, most) in steps {
                let bytes: Vec<u8> = (0..count).map(|_| { next = next.wrapping_add(1); next }).collect();
                if spool.len() + 90 < 2_000 - NOTE_ROOM {
                    spool.push(&bytes).unwrap();
                    said.extend(&bytes);
                }
                let (offset, piece) = spool.peek(most).unwrap();
                prop_assert_eq!(offset, start + u64::try_from(taken.len()).unwrap());
                taken.extend(&piece);
                spool.taken_up_to(offset + u64::try_from(piece.len()).unwrap());
            }
            taken.extend(spool.peek(usize::MAX).unwrap().1);
            prop_assert_eq!(said, taken);
        }
    }
}
