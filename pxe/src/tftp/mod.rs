//! TFTP (RFC 1350, 2347, 2348, 2349, 7440): read-only, virtual files.
//!
//! 1. [`Server`] listens. A request ([`packet`]) within the limits ([`Limits`], `admission`) goes to
//!    whoever runs the server, with a [`Reply`] to hand the answer in, from any thread.
//! 2. The answer goes to one of a few threads (`courier`), where each transfer is a socket of its own
//!    and a [`session`], which decides.
//! 3. Blocks leave by `sender`: one read and one call of the kernel for as many as fit.
//!
//! No thread waits for a client, and what a client names is compared before it costs memory.

mod admission;
mod courier;
mod limits;
pub mod options;
pub mod packet;
mod sender;
mod server;
pub mod session;

pub use limits::Limits;
pub use server::{Answer, Reply, Request, Running, Server};
pub use tftpd::ErrorCode;

use std::io;

/// What is given to a client. It is read from its begin to its end, lost pieces twice.
pub trait File: Send {
    /// Bytes it has: always the same.
    fn len(&self) -> u64;

    /// Whether it has none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Reads exactly as many bytes as `buffer` has, from this position on.
    ///
    /// # Errors
    /// Those of what it lies on; the transfer ends then.
    fn read_at(&mut self, position: u64, buffer: &mut [u8]) -> io::Result<()>;
}

impl File for Vec<u8> {
    fn len(&self) -> u64 {
        self.as_slice().len() as u64
    }

    fn read_at(&mut self, position: u64, buffer: &mut [u8]) -> io::Result<()> {
        let begin = usize::try_from(position).ok();
        let end = begin.and_then(|begin| begin.checked_add(buffer.len()));
        let bytes = begin.zip(end).and_then(|(begin, end)| self.get(begin..end));
        buffer.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}
