//! One transfer, decided: what to send when the client says something or nothing.
//!
//! No socket, no clock: `now` is an argument, and what is to be done is the answer. The rules:
//!
//! 1. OACK (or, without options, the first block), then windows of blocks, each after the ACK of the
//!    one before (RFC 7440).
//! 2. An ACK that says nothing new is never answered with data (RFC 1123 4.2.3.1, the "Sorcerer's
//!    Apprentice": each duplicated packet would be duplicated for the rest of the transfer).
//! 3. An ACK from the middle of a window tells of a lost block, or of a packet that came twice or
//!    late: from the outside these look alike. It moves the window at once, as its sender's does, and
//!    what was sent before is sent again only if nothing better is heard for a round trip.
//! 4. After silence *one* block goes out, the last one that was sent: whoever lost that one takes it,
//!    whoever lost others says what is missing, and whoever is gone draws one packet. Where that
//!    says "nothing of this window", the window is sent again, once. Every second time it is the first
//!    block instead, for clients that only hear what comes next.
//! 5. A client whose windows get lost is given them in pieces, smaller with each loss: there are few places
//!    for packets in network cards, switches and firmware.
//! 6. Silence is measured by the client's own round trips. Whoever was never heard gets what a
//!    stranger gets: 1, 2, 4, 8, 8, 8 seconds. After five retransmissions without progress it is over,
//!    and also when ten minutes bring less than half a megabyte.

use std::time::{Duration, Instant};

/// Retransmissions without progress.
pub const RETRIES: usize = 5;
/// Time to wait for somebody who was never heard, before each retransmission and before giving up.
const FOR_STRANGERS: [Duration; RETRIES + 1] = secs([1, 2, 4, 8, 8, 8]);
/// Least time to wait for somebody who was. The first ones are short, for on a bad network packets
/// are lost, and the later ones long, for a client may be busy with what it got.
const LEAST: [Duration; RETRIES + 1] = [
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
    Duration::from_secs(8),
];
/// Longest time between two retransmissions.
const LONGEST: Duration = Duration::from_secs(8);
/// Least time in which a better answer is waited for (rule 3): what a packet that comes late is late.
const REORDERING: Duration = Duration::from_millis(2);
/// A transfer that brings fewer than so many bytes in so long a time is ended: places are few.
const SPAN: Duration = Duration::from_secs(600);
const LEAST_PER_SPAN: u64 = 512 * 1_024;

/// Blocks that are always sent at once: what any client has room for that asks for as many.
const LEAST_PIECE: u16 = 4;

const fn secs(seconds: [u64; RETRIES + 1]) -> [Duration; RETRIES + 1] {
    let mut waits = [Duration::ZERO; RETRIES + 1];
    let mut at = 0;
    while at < waits.len() {
        waits[at] = Duration::from_secs(seconds[at]);
        at += 1;
    }
    waits
}

/// What is transferred, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Bytes of the file.
    pub len: u64,
    /// Bytes of every block but the last; at least 1.
    pub block: u16,
    /// Blocks that are sent before an answer is waited for; at least 1.
    pub window: u16,
}

impl Shape {
    /// How many blocks there are: the last one is shorter than the others, empty if need be.
    #[must_use]
    pub fn blocks(&self) -> u64 {
        self.len / u64::from(self.block.max(1)) + 1
    }

    /// Where the data of a block lies: its first byte, and how many there are. Blocks count from 1.
    #[must_use]
    pub fn extent(&self, block: u64) -> (u64, u64) {
        let begin = block.saturating_sub(1).saturating_mul(u64::from(self.block)).min(self.len);
        (begin, (self.len - begin).min(u64::from(self.block)))
    }
}

/// Blocks in a row. They count from 1, and go on after 65,535.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Blocks {
    /// The first one.
    pub first: u64,
    /// The last one; none when it is before the first.
    pub last: u64,
}

/// What to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Nothing, until [`Session::deadline`].
    Wait,
    /// Send the OACK.
    Greet,
    /// Send these blocks.
    Send(Blocks),
    /// Everything arrived.
    Done,
    /// Give up.
    GiveUp(Reason),
}

/// Why a transfer is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// Nothing was ever heard of the client.
    #[error("the client never answered")]
    NeverHeard,
    /// Nothing new was heard for five retransmissions.
    #[error("the client fell silent")]
    Silent,
    /// It is so slow that it would keep its place for ever.
    #[error("too slow: less than 512 KiB in ten minutes")]
    Slow,
}

/// A transfer under way.
#[derive(Debug, Clone)]
pub struct Session {
    shape: Shape,
    /// Seconds that the client asked to be waited for.
    timeout: Duration,
    stage: Stage,
    /// Every block up to here arrived.
    acked: u64,
    /// Highest block that was ever sent.
    sent: u64,
    retries: usize,
    client: Client,
    /// Blocks that are sent at once, of those of a window.
    piece: u16,
    /// Block whose ACK is timed, and when it was sent: one that was sent once (Karn's rule).
    timed: Option<(u64, Instant)>,
    /// When it is time to say something.
    deadline: Instant,
    /// Where [`SPAN`] began, and what had arrived then.
    span: (Instant, u64),
}

/// What is known of who takes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Client {
    /// Nothing: its address may be anybody's.
    Stranger,
    /// It answered something that was sent twice, and nobody knows to which of the two.
    Heard,
    /// How long its answers take (RFC 6298): the mean, and how far they are from it.
    Measured { mean: Duration, deviation: Duration },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The OACK is out.
    Greeting,
    /// Blocks are.
    Flowing(Doubt),
}

/// What is uncertain about the blocks that are out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Doubt {
    Nothing,
    /// Some of them may be lost (rule 3).
    Gap,
    /// The last one was sent again to find out (rule 4).
    Probed,
}

impl Session {
    /// A transfer, and the first thing to do: with `greets`, options are agreed first.
    #[must_use]
    pub fn new(shape: Shape, timeout: Option<u8>, greets: bool, now: Instant) -> (Self, Step) {
        let mut session = Self {
            shape,
            timeout: Duration::from_secs(timeout.unwrap_or(0).into()),
            stage: Stage::Greeting,
            acked: 0,
            sent: 0,
            retries: 0,
            client: Client::Stranger,
            piece: shape.window,
            timed: None,
            deadline: now + FOR_STRANGERS[0],
            span: (now, 0),
        };
        session.timed = Some((0, now));
        if greets {
            return (session, Step::Greet);
        }
        session.stage = Stage::Flowing(Doubt::Nothing);
        session.sent = 1;
        session.timed = Some((1, now));
        (session, Step::Send(Blocks { first: 1, last: 1 }))
    }

    /// What is transferred.
    #[must_use]
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// When [`Self::expired`] wants to be called, unless something is heard before.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// How many blocks may be sent at once; the rest of a window comes a little later. At least 1.
    #[must_use]
    pub fn piece(&self) -> u16 {
        self.piece.max(1)
    }

    /// Bytes that are known to have arrived.
    #[must_use]
    pub fn arrived(&self) -> u64 {
        self.acked.saturating_mul(self.shape.block.into()).min(self.shape.len)
    }

    /// Whether the client ever answered: until then its address may be anybody's.
    #[must_use]
    pub fn is_answered(&self) -> bool {
        self.client != Client::Stranger
    }

    /// Whether everything was sent: the client may have it all, and its last word may be lost.
    #[must_use]
    pub fn is_all_sent(&self) -> bool {
        self.sent >= self.shape.blocks()
    }

    /// The client says that it has everything up to a block, numbered as on the wire.
    pub fn acknowledged(&mut self, wire: u16, now: Instant) -> Step {
        let ahead = u64::from(wire.wrapping_sub(wire_number(self.acked)));
        match self.stage {
            Stage::Greeting if ahead == 0 => {
                self.heard(0, now);
                self.advance(now)
            }
            Stage::Greeting => Step::Wait,
            Stage::Flowing(Doubt::Probed) if ahead == 0 && self.sent > self.acked + 1 => self.rewind(now),
            Stage::Flowing(_) if ahead == 0 || ahead > self.sent - self.acked => Step::Wait,
            Stage::Flowing(_) => {
                self.acked += ahead;
                self.heard(self.acked, now);
                if self.acked == self.shape.blocks() {
                    return Step::Done;
                }
                if self.is_too_slow(now) {
                    return Step::GiveUp(Reason::Slow);
                }
                self.advance(now)
            }
        }
    }

    /// Nothing was heard until the deadline. Before it, nothing happens.
    pub fn expired(&mut self, now: Instant) -> Step {
        if now < self.deadline {
            return Step::Wait;
        }
        if self.stage == Stage::Flowing(Doubt::Gap) {
            return self.rewind(now);
        }
        if self.retries == RETRIES {
            let is_stranger = self.client == Client::Stranger;
            let reason = if is_stranger { Reason::NeverHeard } else { Reason::Silent };
            return Step::GiveUp(reason);
        }
        self.retries += 1;
        self.timed = None;
        self.deadline = now + self.patience();
        match self.stage {
            Stage::Greeting => Step::Greet,
            Stage::Flowing(_) => {
                self.stage = Stage::Flowing(Doubt::Probed);
                let block = if self.retries % 2 == 1 { self.sent } else { self.acked + 1 };
                Step::Send(Blocks { first: block, last: block })
            }
        }
    }

    /// Something new was heard, of this block.
    fn heard(&mut self, block: u64, now: Instant) {
        self.retries = 0;
        match self.timed {
            Some((timed, sent)) if timed <= block => {
                self.client = self.client.answered(now.saturating_duration_since(sent));
                self.timed = None;
            }
            Some(_) | None if self.client == Client::Stranger => self.client = Client::Heard,
            Some(_) | None => {}
        }
    }

    /// Sends what the client's window has room for: what was never sent, and after a probe, which
    /// leaves no doubt about what was lost, everything.
    fn advance(&mut self, now: Instant) -> Step {
        let is_in_doubt = self.sent > self.acked;
        let is_lost = is_in_doubt && self.stage == Stage::Flowing(Doubt::Probed);
        let first = if is_lost { self.acked + 1 } else { self.sent + 1 };
        let room = self.acked + u64::from(self.shape.window);
        self.sent = room.min(self.shape.blocks()).max(self.sent);
        let gap = is_in_doubt && !is_lost;
        if is_lost {
            self.take_smaller_pieces();
        } else if !is_in_doubt {
            self.piece = self.piece.saturating_add(1).min(self.shape.window);
        }
        self.timed = (!is_in_doubt).then_some((self.sent, now));
        self.stage = Stage::Flowing(if gap { Doubt::Gap } else { Doubt::Nothing });
        self.deadline = now + if gap { self.client.reordering() } else { self.patience() };
        if first > self.sent { Step::Wait } else { Step::Send(Blocks { first, last: self.sent }) }
    }

    /// Sends again all that is out.
    fn rewind(&mut self, now: Instant) -> Step {
        self.take_smaller_pieces();
        self.timed = None;
        self.stage = Stage::Flowing(Doubt::Nothing);
        self.deadline = now + self.patience();
        Step::Send(Blocks { first: self.acked + 1, last: self.sent })
    }

    fn take_smaller_pieces(&mut self) {
        self.piece = (self.piece / 2).max(LEAST_PIECE).min(self.shape.window);
    }

    /// How long to wait after what is sent now.
    fn patience(&self) -> Duration {
        let at = self.retries.min(RETRIES);
        let wait = |times: [Duration; RETRIES + 1]| times.get(at).copied().unwrap_or(LONGEST);
        if self.client == Client::Stranger {
            return wait(FOR_STRANGERS);
        }
        let doubled = self.client.timeout().saturating_mul(1 << at).min(LONGEST).max(wait(LEAST));
        // The last wait is the client's own, in which it may say again what was lost.
        if at == RETRIES { doubled.max(self.timeout) } else { doubled }
    }

    fn is_too_slow(&mut self, now: Instant) -> bool {
        let (began, had) = self.span;
        if now.saturating_duration_since(began) < SPAN {
            return false;
        }
        self.span = (now, self.arrived());
        self.arrived().saturating_sub(had) < LEAST_PER_SPAN
    }
}

impl Client {
    /// The same after one more answer.
    fn answered(self, took: Duration) -> Self {
        match self {
            Self::Stranger | Self::Heard => Self::Measured { mean: took, deviation: took / 2 },
            Self::Measured { mean, deviation } => Self::Measured {
                mean: (mean * 7 + took) / 8,
                deviation: (deviation * 3 + mean.abs_diff(took)) / 4,
            },
        }
    }

    /// Time after which an answer is overdue.
    fn timeout(self) -> Duration {
        match self {
            Self::Stranger | Self::Heard => Duration::from_secs(1),
            Self::Measured { mean, deviation } => mean.saturating_add(deviation * 4).min(LONGEST),
        }
    }

    /// Time in which the answer to what is on its way comes, late packets included.
    fn reordering(self) -> Duration {
        match self {
            Self::Stranger | Self::Heard => Duration::from_millis(100),
            Self::Measured { mean, .. } => (mean * 3 / 2).max(REORDERING).min(LONGEST),
        }
    }
}

/// A block's number as it is on the wire, where there are 65,536 of them: 65,535 is followed by 0.
#[must_use]
pub fn wire_number(block: u64) -> u16 {
    let [.., high, low] = block.to_be_bytes();
    u16::from_be_bytes([high, low])
}

#[cfg(test)]
mod tests;
