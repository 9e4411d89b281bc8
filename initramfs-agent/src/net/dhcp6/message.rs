//! DHCPv6 messages (RFC 8415): what is asked, and what is answered.
//!
//! Pure. Answers come from anybody on the link: every length is checked, lists are cut, names
//! are names, and what is not understood is passed over.

use protocol::net::{MAX_DNS, MAX_SEARCH, dns_name, is_host};
use std::net::{IpAddr, Ipv6Addr};

/// Longest answer that is looked at, in bytes: one Ethernet frame.
pub(crate) const MAX_ANSWER: usize = 1_500;
/// Longest identifier of a server, in bytes (RFC 8415 11.1).
const MAX_DUID: usize = 130;
/// Most addresses of one answer that are looked at.
const MAX_GIVEN: usize = 8;
/// Longest words of a server that are shown, in characters.
const MAX_WORDS: usize = 80;

// Options (RFC 8415 21, RFC 3646, RFC 4242).
const CLIENT_ID: u16 = 1;
const SERVER_ID: u16 = 2;
const IA_NA: u16 = 3;
const IA_ADDRESS: u16 = 5;
const OPTION_REQUEST: u16 = 6;
const ELAPSED_TIME: u16 = 8;
const STATUS_CODE: u16 = 13;
const DNS_SERVERS: u16 = 23;
const DOMAIN_LIST: u16 = 24;
const REFRESH_TIME: u16 = 32;

/// What a message is for. The numbers are those of RFC 8415 7.3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// Is there a server?
    Solicit = 1,
    /// There is, and this is what it would give.
    Advertise = 2,
    /// Give it to me.
    Request = 3,
    /// Let me keep it, you who gave it.
    Renew = 5,
    /// Let me keep it, anybody.
    Rebind = 6,
    /// The answer to everything but a solicitation.
    Reply = 7,
    /// Name servers only.
    Information = 11,
}

/// A message's number, by which its answer is known.
pub(crate) type Transaction = [u8; 3];

/// A question before it is written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Question<'a> {
    /// What it is for.
    pub(crate) kind: Kind,
    /// Its number.
    pub(crate) transaction: Transaction,
    /// Who asks.
    pub(crate) client: &'a [u8],
    /// Whom, where it is one server in particular.
    pub(crate) server: Option<&'a [u8]>,
    /// Number of the address association, `None` when no address is wanted.
    pub(crate) association: Option<u32>,
    /// The address that was offered or is held.
    pub(crate) address: Option<Ipv6Addr>,
    /// Since the first message of this exchange, in hundredths of a second.
    pub(crate) elapsed: u16,
}

impl Question<'_> {
    /// The message as it is sent.
    pub(crate) fn compose(&self) -> Vec<u8> {
        let mut message = vec![self.kind as u8];
        message.extend(self.transaction);
        put(&mut message, CLIENT_ID, self.client);
        if let Some(server) = self.server {
            put(&mut message, SERVER_ID, server);
        }
        put(&mut message, ELAPSED_TIME, &self.elapsed.to_be_bytes());
        let wanted = [DNS_SERVERS, DOMAIN_LIST, REFRESH_TIME].map(u16::to_be_bytes);
        put(&mut message, OPTION_REQUEST, wanted.as_flattened());
        if let Some(association) = self.association {
            // Number, T1 and T2; the times are the server's to say.
            let mut body = association.to_be_bytes().to_vec();
            body.extend([0; 8]);
            if let Some(address) = self.address {
                let mut inner = address.octets().to_vec();
                inner.extend([0; 8]);
                put(&mut body, IA_ADDRESS, &inner);
            }
            put(&mut message, IA_NA, &body);
        }
        message
    }
}

fn put(message: &mut Vec<u8>, code: u16, body: &[u8]) {
    // Every body here is a few bytes long.
    let Ok(length) = u16::try_from(body.len()) else { return };
    message.extend(code.to_be_bytes());
    message.extend(length.to_be_bytes());
    message.extend(body);
}

/// One address of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Given {
    /// The address.
    pub(crate) address: Ipv6Addr,
    /// For how long it is good for new connections, in seconds.
    pub(crate) preferred: u32,
    /// For how long it may be used at all, in seconds; `u32::MAX` is for ever.
    pub(crate) valid: u32,
}

/// What a server answers. Of a message that holds nothing of use, everything is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    /// Message type as it came.
    pub(crate) kind: u8,
    /// Number of the question.
    pub(crate) transaction: Transaction,
    /// To whom.
    pub(crate) client: Vec<u8>,
    /// From whom.
    pub(crate) server: Vec<u8>,
    /// Addresses, the usable ones.
    pub(crate) given: Vec<Given>,
    /// When to renew, in seconds; 0 leaves it to the client.
    pub(crate) t1: u32,
    /// When to ask anybody, in seconds; 0 leaves it to the client.
    pub(crate) t2: u32,
    /// Why nothing is given, in the server's words and number.
    pub(crate) refusal: Option<(u16, String)>,
    /// Name servers.
    pub(crate) dns: Vec<Ipv6Addr>,
    /// Search domains.
    pub(crate) search: Vec<String>,
    /// When to ask for name servers again, in seconds.
    pub(crate) refresh: Option<u32>,
}

/// Why bytes are no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AnswerError {
    /// Longer than [`MAX_ANSWER`].
    #[error("DHCPv6 answer has {0} bytes, at most {MAX_ANSWER} are read")]
    TooLong(usize),
    /// Ends in the middle of something.
    #[error("DHCPv6 answer is cut off")]
    Cut,
    /// An identifier that is none.
    #[error("DHCPv6 answer has an identifier of {0} bytes, at most {MAX_DUID} are allowed")]
    Identifier(usize),
}

impl Answer {
    /// Reads a message.
    ///
    /// # Errors
    /// [`AnswerError`] when the bytes are not a DHCPv6 message; one that a client does not
    /// understand is no error.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, AnswerError> {
        if bytes.len() > MAX_ANSWER {
            return Err(AnswerError::TooLong(bytes.len()));
        }
        let (head, options) = bytes.split_first_chunk::<4>().ok_or(AnswerError::Cut)?;
        let [kind, a, b, c] = *head;
        let mut answer = Self { kind, transaction: [a, b, c], ..Self::default() };
        for option in Options(options) {
            let (code, body) = option?;
            answer.take(code, body)?;
        }
        answer.given.truncate(MAX_GIVEN);
        answer.dns.truncate(MAX_DNS);
        answer.search.truncate(MAX_SEARCH);
        Ok(answer)
    }

    /// Whether this answers a question in the way that was asked for.
    pub(crate) fn answers(&self, question: &Question<'_>) -> bool {
        let kind = if question.kind == Kind::Solicit { Kind::Advertise } else { Kind::Reply };
        self.kind == kind as u8
            && self.transaction == question.transaction
            && self.client == question.client
            && !self.server.is_empty()
    }

    fn take(&mut self, code: u16, body: &[u8]) -> Result<(), AnswerError> {
        match code {
            CLIENT_ID => self.client = identifier(body)?,
            SERVER_ID => self.server = identifier(body)?,
            STATUS_CODE => self.refuse(body)?,
            IA_NA => self.take_association(body)?,
            DNS_SERVERS => {
                let addresses = body.as_chunks::<16>().0.iter().map(|octets| Ipv6Addr::from(*octets));
                self.dns.extend(addresses.filter(|address| is_host(IpAddr::V6(*address))));
            }
            DOMAIN_LIST => self.search.extend(domains(body)),
            REFRESH_TIME => {
                self.refresh = Some(u32::from_be_bytes(*body.first_chunk().ok_or(AnswerError::Cut)?))
            }
            _ => {}
        }
        Ok(())
    }

    fn take_association(&mut self, body: &[u8]) -> Result<(), AnswerError> {
        let (times, options) = body.split_first_chunk::<12>().ok_or(AnswerError::Cut)?;
        let [_, _, _, _, a, b, c, d, e, f, g, h] = *times;
        (self.t1, self.t2) = (u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h]));
        for option in Options(options) {
            match option? {
                (STATUS_CODE, body) => self.refuse(body)?,
                (IA_ADDRESS, body) => {
                    let (address, rest) = body.split_first_chunk::<16>().ok_or(AnswerError::Cut)?;
                    let (times, _options) = rest.split_first_chunk::<8>().ok_or(AnswerError::Cut)?;
                    let [a, b, c, d, e, f, g, h] = *times;
                    let preferred = u32::from_be_bytes([a, b, c, d]);
                    let valid = u32::from_be_bytes([e, f, g, h]);
                    // RFC 8415 21.6: an address that is preferred longer than valid is dropped.
                    if valid > 0 && preferred <= valid {
                        self.given.push(Given { address: Ipv6Addr::from(*address), preferred, valid });
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn refuse(&mut self, body: &[u8]) -> Result<(), AnswerError> {
        let (code, words) = body.split_first_chunk::<2>().ok_or(AnswerError::Cut)?;
        let code = u16::from_be_bytes(*code);
        if code != 0 && self.refusal.is_none() {
            let printable = |c: char| if c.is_ascii_graphic() || c == ' ' { c } else { '?' };
            let words = String::from_utf8_lossy(words).chars().take(MAX_WORDS).map(printable).collect();
            self.refusal = Some((code, words));
        }
        Ok(())
    }
}

fn identifier(body: &[u8]) -> Result<Vec<u8>, AnswerError> {
    if (1..=MAX_DUID).contains(&body.len()) {
        Ok(body.to_vec())
    } else {
        Err(AnswerError::Identifier(body.len()))
    }
}

/// Options one after the other: code, length, body.
struct Options<'a>(&'a [u8]);

impl<'a> Iterator for Options<'a> {
    type Item = Result<(u16, &'a [u8]), AnswerError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let Some((head, rest)) = self.0.split_first_chunk::<4>() else {
            self.0 = &[];
            return Some(Err(AnswerError::Cut));
        };
        let [a, b, c, d] = *head;
        let length = usize::from(u16::from_be_bytes([c, d]));
        let Some((body, rest)) = rest.split_at_checked(length) else {
            self.0 = &[];
            return Some(Err(AnswerError::Cut));
        };
        self.0 = rest;
        Some(Ok((u16::from_be_bytes([a, b]), body)))
    }
}

/// Domains as DNS writes them (RFC 1035 3.1), without pointers (RFC 8415 10). Ends at the first
/// that is none.
pub(crate) fn domains(mut bytes: &[u8]) -> Vec<String> {
    let mut domains = Vec::new();
    let mut labels: Vec<&str> = Vec::new();
    while let Some((&length, rest)) = bytes.split_first() {
        let Some((label, rest)) = rest.split_at_checked(usize::from(length)) else { break };
        bytes = rest;
        if length > 0 {
            let Ok(label) = std::str::from_utf8(label) else { break };
            labels.push(label);
        } else if !labels.is_empty() {
            domains.extend(dns_name(&std::mem::take(&mut labels).join(".")));
        }
        if length > 63 || domains.len() >= MAX_SEARCH {
            break;
        }
    }
    domains
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CLIENT: &[u8] = &[0, 3, 0, 1, 0x52, 0x54, 0, 0x12, 0x34, 0x56];
    const SERVER: &[u8] = &[0, 1, 0, 1, 9, 9, 9, 9];

    fn question(kind: Kind) -> Question<'static> {
        Question {
            kind,
            transaction: [1, 2, 3],
            client: CLIENT,
            server: None,
            association: Some(7),
            address: None,
            elapsed: 0,
        }
    }

    /// An answer with an address, a name server and a domain.
    fn reply() -> Vec<u8> {
        let mut message = vec![7, 1, 2, 3];
        put(&mut message, CLIENT_ID, CLIENT);
        put(&mut message, SERVER_ID, SERVER);
        let mut association = vec![0, 0, 0, 7, 0, 0, 0, 60, 0, 0, 0, 90];
        let mut address = "fd00::15".parse::<Ipv6Addr>().unwrap().octets().to_vec();
        address.extend([0, 0, 0, 120, 0, 0, 0, 240]);
        put(&mut association, IA_ADDRESS, &address);
        put(&mut message, IA_NA, &association);
        put(&mut message, DNS_SERVERS, &"fd00::53".parse::<Ipv6Addr>().unwrap().octets());
        put(&mut message, DOMAIN_LIST, b"\x07Example\x03com\x00\x04corp\x00");
        put(&mut message, REFRESH_TIME, &600_u32.to_be_bytes());
        put(&mut message, 4_711, b"whatever");
        message
    }

    #[test]
    fn answer_is_read_whole() {
        let answer = Answer::parse(&reply()).unwrap();
        let given = Given { address: "fd00::15".parse().unwrap(), preferred: 120, valid: 240 };
        assert_eq!((answer.given.as_slice(), answer.t1, answer.t2), ([given].as_slice(), 60, 90));
        assert_eq!(answer.dns, ["fd00::53".parse::<Ipv6Addr>().unwrap()]);
        assert_eq!(answer.search, ["example.com", "corp"]);
        assert_eq!(answer.refresh, Some(600));
        assert!(answer.answers(&question(Kind::Request)));
        assert!(!answer.answers(&question(Kind::Solicit)), "an advertisement was asked for");
        assert!(!answer.answers(&Question { transaction: [1, 2, 4], ..question(Kind::Request) }));
        assert!(!answer.answers(&Question { client: SERVER, ..question(Kind::Request) }));
    }

    #[test]
    fn question_reads_back_as_a_message() {
        let address = "fd00::15".parse().unwrap();
        let asked = Question { server: Some(SERVER), address: Some(address), ..question(Kind::Renew) };
        let read = Answer::parse(&asked.compose()).unwrap();
        assert_eq!((read.kind, read.transaction), (5, [1, 2, 3]));
        assert_eq!((read.client.as_slice(), read.server.as_slice()), (CLIENT, SERVER));
        assert!(read.given.is_empty(), "no lifetime is asked for");
        assert!(question(Kind::Information).compose().starts_with(&[11, 1, 2, 3]));
    }

    #[test]
    fn refusal_carries_the_servers_words() {
        let mut message = vec![7, 1, 2, 3];
        let mut association = vec![0; 12];
        put(&mut association, STATUS_CODE, b"\x00\x02no addresses\x1b[2J");
        put(&mut message, IA_NA, &association);
        let refusal = Answer::parse(&message).unwrap().refusal.unwrap();
        assert_eq!(refusal, (2, "no addresses?[2J".to_owned()));
    }

    #[test]
    fn damaged_answers_are_told_and_never_read_beyond_their_end() {
        let whole = reply();
        assert_eq!(Answer::parse(&[]), Err(AnswerError::Cut));
        assert_eq!(Answer::parse(&[7; MAX_ANSWER + 1]), Err(AnswerError::TooLong(1_501)));
        assert_eq!(Answer::parse(&[7, 1, 2, 3, 0, 1, 0, 0]), Err(AnswerError::Identifier(0)));
        assert!(Answer::parse(whole.get(..whole.len() - 1).unwrap()).is_err());
        for (preferred, valid) in [(5, 4), (0, 0)] {
            let mut association = vec![0; 12];
            let mut address = vec![0xfd; 16];
            address.extend([0, 0, 0, preferred, 0, 0, 0, valid]);
            put(&mut association, IA_ADDRESS, &address);
            let mut message = vec![7, 1, 2, 3];
            put(&mut message, IA_NA, &association);
            assert!(Answer::parse(&message).unwrap().given.is_empty());
        }
    }

    #[test]
    fn domains_end_at_the_first_that_is_none() {
        assert_eq!(domains(b"\x01a\x00\x03b c\x00\x01d\x00"), ["a", "d"]);
        assert_eq!(domains(b"\x01a\x00\xc0\x00"), ["a"], "pointers are not followed");
        assert_eq!(domains(b"\x05ab"), Vec::<String>::new());
        assert_eq!(domains(&b"\x01a\x00".repeat(50)).len(), MAX_SEARCH);
    }

    proptest! {
        #[test]
        fn parsing_is_total(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            drop(Answer::parse(&bytes));
            drop(domains(&bytes));
        }

        #[test]
        fn parsing_is_total_near_the_truth(at in 0..150_usize, byte: u8, end in 0..200_usize) {
            let mut message = reply();
            if let Some(place) = message.get_mut(at) {
                *place = byte;
            }
            message.truncate(end);
            if let Ok(answer) = Answer::parse(&message) {
                prop_assert!(answer.dns.len() <= MAX_DNS && answer.search.len() <= MAX_SEARCH);
            }
        }
    }
}
