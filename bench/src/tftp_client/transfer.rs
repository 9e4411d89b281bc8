//! One file on its way to a client: which packet comes next, what is answered, and whether every
//! byte is right (RFC 1350, 2347, 2348, 2349, 7440). No sockets and no clock.

use anyhow::{Context as _, Result, bail, ensure};

const READ: u16 = 1;
const DATA: u16 = 3;
const ACKNOWLEDGEMENT: u16 = 4;
const ERROR: u16 = 5;
const OPTIONS: u16 = 6;
/// Bytes before the data of a block.
pub(super) const HEAD: usize = 4;
/// Half of the block numbers: a number is ahead of another or behind it.
const HALF: u16 = 1 << 15;

/// Options of a transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Terms {
    /// Bytes of a block.
    pub(crate) block: u16,
    /// Blocks that may be on their way before one is acknowledged.
    pub(crate) window: u16,
}

impl Terms {
    /// What both sides take for granted when nobody speaks of options.
    const PLAIN: Self = Self { block: 512, window: 1 };
}

/// What a packet asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// To wait for more.
    Wait,
    /// To acknowledge this block.
    Acknowledge(u16),
    /// The same for the last one.
    Finish(u16),
}

/// A file of which the client knows what is in it.
#[derive(Debug)]
pub(super) struct Transfer<'a> {
    expected: &'a [u8],
    asked: Terms,
    agreed: Option<Terms>,
    /// Bytes that came.
    at: usize,
    /// Number of the block that is awaited.
    awaited: u16,
    /// Blocks since the last acknowledgement.
    unanswered: u16,
    /// Whether the server knows already that a block is missing.
    complained: bool,
    gaps: u64,
}

impl<'a> Transfer<'a> {
    pub(super) fn new(expected: &'a [u8], asked: Terms) -> Self {
        let (agreed, at, unanswered) = (None, 0, 0);
        Self { expected, asked, agreed, at, awaited: 1, unanswered, complained: false, gaps: 0 }
    }

    /// What the server agreed to, once it has.
    pub(super) fn agreed(&self) -> Option<Terms> {
        self.agreed
    }

    /// How often a block was missing between others.
    pub(super) fn gaps(&self) -> u64 {
        self.gaps
    }

    /// Reads a packet of the server.
    ///
    /// # Errors
    /// When the server refuses, breaks the protocol or sends other bytes than the file's.
    pub(super) fn read(&mut self, packet: &[u8]) -> Result<Next> {
        let (code, rest) = number(packet).context("a packet without a code")?;
        match code {
            DATA => {
                let (block, data) = number(rest).context("a block without a number")?;
                self.block(block, data)
            }
            OPTIONS => self.options(rest),
            ERROR => bail!("the server refused: {}", String::from_utf8_lossy(rest.get(2..).unwrap_or(rest))),
            _ => bail!("a packet of kind {code}"),
        }
    }

    fn options(&mut self, text: &[u8]) -> Result<Next> {
        if self.agreed.is_some() {
            // Said again: our answer was late.
            return Ok(if self.at == 0 { Next::Acknowledge(0) } else { Next::Wait });
        }
        let mut agreed = Terms::PLAIN;
        let mut words = text.split(|byte| *byte == 0).map(String::from_utf8_lossy);
        while let (Some(name), Some(value)) = (words.next(), words.next()) {
            let value: usize = value.parse().with_context(|| format!("option {name}={value}"))?;
            let small = || u16::try_from(value).with_context(|| format!("option {name}={value}"));
            match name.to_ascii_lowercase().as_str() {
                "blksize" => agreed.block = small()?,
                "windowsize" => agreed.window = small()?,
                "tsize" => ensure!(value == self.expected.len(), "the server announces {value} bytes"),
                _ => bail!("the server agreed to {name}, which nobody asked for"),
            }
        }
        let fits = agreed.block > 0 && agreed.block <= self.asked.block.max(Terms::PLAIN.block);
        ensure!(fits && agreed.window > 0 && agreed.window <= self.asked.window, "not asked for: {agreed:?}");
        self.agreed = Some(agreed);
        Ok(Next::Acknowledge(0))
    }

    fn block(&mut self, block: u16, data: &[u8]) -> Result<Next> {
        let terms = *self.agreed.get_or_insert(Terms::PLAIN);
        if block != self.awaited {
            return Ok(self.other(block));
        }
        let size = usize::from(terms.block);
        ensure!(data.len() <= size, "block {block} has {} bytes", data.len());
        let end = self.at + data.len();
        ensure!(self.expected.get(self.at..end) == Some(data), "wrong bytes after byte {}", self.at);
        self.at = end;
        self.awaited = block.wrapping_add(1);
        self.unanswered += 1;
        self.complained = false;
        if data.len() < size {
            ensure!(end == self.expected.len(), "{end} bytes came of {}", self.expected.len());
            return Ok(Next::Finish(block));
        }
        if self.unanswered < terms.window {
            return Ok(Next::Wait);
        }
        self.unanswered = 0;
        Ok(Next::Acknowledge(block))
    }

    /// A block that is not the awaited one. Behind a gap the last good one is acknowledged, once:
    /// the server goes on from there. Old ones are not answered, or each would be sent twice from
    /// then on.
    fn other(&mut self, block: u16) -> Next {
        let ahead = block.wrapping_sub(self.awaited) < HALF;
        if !ahead || self.complained {
            return Next::Wait;
        }
        (self.complained, self.unanswered) = (true, 0);
        self.gaps += 1;
        Next::Acknowledge(self.awaited.wrapping_sub(1))
    }
}

/// A request for a file. The window is left out where it is 1: so ask clients that know none.
pub(super) fn request(path: &str, terms: Terms) -> Vec<u8> {
    let mut packet = READ.to_be_bytes().to_vec();
    let (block, window) = (terms.block.to_string(), terms.window.to_string());
    let mut words = vec![path, "octet", "tsize", "0", "blksize", &block];
    if terms.window > Terms::PLAIN.window {
        words.extend(["windowsize", &window]);
    }
    for word in words {
        packet.extend_from_slice(word.as_bytes());
        packet.push(0);
    }
    packet
}

/// An acknowledgement.
pub(super) fn acknowledgement(block: u16) -> [u8; HEAD] {
    let ([kind, of_it], [high, low]) = (ACKNOWLEDGEMENT.to_be_bytes(), block.to_be_bytes());
    [kind, of_it, high, low]
}

/// The number that bytes begin with, and what follows it.
fn number(bytes: &[u8]) -> Option<(u16, &[u8])> {
    let (number, rest) = bytes.split_first_chunk()?;
    Some((u16::from_be_bytes(*number), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: Terms = Terms { block: 8, window: 4 };

    fn file(length: usize) -> Vec<u8> {
        (0..length).map(|at| u8::try_from(at % 251).unwrap()).collect()
    }

    fn options(words: &[&str]) -> Vec<u8> {
        let mut packet = OPTIONS.to_be_bytes().to_vec();
        words.iter().for_each(|word| packet.extend([word.as_bytes(), &[0]].concat()));
        packet
    }

    fn data(block: u16, bytes: &[u8]) -> Vec<u8> {
        [&DATA.to_be_bytes()[..], &block.to_be_bytes(), bytes].concat()
    }

    /// The block of this number, counted from 1.
    fn part(file: &[u8], terms: Terms, number: usize) -> Vec<u8> {
        let size = usize::from(terms.block);
        let bytes = &file[(number - 1) * size..file.len().min(number * size)];
        data(u16::try_from(number & 0xffff).unwrap(), bytes)
    }

    /// A client that has agreed to what it asked for.
    fn agreed(file: &[u8], terms: Terms) -> Transfer<'_> {
        let mut transfer = Transfer::new(file, terms);
        let (block, window) = (terms.block.to_string(), terms.window.to_string());
        let packet = options(&["blksize", &block, "windowsize", &window]);
        assert_eq!(transfer.read(&packet).unwrap(), Next::Acknowledge(0));
        transfer
    }

    /// The blocks that a whole file's acknowledgements name.
    fn acknowledged(file: &[u8], terms: Terms) -> Vec<Next> {
        let mut transfer = agreed(file, terms);
        let blocks = 1..=file.len() / usize::from(terms.block) + 1;
        let answers = blocks.map(|number| transfer.read(&part(file, terms, number)).unwrap());
        answers.filter(|next| *next != Next::Wait).collect()
    }

    #[test]
    fn the_last_block_of_each_window_is_acknowledged_and_the_last_of_all() {
        let (four, eight) = (Next::Acknowledge(4), Next::Acknowledge(8));
        assert_eq!(acknowledged(&file(75), SMALL), [four, eight, Next::Finish(10)]);
        assert_eq!(acknowledged(&file(72), SMALL), [four, eight, Next::Finish(10)], "the last one is empty");
        let lockstep = Terms { block: 8, window: 1 };
        assert_eq!(acknowledged(&file(9), lockstep), [Next::Acknowledge(1), Next::Finish(2)]);
    }

    #[test]
    fn block_numbers_begin_again_after_the_last() {
        let answers = acknowledged(&file(70_000 * 8 + 3), SMALL);
        assert_eq!(answers.len(), 70_000 / 4 + 1);
        assert_eq!(answers.last(), Some(&Next::Finish(4_465)));
    }

    #[test]
    fn a_server_without_options_sends_blocks_of_512_one_by_one() {
        let file = file(600);
        let mut transfer = Transfer::new(&file, Terms { block: 1_428, window: 64 });
        assert_eq!(transfer.read(&data(1, &file[..512])).unwrap(), Next::Acknowledge(1));
        assert_eq!(transfer.agreed(), Some(Terms::PLAIN));
        assert_eq!(transfer.read(&data(2, &file[512..])).unwrap(), Next::Finish(2));
    }

    #[test]
    fn what_the_server_agrees_to_holds_and_more_than_asked_for_does_not() {
        let file = file(20);
        let mut transfer = Transfer::new(&file, Terms { block: 1_428, window: 64 });
        transfer.read(&options(&["BlkSize", "1428", "tsize", "20"])).unwrap();
        assert_eq!(transfer.agreed(), Some(Terms { block: 1_428, window: 1 }));
        for words in [
            &["windowsize", "65"][..],
            &["blksize", "1429"],
            &["blksize", "0"],
            &["windowsize", "0"],
            &["tsize", "21"],
            &["blksize", "99999"],
            &["blksize", "many"],
            &["multicast", "1"],
        ] {
            let mut transfer = Transfer::new(&file, Terms { block: 1_428, window: 64 });
            transfer.read(&options(words)).unwrap_err();
        }
    }

    #[test]
    fn behind_a_gap_the_last_good_block_is_acknowledged_once() {
        let file = file(100);
        let mut transfer = agreed(&file, SMALL);
        let mut read = |number| transfer.read(&part(&file, SMALL, number)).unwrap();
        assert_eq!([read(1), read(3), read(4)], [Next::Wait, Next::Acknowledge(1), Next::Wait]);
        assert_eq!([read(2), read(3), read(4)], [Next::Wait; 3]);
        assert_eq!(read(5), Next::Acknowledge(5), "a window counts from the last acknowledgement");
        assert_eq!(transfer.gaps(), 1);
    }

    #[test]
    fn what_comes_twice_is_not_answered() {
        let file = file(100);
        let mut transfer = agreed(&file, SMALL);
        for number in 1..=4 {
            transfer.read(&part(&file, SMALL, number)).unwrap();
        }
        for number in [4, 1, 3] {
            assert_eq!(transfer.read(&part(&file, SMALL, number)).unwrap(), Next::Wait);
        }
        assert_eq!(transfer.gaps(), 0);
    }

    #[test]
    fn options_that_come_twice_are_answered_until_the_first_block() {
        let file = file(100);
        let mut transfer = agreed(&file, SMALL);
        let again = options(&["blksize", "8", "windowsize", "4"]);
        assert_eq!(transfer.read(&again).unwrap(), Next::Acknowledge(0));
        transfer.read(&part(&file, SMALL, 1)).unwrap();
        assert_eq!(transfer.read(&again).unwrap(), Next::Wait);
    }

    #[test]
    fn wrong_bytes_and_wrong_lengths_are_refused() {
        let expected = file(20);
        let refused = |packets: &[Vec<u8>]| {
            let mut transfer = agreed(&expected, SMALL);
            packets.iter().map(|packet| transfer.read(packet)).find_map(Result::err).unwrap().to_string()
        };
        assert_eq!(refused(&[data(1, b"12345678")]), "wrong bytes after byte 0");
        assert_eq!(refused(&[data(1, &expected[..9])]), "block 1 has 9 bytes");
        assert_eq!(refused(&[data(1, &expected[..5])]), "5 bytes came of 20");
        let beyond = [data(1, &expected[..8]), data(2, &expected[8..16]), data(3, &[16, 17, 18, 19, 20])];
        assert_eq!(refused(&beyond), "wrong bytes after byte 16");
        assert_eq!(refused(&[b"\0\x05\0\x01no such file\0".to_vec()]), "the server refused: no such file\0");
        assert_eq!(refused(&[vec![0]]), "a packet without a code");
        assert_eq!(refused(&[data(1, &[])[..3].to_vec()]), "a block without a number");
    }

    #[test]
    fn a_request_names_a_window_only_where_it_is_one() {
        let lockstep = request("a", Terms::PLAIN);
        assert_eq!(lockstep, b"\0\x01a\0octet\0tsize\x000\0blksize\x00512\0");
        let windowed = request("a", Terms { block: 1_428, window: 64 });
        assert_eq!(windowed, b"\0\x01a\0octet\0tsize\x000\0blksize\x001428\0windowsize\x0064\0");
        assert_eq!(acknowledgement(258), [0, 4, 1, 2]);
    }
}
