//! What anybody sends to our TFTP server. The first packet comes from nobody knows whom.

use pxe::tftp::options::{BLOCK_SIZES, Ceiling, agree};
use pxe::tftp::packet::{MAX_OPTIONS, MAX_PACKET, MAX_PATH, ReadRequest, Word, request, word};
use pxe::tftp::session::{Blocks, RETRIES, Session, Shape, Step, wire_number};
use std::time::{Duration, Instant};

/// Longest file of a session, in blocks: more than there are numbers.
const MAX_BLOCKS: u64 = 70_000;

/// A packet, as a request and as a word of a client. What is agreed upon was asked for, within bounds.
pub fn tftp_packet(data: &[u8]) -> bool {
    let said = word(data);
    if let Some(Word::Ack(block)) = said {
        assert_eq!(data.get(..4), Some(&[[0, 4], block.to_be_bytes()].concat()[..]));
    }
    let Ok(ReadRequest { path, options }) = request(data) else { return said.is_some() };
    assert!(said.is_none() && data.len() <= MAX_PACKET);
    assert!((1..=MAX_PATH).contains(&path.len()) && options.len() <= MAX_OPTIONS);
    assert!(path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._/:-".contains(&byte)));
    assert!(path.split('/').all(|step| step != ".."));
    // The same by hand: opcode, path, mode, pairs.
    let fields: Vec<&[u8]> = data[2..data.len() - 1].split(|byte| *byte == 0).collect();
    assert_eq!(fields[0], path.as_bytes());
    assert!(fields[1].eq_ignore_ascii_case(b"octet") && fields.len().is_multiple_of(2));
    let asked: Vec<String> =
        fields[2..].chunks(2).map(|pair| String::from_utf8_lossy(pair[0]).to_lowercase()).collect();
    let ceiling = Ceiling { block: 1_428, window: 64 };
    let agreed = agree(&options, u64::from(u32::MAX), ceiling);
    assert!((*BLOCK_SIZES.start()..=ceiling.block).contains(&agreed.block));
    assert!((1..=ceiling.window).contains(&agreed.window) && agreed.timeout != Some(0));
    if let Some(acceptance) = agreed.acceptance {
        assert!(acceptance.starts_with(&[0, 6]) && acceptance.ends_with(&[0]) && acceptance.len() < 80);
        let accepted: Vec<&[u8]> =
            acceptance[2..acceptance.len() - 1].split(|byte| *byte == 0).step_by(2).collect();
        for (at, name) in accepted.iter().enumerate() {
            assert!(asked.iter().any(|asked| asked.as_bytes() == *name), "nobody asked for {name:?}");
            assert!(!accepted[..at].contains(name), "{name:?} twice");
        }
    }
    true
}

/// A transfer: its shape, then what its client says and when. It stays within its window, says nothing
/// to what is old, and ends when nothing is new.
pub fn tftp_session(data: &[u8]) -> bool {
    let Some((&[a, b, c, block, window, greets], mut rest)) = data.split_first_chunk() else { return false };
    let (block, window) = (u16::from(block) + 8, u16::from(window % 64) + 1);
    let len = u64::from(u32::from_be_bytes([0, a, b, c])).min(MAX_BLOCKS * u64::from(block));
    let shape = Shape { len, block, window };
    let mut now = Instant::now();
    let (mut session, mut step) = Session::new(shape, Some(greets), greets % 2 == 1, now);
    let (mut highest, mut acked, mut unheard, mut probed) = (0, 0, 0, false);
    while let Some((&[millis, high, low], after)) = rest.split_first_chunk() {
        rest = after;
        if let Step::Send(Blocks { first, last }) = step {
            assert!(first > acked && first <= last && last <= shape.blocks(), "{step:?}");
            assert!(last <= acked + u64::from(window), "{step:?} beyond the window after {acked}");
            highest = last.max(highest);
        }
        if let Step::Done | Step::GiveUp(_) = step {
            return true;
        }
        assert!((1..=window).contains(&session.piece()) && session.arrived() <= len);
        now += Duration::from_millis(u64::from(millis) * u64::from(millis));
        if now >= session.deadline() {
            step = session.expired(now);
            assert_ne!(step, Step::Wait, "the deadline");
            (unheard, probed) = (unheard + 1, true);
            // Once more for a window that is sent again.
            assert!(unheard <= 2 * RETRIES + 2, "{unheard} times for nothing new");
            continue;
        }
        // Counted from what the client has, so that many are right.
        let said = wire_number(acked).wrapping_add(u16::from_be_bytes([high, low]));
        let ahead = u64::from(u16::from_be_bytes([high, low]));
        let was = session.is_answered();
        step = session.acknowledged(said, now);
        if ahead >= 1 && acked + ahead <= highest {
            (acked, unheard, probed) = (acked + ahead, 0, false);
        } else if was {
            assert!(step == Step::Wait || (ahead == 0 && probed), "{step:?} for nothing new");
            probed &= ahead != 0;
        }
    }
    session.is_answered()
}
