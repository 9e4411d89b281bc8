//! Reads ahead in a thread, so that what is read is decoded while what was read is written.

use crate::fill::fill;
use std::io::{self, Read};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;

/// Bytes of one buffer.
const BUFFER: usize = 512 * 1_024;
/// Buffers that wait; one more is being filled and one being read.
const WAITING: usize = 6;

/// A reader whose source is read by a thread of its own, at most 4 MiB ahead. Dropped early, it ends the
/// thread at its next read.
#[derive(Debug)]
pub struct Ahead {
    full: Receiver<io::Result<Vec<u8>>>,
    empty: SyncSender<Vec<u8>>,
    buffer: Vec<u8>,
    position: usize,
    ended: bool,
}

impl Ahead {
    /// Starts to read.
    ///
    /// # Errors
    /// When there can be no other thread.
    pub fn start(source: impl Read + Send + 'static) -> io::Result<Self> {
        let (to_reader, full) = sync_channel(WAITING);
        let (empty, from_reader) = sync_channel(WAITING + 2);
        thread::Builder::new()
            .name("read-ahead".to_owned())
            .spawn(move || read_all(source, &to_reader, &from_reader))?;
        Ok(Self { full, empty, buffer: Vec::new(), position: 0, ended: false })
    }

    /// Takes the next buffer, an empty one at the end. After an error there is no next one.
    fn refill(&mut self) -> io::Result<()> {
        let gone = || io::Error::new(io::ErrorKind::UnexpectedEof, "what was read ahead has failed");
        let next = self.full.recv().map_err(|_| gone())??;
        self.ended = next.is_empty();
        self.position = 0;
        let spent = std::mem::replace(&mut self.buffer, next);
        match self.empty.try_send(spent) {
            // Full or closed, the buffer is freed.
            Ok(()) | Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => Ok(()),
        }
    }
}

impl Read for Ahead {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.position >= self.buffer.len() && !self.ended && !buffer.is_empty() {
            self.refill()?;
        }
        let mut rest = self.buffer.get(self.position..).unwrap_or_default();
        let read = rest.read(buffer)?;
        self.position += read;
        Ok(read)
    }
}

/// Ends after an empty buffer (the end), after an error, and when nobody listens any more.
fn read_all(
    mut source: impl Read,
    to_reader: &SyncSender<io::Result<Vec<u8>>>,
    from_reader: &Receiver<Vec<u8>>,
) {
    loop {
        let mut buffer = from_reader.try_recv().unwrap_or_default();
        buffer.resize(BUFFER, 0);
        let read = fill(&mut source, &mut buffer);
        let ended = !matches!(read, Ok(1..));
        let filled = read.map(|read| {
            buffer.truncate(read);
            buffer
        });
        if to_reader.send(filled).is_err() || ended {
            return;
        }
    }
}
