//! Packets, as far as a server that only gives away needs them (RFC 1350, 2347).
//!
//! Crate `tftpd` knows the format. What stands before it here are limits, for it takes any number of
//! options, any name and any length: a request that passed them costs at most one packet of memory.

use tftpd::{ErrorCode, Packet, TransferOption};

/// Longest packet of a client that is looked at, in bytes (`spec/security.md` 6).
pub const MAX_PACKET: usize = 600;
/// Longest path of a file, in bytes.
pub const MAX_PATH: usize = 255;
/// Most options of a request.
pub const MAX_OPTIONS: usize = 8;
/// Bytes before the data of a block: what it is and its number.
pub const BLOCK_HEADER: usize = 4;
/// Longest text of an ERROR, in bytes: smaller than any block, so that no refusal pays who sends
/// requests under a wrong name.
const MAX_ERROR_TEXT: usize = 160;

const READ: u16 = 1;
const WRITE: u16 = 2;
const DATA: u16 = 3;
const ACK: u16 = 4;
const ERROR: u16 = 5;

/// A request for a file.
#[derive(Debug, Clone, PartialEq)]
pub struct ReadRequest {
    /// The file's path: letters, digits and `._/:-`, without `..`.
    pub path: String,
    /// The options that are known, as they were asked for.
    pub options: Vec<TransferOption>,
}

/// Why there is no request.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rejected {
    /// It is none: nobody is answered.
    Noise,
    /// It is one, and is answered with an ERROR.
    Refused(ErrorCode, &'static str),
}

/// What a client says during its transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// It has everything up to this block, as numbered on the wire.
    Ack(u16),
    /// It wants no more.
    Stop,
}

/// Reads a client's first packet.
///
/// # Errors
/// [`Rejected`]: the packet is no request, or not one that is served.
pub fn request(packet: &[u8]) -> Result<ReadRequest, Rejected> {
    let refused = |code, text| Err(Rejected::Refused(code, text));
    if packet.len() > MAX_PACKET {
        return Err(Rejected::Noise);
    }
    match opcode(packet) {
        Some(READ) => {}
        Some(WRITE) => return refused(ErrorCode::AccessViolation, "files are only given, never taken"),
        _ => return Err(Rejected::Noise),
    }
    let fields = fields(packet).ok_or(Rejected::Noise)?;
    let [path, mode, options @ ..] = fields.as_slice() else { return Err(Rejected::Noise) };
    if !is_path(path) {
        let text = "a path has at most 255 letters, digits and ._/:- without ..";
        return refused(ErrorCode::AccessViolation, text);
    }
    if !mode.eq_ignore_ascii_case(b"octet") {
        return refused(ErrorCode::IllegalOperation, "files come as they are: use mode octet (binary)");
    }
    if options.len() > 2 * MAX_OPTIONS {
        return refused(ErrorCode::RefusedOption, "more than 8 options");
    }
    match Packet::deserialize(packet) {
        Ok(Packet::Rrq { filename, options, .. }) => Ok(ReadRequest { path: filename, options }),
        Ok(
            Packet::Wrq { .. }
            | Packet::Data { .. }
            | Packet::Ack(_)
            | Packet::Error { .. }
            | Packet::Oack(_),
        )
        | Err(_) => refused(ErrorCode::RefusedOption, "an option without a number"),
    }
}

/// Reads a packet of a client whose transfer is under way; nothing when it is of no use there.
pub fn word(packet: &[u8]) -> Option<Word> {
    match opcode(packet)? {
        ACK => {
            let Ok(Packet::Ack(block)) = Packet::deserialize(packet.get(..BLOCK_HEADER)?) else {
                return None;
            };
            Some(Word::Ack(block))
        }
        ERROR => Some(Word::Stop),
        _ => None,
    }
}

/// What stands before the data of a block.
#[must_use]
pub fn block_header(block: u16) -> [u8; BLOCK_HEADER] {
    let ([a, b], [c, d]) = (DATA.to_be_bytes(), block.to_be_bytes());
    [a, b, c, d]
}

/// An ERROR; its text is cut, and what is not printable in it is left out.
#[must_use]
pub fn error(code: ErrorCode, text: &str) -> Vec<u8> {
    let msg = text.chars().filter(|c| c.is_ascii_graphic() || *c == ' ').take(MAX_ERROR_TEXT).collect();
    // A number and a text, which the crate always takes.
    Packet::Error { code, msg }.serialize().unwrap_or_default()
}

/// The OACK with these options.
#[must_use]
pub fn acceptance(options: Vec<TransferOption>) -> Vec<u8> {
    Packet::Oack(options).serialize().unwrap_or_default()
}

fn opcode(packet: &[u8]) -> Option<u16> {
    packet.first_chunk().map(|bytes| u16::from_be_bytes(*bytes))
}

/// The texts of a request, each ended by a zero byte; nothing when the last one is not.
fn fields(packet: &[u8]) -> Option<Vec<&[u8]>> {
    let texts = packet.get(2..)?.strip_suffix(&[0])?;
    Some(texts.split(|byte| *byte == 0).collect())
}

fn is_path(path: &[u8]) -> bool {
    let known = |byte: &u8| byte.is_ascii_alphanumeric() || b"._/:-".contains(byte);
    !path.is_empty()
        && path.len() <= MAX_PATH
        && path.iter().all(known)
        && path.split(|byte| *byte == b'/').all(|step| step != b"..")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use tftpd::OptionType;

    fn rrq(path: &str, mode: &str, options: &[(&str, &str)]) -> Vec<u8> {
        let mut packet = vec![0, 1];
        let fields = [path, mode].into_iter().chain(options.iter().flat_map(|(name, value)| [*name, *value]));
        fields.for_each(|field| packet.extend(field.bytes().chain([0])));
        packet
    }

    fn refusal(packet: &[u8]) -> ErrorCode {
        match request(packet) {
            Err(Rejected::Refused(code, _)) => code,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn request_of_firmware_is_understood() {
        let options = [("tsize", "0"), ("BLKSIZE", "1468"), ("multicast", ""), ("windowsize", "4")];
        let asked = request(&rrq("/grub/52:54:00:12:34:56.cfg", "Octet", &options)).unwrap();
        assert_eq!(asked.path, "/grub/52:54:00:12:34:56.cfg");
        let kinds: Vec<_> = asked.options.iter().map(|o| (o.option, o.value)).collect();
        let expected =
            [(OptionType::TransferSize, 0), (OptionType::BlockSize, 1468), (OptionType::WindowSize, 4)];
        assert_eq!(kinds, expected);
    }

    #[test]
    fn paths_out_of_the_tree_and_odd_names_are_refused() {
        let long = "a".repeat(MAX_PATH + 1);
        for path in ["../etc/passwd", "a/../../b", "..", "", "a\\..\\b", "a b", "a%2e", "\u{e4}", &long] {
            assert_eq!(refusal(&rrq(path, "octet", &[])), ErrorCode::AccessViolation, "{path}");
        }
        for path in ["a..b", "/x", "pxelinux.cfg/01-52-54-00-12-34-56", &"a".repeat(MAX_PATH)] {
            assert!(request(&rrq(path, "octet", &[])).is_ok(), "{path}");
        }
    }

    #[test]
    fn writing_is_refused_and_so_is_translated_text() {
        let mut write = rrq("a", "octet", &[]);
        write[1] = 2;
        assert_eq!(refusal(&write), ErrorCode::AccessViolation);
        for mode in ["netascii", "mail", ""] {
            assert_eq!(refusal(&rrq("a", mode, &[])), ErrorCode::IllegalOperation);
        }
    }

    #[test]
    fn options_beyond_the_limit_or_without_a_number_are_refused() {
        let eight = [("x", "1"); MAX_OPTIONS];
        assert!(request(&rrq("a", "octet", &eight)).is_ok());
        let nine = [("x", "1"); MAX_OPTIONS + 1];
        assert_eq!(refusal(&rrq("a", "octet", &nine)), ErrorCode::RefusedOption);
        for value in ["", "-1", "1x", "99999999999999999999999999"] {
            assert_eq!(refusal(&rrq("a", "octet", &[("blksize", value)])), ErrorCode::RefusedOption);
        }
        let unpaired = [rrq("a", "octet", &[]), b"blksize\0".to_vec()].concat();
        assert_eq!(refusal(&unpaired), ErrorCode::RefusedOption);
    }

    #[test]
    fn what_is_no_request_is_not_answered() {
        let oversize = rrq(&"a".repeat(MAX_PACKET), "octet", &[]);
        let unended = b"\0\x01a\0octet";
        for packet in [&[][..], &[0], &[0, 1], &[0, 3, 0, 1, 9], &[0, 4, 0, 1], &[0, 9], &oversize, unended] {
            assert_eq!(request(packet), Err(Rejected::Noise), "{packet:?}");
        }
    }

    #[test]
    fn only_acknowledgements_and_errors_count_during_a_transfer() {
        assert_eq!(word(&[0, 4, 1, 2]), Some(Word::Ack(258)));
        assert_eq!(word(&[0, 4, 1, 2, 0, 0]), Some(Word::Ack(258)), "padded");
        for stop in [&[0, 5][..], &[0, 5, 0, 0, 0], b"\0\x05\xff\xffwhat"] {
            assert_eq!(word(stop), Some(Word::Stop));
        }
        for other in [&[][..], &[0], &[0, 4], &[0, 4, 1], &[0, 1, 0, 0], &[0, 3, 0, 1], &[0, 6]] {
            assert_eq!(word(other), None);
        }
    }

    #[test]
    fn error_text_is_short_and_printable() {
        let packet = error(ErrorCode::FileNotFound, &format!("no\n\u{1b}[31m file {}", "x".repeat(500)));
        assert!(packet.starts_with(b"\0\x05\0\x01no[31m file x") && packet.ends_with(b"x\0"));
        assert_eq!(packet.len(), BLOCK_HEADER + MAX_ERROR_TEXT + 1);
    }

    proptest! {
        #[test]
        fn no_packet_panics_and_every_request_is_within_the_limits(
            packet in proptest::collection::vec(prop_oneof![Just(0_u8), Just(1), any::<u8>()], 0..700),
        ) {
            let _seen = word(&packet);
            if let Ok(asked) = request(&packet) {
                prop_assert!(is_path(asked.path.as_bytes()) && asked.options.len() <= MAX_OPTIONS);
            }
        }
    }
}
