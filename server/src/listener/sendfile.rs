//! Files that the kernel sends (`sendfile`) over a connection that hyper drives.
//!
//! hyper writes bytes and knows nothing else, and copying a kernel through this process costs
//! more than sending it. So a body may yield stand-ins: slices of one blank page range, as long as a
//! stretch of a file that is registered with the connection first. hyper counts and orders them like
//! any bytes; our stream knows them by their address when hyper writes them, and has the kernel
//! send as many bytes of the file instead. Bodies are written in the order in which they were
//! yielded, so the stretches are a queue.
//!
//! While there are stretches, the socket is corked: only full packets leave. The kernel moves a file in
//! pieces of 64 KiB, a little more than its largest packet holds, and would send the rest of each as a
//! packet of its own. That is twice as many packets, which costs both sides time.
//!
//! hyper must hand the slices on and not copy them, which it does for streams that write from several
//! buffers at once (`writev`); the tests of this door compare every byte over real sockets.

use super::activity::Activity;
use crate::places::Place;
use axum::body::Bytes;
use rustix::fs::sendfile;
use rustix::net::sockopt::set_tcp_cork;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Instant;

/// Longest stretch, in bytes.
pub(crate) const MAX_STRETCH: usize = 2 * 1024 * 1_024;

/// What stand-ins are slices of. Fresh from the system and never touched: it takes no memory.
static BLANK: LazyLock<Bytes> = LazyLock::new(|| Bytes::from(vec![0; MAX_STRETCH]));

/// Part of a file, about to be sent.
#[derive(Debug)]
pub(crate) struct Stretch {
    file: Arc<File>,
    position: u64,
    len: usize,
    deadline: Instant,
    _place: Arc<Place>,
}

/// Files that a connection sends; clones are one. Requests that came over a connection which can
/// do so have it among their extensions.
#[derive(Debug, Clone)]
pub(crate) struct FileLane {
    stretches: Arc<Mutex<VecDeque<Stretch>>>,
    activity: Arc<Activity>,
}

impl FileLane {
    pub(super) fn new(activity: Arc<Activity>) -> Self {
        Self { stretches: Arc::default(), activity }
    }

    /// Puts a stretch in the queue. The next part of the body has to be what is given back; nothing is
    /// for a stretch longer than [`MAX_STRETCH`], or of no length.
    pub(crate) fn send(&self, stretch: Stretch) -> Option<Bytes> {
        if stretch.len == 0 || stretch.len > BLANK.len() {
            return None;
        }
        let stand_in = BLANK.slice(..stretch.len);
        self.lock().push_back(stretch);
        self.activity.owes(true);
        Some(stand_in)
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Stretch>> {
        // Whole after every statement.
        self.stretches.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection that sends files where it is told to write stand-ins.
#[derive(Debug)]
pub(super) struct FileStream {
    stream: TcpStream,
    lane: FileLane,
    /// Whether packets that are not full are held back.
    corked: bool,
}

impl FileStream {
    pub(super) fn new(stream: TcpStream, lane: FileLane) -> Self {
        Self { stream, lane, corked: false }
    }

    /// Holds packets back that are not full, or lets them go. Where that cannot be, they go one by one.
    fn cork(&mut self, corked: bool) {
        if self.corked != corked && set_tcp_cork(&self.stream, corked).is_ok() {
            self.corked = corked;
        }
    }

    /// Sends up to `count` bytes of the first stretch, and lets the last packet go behind the last one.
    fn poll_send(&mut self, context: &mut Context<'_>, count: usize) -> Poll<io::Result<usize>> {
        self.cork(true);
        let sent = ready!(self.poll_part(context, count))?;
        let more = !self.lane.lock().is_empty();
        self.lane.activity.owes(more);
        if !more {
            self.cork(false);
        }
        Poll::Ready(Ok(sent))
    }

    /// Sends up to `count` bytes of the first stretch, and takes it from the queue at its end.
    fn poll_part(&self, context: &mut Context<'_>, count: usize) -> Poll<io::Result<usize>> {
        let mut stretches = self.lane.lock();
        let Some(stretch) = stretches.front_mut() else {
            return Poll::Ready(Err(io::Error::other("a stand-in for no file was to be sent")));
        };
        // A stretch is long: whoever takes a few bytes of it now and then never ends it.
        if Instant::now() > stretch.deadline {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the download is too slow")));
        }
        let sent = loop {
            ready!(self.stream.poll_write_ready(context))?;
            let mut part = 0;
            let tried =
                self.stream.try_io(Interest::WRITABLE, || match stretch.send(&self.stream, count)? {
                    Sent::All(sent) => Ok(sent),
                    // The socket is full: it will say when it is not, and need not be asked once more.
                    Sent::Part(sent) => {
                        part = sent;
                        Err(io::ErrorKind::WouldBlock.into())
                    }
                });
            match tried {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && part > 0 => break part,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                sent => break sent?,
            }
        };
        if stretch.len == 0 {
            stretches.pop_front();
        }
        Poll::Ready(Ok(sent))
    }
}

impl Stretch {
    /// `len` bytes of a file from `position` on, to be taken before `deadline`. Its cursor is not used; the
    /// place is kept until the kernel has taken them all.
    pub(crate) fn new(
        file: Arc<File>,
        position: u64,
        len: usize,
        deadline: Instant,
        place: Arc<Place>,
    ) -> Self {
        Self { file, position, len, deadline, _place: place }
    }

    fn send(&mut self, stream: &TcpStream, count: usize) -> io::Result<Sent> {
        let wanted = count.min(self.len);
        let sent = sendfile(stream, &*self.file, Some(&mut self.position), wanted)?;
        if sent == 0 {
            // The announced length can no longer be kept: only a broken connection tells so.
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "a file became shorter while it was sent",
            ));
        }
        self.len = self.len.saturating_sub(sent);
        // Less than wanted is a full socket, unless the file ends here: then the next call tells.
        let is_part = sent < wanted && self.file.metadata()?.len() > self.position;
        Ok(if is_part { Sent::Part(sent) } else { Sent::All(sent) })
    }
}

/// How many bytes the kernel took.
enum Sent {
    /// As many as it should, or all that there were.
    All(usize),
    /// As many as the socket had room for.
    Part(usize),
}

fn is_stand_in(buffer: &[u8]) -> bool {
    BLANK.as_ptr_range().contains(&buffer.as_ptr())
}

impl AsyncRead for FileStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for FileStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        if is_stand_in(buffer) {
            return self.poll_send(context, buffer.len());
        }
        Pin::new(&mut self.stream).poll_write(context, buffer)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let bytes = buffers.iter().take_while(|buffer| !is_stand_in(buffer)).count();
        if bytes < buffers.len() {
            // A file follows: its first bytes fill the packet that the head begins.
            self.cork(true);
        }
        match (buffers.get(..bytes), buffers.first()) {
            (_, Some(first)) if bytes == 0 => self.poll_send(context, first.len()),
            (Some(bytes), _) => Pin::new(&mut self.stream).poll_write_vectored(context, bytes),
            (None, _) => Poll::Ready(Ok(0)),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::places::Places;
    use rustix::net::sockopt::tcp_cork;
    use std::io::Write;
    use std::time::Duration;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    /// Both ends of a connection, and a stretch of six bytes to send until a deadline.
    async fn connected() -> (FileStream, TcpStream, impl Fn(Instant) -> Stretch) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (peer, _) = listener.accept().await.unwrap();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"kernel").unwrap();
        let file = Arc::new(file);
        let place = Arc::new(Places::new(1, 1).take("10.0.0.1".parse().unwrap()).unwrap());
        let stretch = move |deadline| Stretch::new(Arc::clone(&file), 0, 6, deadline, Arc::clone(&place));
        (FileStream::new(stream, FileLane::new(Activity::new())), peer, stretch)
    }

    #[tokio::test]
    async fn packets_are_held_back_while_a_file_follows_and_go_at_its_end() {
        let (mut stream, mut peer, stretch) = connected().await;
        let deadline = Instant::now() + Duration::from_secs(600);
        let is_corked = |stream: &FileStream| tcp_cork(&stream.stream).unwrap();
        let both = [(); 2].map(|()| stream.lane.send(stretch(deadline)).unwrap());
        assert!(!is_corked(&stream));
        let written = stream.write_vectored(&[IoSlice::new(b"head"), IoSlice::new(&both[0])]).await.unwrap();
        assert_eq!((written, is_corked(&stream)), (4, true));
        stream.write_all(&both[0]).await.unwrap();
        assert!(is_corked(&stream));
        stream.write_all(&both[1]).await.unwrap();
        assert!(!is_corked(&stream));
        let mut taken = [0; 16];
        peer.read_exact(&mut taken).await.unwrap();
        assert_eq!(&taken, b"headkernelkernel");
    }

    #[tokio::test]
    async fn stretch_is_sent_until_its_deadline_and_no_longer() {
        let (mut stream, mut peer, stretch) = connected().await;
        let (lane, now) = (stream.lane.clone(), Instant::now());
        let stand_in = lane.send(stretch(now + Duration::from_secs(600))).unwrap();
        stream.write_all(&stand_in).await.unwrap();
        let mut taken = [0; 6];
        peer.read_exact(&mut taken).await.unwrap();
        assert_eq!(&taken, b"kernel");
        let late = lane.send(stretch(now - Duration::from_millis(1))).unwrap();
        assert_eq!(stream.write_all(&late).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }
}
