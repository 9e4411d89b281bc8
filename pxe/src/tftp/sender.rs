//! Blocks on their way out: read at once, sent at once.
//!
//! The kernel cuts one large message into the packets of a window (UDP segmentation offload, Linux
//! 4.18), which costs a third of sending them one by one. Where it will not (a card that does not
//! compute checksums, blocks larger than the way's packets), they go one by one.

use super::File;
use super::options::DEFAULT_BLOCK;
use super::packet::{BLOCK_HEADER, block_header};
use super::session::{Blocks, Shape, wire_number};
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, sendmsg, setsockopt, sockopt};
use std::io::{self, IoSlice};
use std::net::UdpSocket;
use std::os::fd::AsRawFd;

/// Most packets that the kernel cuts one message into.
const MOST_TOGETHER: usize = 64;
/// Most bytes of a message: those of an IP packet without its own and UDP's header.
const LARGEST: usize = 65_535 - 40 - 8;

/// How blocks leave a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    /// As many as fit in one call.
    Together,
    /// Each in a call of its own.
    OneByOne,
}

/// What became of blocks that were to be sent.
#[derive(Debug)]
pub(super) enum Sent {
    /// All left, or were lost on their way.
    All,
    /// The socket takes no more at the moment; from this block on they are left.
    Until(u64),
    /// There is nobody at the other end, or no way there.
    Nobody(io::Error),
    /// The file cannot be read.
    Unreadable(io::Error),
}

/// Sends for all transfers of a thread.
pub(super) struct Sender {
    buffer: Vec<u8>,
}

impl Manner {
    /// The best one for a socket. The kernel then cuts whatever leaves it, OACKs and ERRORs, too, so
    /// blocks that may be shorter than those go one by one.
    pub(super) fn of(socket: &UdpSocket, shape: Shape) -> Self {
        let packet = i32::try_from(usize::from(shape.block) + BLOCK_HEADER);
        let is_cut = |packet| setsockopt(socket, sockopt::UdpGsoSegment, &packet).is_ok();
        let may_be_cut = shape.window > 1 && shape.block >= DEFAULT_BLOCK;
        if may_be_cut && packet.is_ok_and(is_cut) { Self::Together } else { Self::OneByOne }
    }

    /// How many blocks are read and sent at once.
    fn at_once(self, shape: Shape) -> usize {
        match self {
            Self::Together => (LARGEST / (usize::from(shape.block) + BLOCK_HEADER)).clamp(1, MOST_TOGETHER),
            Self::OneByOne => 1,
        }
    }
}

impl Sender {
    pub(super) fn new() -> Self {
        Self { buffer: vec![0; LARGEST] }
    }

    /// Sends blocks of a file.
    pub(super) fn send(
        &mut self,
        socket: &UdpSocket,
        manner: &mut Manner,
        file: &mut dyn File,
        shape: Shape,
        blocks: Blocks,
    ) -> Sent {
        let mut first = blocks.first;
        while first <= blocks.last {
            let at_once = manner.at_once(shape) as u64;
            let last = blocks.last.min(first.saturating_add(at_once - 1));
            let ((begin, _), (end, tail)) = (shape.extent(first), shape.extent(last));
            let bytes = usize::try_from((end + tail).saturating_sub(begin)).unwrap_or(usize::MAX);
            let Some(data) = self.buffer.get_mut(..bytes) else {
                return Sent::Unreadable(io::ErrorKind::InvalidInput.into());
            };
            if let Err(error) = file.read_at(begin, data) {
                return Sent::Unreadable(error);
            }
            match message(socket, first..=last, data, shape.block.into()) {
                Ok(()) => first = last + 1,
                Err(Errno::EAGAIN) => return Sent::Until(first),
                // What a full queue drops is lost as on any network.
                Err(Errno::ENOBUFS) => first = last + 1,
                Err(Errno::EINTR) => {}
                Err(error) if *manner == Manner::OneByOne => return Sent::Nobody(error.into()),
                Err(Errno::ECONNREFUSED) => return Sent::Nobody(Errno::ECONNREFUSED.into()),
                Err(_will_not) => {
                    *manner = Manner::OneByOne;
                    if let Err(error) = setsockopt(socket, sockopt::UdpGsoSegment, &0) {
                        return Sent::Nobody(error.into());
                    }
                }
            }
        }
        Sent::All
    }
}

/// One message of blocks in a row with their data.
fn message(
    socket: &UdpSocket,
    blocks: std::ops::RangeInclusive<u64>,
    data: &[u8],
    block: usize,
) -> nix::Result<()> {
    let mut headers = [[0; BLOCK_HEADER]; MOST_TOGETHER];
    let mut count = 0;
    for (header, number) in headers.iter_mut().zip(blocks) {
        *header = block_header(wire_number(number));
        count += 1;
    }
    let mut pieces = [IoSlice::new(&[]); 2 * MOST_TOGETHER];
    // The last block may have no data at all.
    let data = data.chunks(block.max(1)).chain(std::iter::repeat(&[][..]));
    for ((pair, header), data) in pieces.chunks_exact_mut(2).zip(headers.iter().take(count)).zip(data) {
        pair.copy_from_slice(&[IoSlice::new(header), IoSlice::new(data)]);
    }
    let pieces = pieces.get(..2 * count).unwrap_or_default();
    sendmsg::<()>(socket.as_raw_fd(), pieces, &[], MsgFlags::empty(), None).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn pair() -> (UdpSocket, UdpSocket) {
        let [a, b] = [(); 2].map(|()| UdpSocket::bind("127.0.0.1:0").unwrap());
        a.connect(b.local_addr().unwrap()).unwrap();
        b.connect(a.local_addr().unwrap()).unwrap();
        b.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        (a, b)
    }

    fn sent(manner: Manner, shape: Shape, blocks: Blocks) -> Vec<Vec<u8>> {
        let (from, to) = pair();
        let mut file: Vec<u8> = (0..shape.len).map(|byte| u8::try_from(byte % 251).unwrap()).collect();
        let mut chosen = if manner == Manner::Together { Manner::of(&from, shape) } else { manner };
        assert_eq!(chosen, manner);
        let sent = Sender::new().send(&from, &mut chosen, &mut file, shape, blocks);
        assert!(matches!(sent, Sent::All), "{sent:?}");
        let receive = |_| {
            let mut buffer = vec![0; 70_000];
            let len = to.recv(&mut buffer).unwrap();
            buffer.truncate(len);
            buffer
        };
        (blocks.first..=blocks.last).map(receive).collect()
    }

    #[test]
    fn packets_are_the_same_however_they_leave() {
        for (len, block, first, last) in [
            (10_000, 512, 1, 20),
            (100_000, 1_000, 38, 101),
            (200_000, 1_428, 3, 66),
            (70_000, 8_192, 1, 9),
            (0, 512, 1, 1),
        ] {
            let shape = Shape { len, block, window: 64 };
            let blocks = Blocks { first, last };
            let together = sent(Manner::Together, shape, blocks);
            assert_eq!(together, sent(Manner::OneByOne, shape, blocks));
            for (number, packet) in (first..).zip(&together) {
                let (begin, bytes) = shape.extent(number);
                let (header, data) = packet.split_at(BLOCK_HEADER);
                assert_eq!(header, block_header(wire_number(number)));
                assert_eq!(data.len() as u64, bytes);
                assert!(data.first().is_none_or(|byte| u64::from(*byte) == begin % 251));
            }
        }
    }

    #[test]
    fn sender_goes_on_one_by_one_where_the_kernel_does_not_cut() {
        let (from, to) = pair();
        let shape = Shape { len: 100_000, block: 1_428, window: 8 };
        let mut manner = Manner::of(&from, shape);
        assert_eq!(manner, Manner::Together);
        // More than 64 pieces of this size: the kernel refuses.
        setsockopt(&from, sockopt::UdpGsoSegment, &10).unwrap();
        let mut file = vec![7; 100_000];
        let sent = Sender::new().send(&from, &mut manner, &mut file, shape, Blocks { first: 1, last: 8 });
        assert!(matches!(sent, Sent::All), "{sent:?}");
        assert_eq!(manner, Manner::OneByOne);
        let mut buffer = [0; 2_000];
        for number in 1..=8 {
            assert_eq!(to.recv(&mut buffer).unwrap(), 1_432);
            assert!(buffer.starts_with(&block_header(number)));
        }
    }

    #[test]
    fn closed_port_and_short_file_are_told() {
        let (from, to) = pair();
        drop(to);
        let shape = Shape { len: 10_000, block: 512, window: 1 };
        let mut manner = Manner::OneByOne;
        let mut sender = Sender::new();
        let mut file = vec![7; 10_000];
        let mut send =
            |file: &mut Vec<u8>| sender.send(&from, &mut manner, file, shape, Blocks { first: 1, last: 4 });
        assert!(matches!(send(&mut file), Sent::Nobody(_)));
        file.truncate(100);
        assert!(matches!(send(&mut file), Sent::Unreadable(_)));
    }
}
