//! What can stand in a machine's way, as an operator reads it: a stable code, a sentence, and
//! what to do about it (`spec/security.md` 2.5).
//!
//! Codes are an interface: documentation and tests name them. E1x is the machine and its
//! network, E2x the server, E3x the server's answer, E4x the bootstrap token and the boot nonce.

use protocol::ids::SpkiPin;
use protocol::token::MAX_TOKEN_LEN;
use std::fmt;

/// One obstacle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    /// E10: no network port has a carrier.
    NoLink,
    /// E11: the medium names no server.
    NotPersonalised,
    /// E12: a carrier, but no address.
    NoAddress,
    /// E13: a server's name has no address.
    NameNotResolved {
        /// The resolver's sentence, with the name in it.
        cause: String,
    },
    /// E14: an address, and no way from it to the server.
    NoRoute {
        /// Which address cannot be reached.
        cause: String,
    },
    /// E15: the HTTP proxy does not let the machine through.
    Proxy {
        /// Which proxy, and its own words, cleaned.
        cause: String,
    },
    /// E20: no server answers.
    Unreachable {
        /// How many addresses were tried in this round.
        tried: usize,
        /// What happened last.
        cause: String,
    },
    /// E21: somebody answers who is not our server.
    PinMismatch {
        /// What the medium trusts.
        expected: Vec<SpkiPin>,
        /// Topmost key that was presented, if any certificate could be read.
        got: Option<SpkiPin>,
        /// Why none of the medium's CAs vouches either, when it carries some.
        authority: Option<String>,
    },
    /// E21: the medium names a server and nobody to trust.
    NoPins,
    /// E22: the certificate's time and the clock disagree.
    CertificateTime {
        /// Which way.
        cause: String,
    },
    /// E22: they did, and the clock was to blame.
    ClockSet {
        /// Which way.
        cause: String,
    },
    /// E23: the server does not speak this agent's protocol.
    Protocol {
        /// The server's sentence.
        message: String,
    },
    /// E24: the server refuses for a reason this agent cannot act on.
    NotUnderstood {
        /// The server's sentence, or what was wrong with its answer.
        message: String,
    },
    /// E25: the server does not know this machine any more.
    Forgotten {
        /// The server's sentence.
        message: String,
    },
    /// E30: an operator said no.
    Denied {
        /// The server's sentence.
        message: String,
    },
    /// E31: the server takes no more machines right now.
    Busy {
        /// The server's sentence.
        message: String,
    },
    /// E40: the token's time is over.
    TokenExpired,
    /// E41: the token lost its end on the way here.
    TokenCut,
    /// E42: the server does not take the token.
    TokenRefused {
        /// The server's sentence.
        message: String,
    },
    /// E43: somebody took the token back.
    TokenRevoked,
    /// E44: the token is good, for other machines or for no more of them.
    TokenNotForThis {
        /// The server's sentence.
        message: String,
    },
    /// E45: more was given than a loader or a server carries.
    TooLong(Overlong),
    /// E46: the server does not take the boot nonce.
    NonceRefused {
        /// The server's sentence.
        message: String,
    },
    /// E47: the server does not take the earlier key's word for this one.
    StatementRefused {
        /// The server's sentence.
        message: String,
    },
}

/// What was too long, in the unit of its limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Overlong {
    /// The kernel command line, in bytes: what did not fit is gone.
    CommandLine(usize),
    /// The bootstrap token, in characters.
    Token(usize),
}

impl Fault {
    /// The stable code.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::NoLink => "E10",
            Self::NotPersonalised => "E11",
            Self::NoAddress => "E12",
            Self::NameNotResolved { .. } => "E13",
            Self::NoRoute { .. } => "E14",
            Self::Proxy { .. } => "E15",
            Self::Unreachable { .. } => "E20",
            Self::PinMismatch { .. } | Self::NoPins => "E21",
            Self::CertificateTime { .. } | Self::ClockSet { .. } => "E22",
            Self::Protocol { .. } => "E23",
            Self::NotUnderstood { .. } => "E24",
            Self::Forgotten { .. } => "E25",
            Self::Denied { .. } => "E30",
            Self::Busy { .. } => "E31",
            Self::TokenExpired => "E40",
            Self::TokenCut => "E41",
            Self::TokenRefused { .. } => "E42",
            Self::TokenRevoked => "E43",
            Self::TokenNotForThis { .. } => "E44",
            Self::TooLong(_) => "E45",
            Self::NonceRefused { .. } => "E46",
            Self::StatementRefused { .. } => "E47",
        }
    }

    /// What a person can do about it.
    pub(crate) fn remedy(&self) -> &'static str {
        match self {
            Self::NoLink => "Connect a network cable, or check the switch port.",
            Self::NotPersonalised => {
                "Download the ISO from your Muster dashboard (Machines, Bootstrap), or run \
                 'muster media customize' on this one. Nobody was contacted."
            }
            Self::NoAddress => {
                "Check that a DHCP server answers on this network, or give an address with \
                 muster.net=addr=10.0.0.5/24,gw=10.0.0.1 on the kernel command line."
            }
            Self::NameNotResolved { .. } => {
                "Check the name servers that DHCP hands out, or name the server by IP address."
            }
            Self::NoRoute { .. } => {
                "Check the default gateway that DHCP or muster.net= gives (gw=, and the prefix of \
                 addr=), and that the server is switched on if it is on this network."
            }
            Self::Proxy { .. } => {
                "Check muster.proxy=http://user:password@host:port, and that the proxy lets this \
                 machine through to the server."
            }
            Self::Unreachable { .. } => "Check that the server runs and that this network reaches it.",
            Self::PinMismatch { .. } => {
                "Possible interception: nothing was sent. If the server was set up anew, \
                 download the ISO again; else find out who answers at this address."
            }
            Self::NoPins => {
                "Give muster.ca-hash=sha256:... beside muster.server=, as the dashboard shows them. \
                 Nobody was contacted."
            }
            Self::CertificateTime { .. } => {
                "Restart the server, which renews its certificate, and check its clock. Behind a proxy \
                 that ends TLS, check that certificate and this machine's clock."
            }
            Self::ClockSet { .. } => {
                "Nothing to do. A machine that forgets the time while it is off wants a new battery."
            }
            Self::Protocol { .. } => "Download a medium that matches the server's version.",
            Self::NotUnderstood { .. } => "Look into the server's log.",
            Self::Forgotten { .. } => "Nothing to do: the machine asks anew by itself.",
            Self::Denied { .. } => "Press R to ask again once the wait is over.",
            Self::Busy { .. } => "Nothing to do: the machine asks again by itself.",
            Self::TokenExpired | Self::TokenRefused { .. } | Self::TokenRevoked => {
                "Type the code into the dashboard, or boot with a fresh token."
            }
            Self::TokenNotForThis { .. } => {
                "Type the code into the dashboard, or boot with a token made for this machine and \
                 network."
            }
            Self::TooLong(Overlong::CommandLine(_)) => {
                "Type the code into the dashboard, or shorten the kernel command line below 2047 bytes."
            }
            Self::TooLong(Overlong::Token(_)) => {
                "Type the code into the dashboard, or make a token with fewer constraints: at most \
                 768 characters are issued."
            }
            Self::NonceRefused { .. } | Self::StatementRefused { .. } => {
                "Type the code into the dashboard, and merge it with the machine that this one was."
            }
            Self::TokenCut => {
                "Type the code into the dashboard, or make the kernel command line shorter than \
                 2047 bytes and give the whole token."
            }
        }
    }

    /// Whether setting up the network by hand may help.
    pub(crate) fn is_of_network(&self) -> bool {
        match self {
            Self::NoLink
            | Self::NoAddress
            | Self::NameNotResolved { .. }
            | Self::NoRoute { .. }
            | Self::Proxy { .. }
            | Self::Unreachable { .. } => true,
            Self::NotPersonalised
            | Self::PinMismatch { .. }
            | Self::NoPins
            | Self::CertificateTime { .. }
            | Self::Protocol { .. }
            | Self::ClockSet { .. }
            | Self::NotUnderstood { .. }
            | Self::Forgotten { .. }
            | Self::Denied { .. }
            | Self::Busy { .. }
            | Self::TokenExpired
            | Self::TokenCut
            | Self::TokenRefused { .. }
            | Self::TokenRevoked
            | Self::TokenNotForThis { .. }
            | Self::TooLong(_)
            | Self::NonceRefused { .. }
            | Self::StatementRefused { .. } => false,
        }
    }

    /// Whether a connection that stands shows that it is over.
    pub(crate) fn is_of_connecting(&self) -> bool {
        match self {
            Self::NameNotResolved { .. }
            | Self::NoRoute { .. }
            | Self::Proxy { .. }
            | Self::Unreachable { .. }
            | Self::PinMismatch { .. }
            | Self::CertificateTime { .. } => true,
            Self::NoLink
            | Self::NotPersonalised
            | Self::NoAddress
            | Self::NoPins
            | Self::Protocol { .. }
            | Self::ClockSet { .. }
            | Self::NotUnderstood { .. }
            | Self::Forgotten { .. }
            | Self::Denied { .. }
            | Self::Busy { .. }
            | Self::TokenExpired
            | Self::TokenCut
            | Self::TokenRefused { .. }
            | Self::TokenRevoked
            | Self::TokenNotForThis { .. }
            | Self::TooLong(_)
            | Self::NonceRefused { .. }
            | Self::StatementRefused { .. } => false,
        }
    }

    /// How much a fault tells, when several servers failed in different ways: an impostor
    /// is worth more attention than a timeout.
    pub(crate) fn gravity(&self) -> u8 {
        match self {
            Self::PinMismatch { .. } | Self::NoPins => 6,
            Self::Protocol { .. } => 5,
            Self::CertificateTime { .. } => 4,
            Self::Busy { .. } | Self::Denied { .. } => 3,
            Self::NotUnderstood { .. } | Self::Forgotten { .. } | Self::Proxy { .. } => 2,
            Self::NameNotResolved { .. } | Self::NoRoute { .. } => 1,
            Self::Unreachable { .. }
            | Self::NoLink
            | Self::NotPersonalised
            | Self::NoAddress
            | Self::ClockSet { .. }
            | Self::TokenExpired
            | Self::TokenCut
            | Self::TokenRefused { .. }
            | Self::TokenRevoked
            | Self::TokenNotForThis { .. }
            | Self::TooLong(_)
            | Self::NonceRefused { .. }
            | Self::StatementRefused { .. } => 0,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoLink => f.write_str("no network link: no port has a carrier"),
            Self::NotPersonalised => {
                f.write_str("this medium was never personalised: it knows no Muster server")
            }
            Self::NoAddress => f.write_str("no network address: nobody answers DHCP"),
            Self::NameNotResolved { cause } => write!(f, "name not resolved: {cause}"),
            Self::NoRoute { cause } => write!(f, "no route to the server: {cause}"),
            Self::Proxy { cause } => write!(f, "proxy {cause}"),
            Self::Unreachable { tried: 1, cause } => write!(f, "server unreachable (tried 1 URL): {cause}"),
            Self::Unreachable { tried, cause } => {
                write!(f, "server unreachable (tried {tried} URLs): {cause}")
            }
            Self::PinMismatch { expected, got, authority } => {
                write_mismatch(f, expected, got.as_ref())?;
                authority
                    .iter()
                    .try_for_each(|cause| write!(f, "; no CA of the medium vouches for it: {cause}"))
            }
            Self::NoPins => {
                f.write_str("a server was named but no CA hash: there is nobody this machine may trust")
            }
            Self::CertificateTime { cause } => write!(f, "certificate time: {cause}"),
            Self::ClockSet { cause } => {
                write!(f, "certificate time: {cause}; the clock was set from the server")
            }
            Self::Protocol { message } => write!(
                f,
                "the server does not speak protocol version {}: {message}",
                protocol::ProtocolVersion::CURRENT
            ),
            Self::NotUnderstood { message } => write!(f, "the server refused: {message}"),
            Self::Forgotten { message } => write!(f, "not registered any more: {message}"),
            Self::Denied { message } => write!(f, "denied: {message}"),
            Self::Busy { message } => write!(f, "the server takes no more machines now: {message}"),
            Self::TokenExpired => f.write_str("the bootstrap token expired, showing a code instead"),
            Self::TokenCut => {
                f.write_str("the bootstrap token is cut off or damaged, showing a code instead")
            }
            Self::TokenRefused { message } => {
                write!(f, "the bootstrap token was refused ({message}), showing a code instead")
            }
            Self::NonceRefused { message } => {
                write!(f, "the boot nonce was refused ({message}), showing a code instead")
            }
            Self::StatementRefused { message } => {
                write!(f, "the earlier key's word was refused ({message}), showing a code instead")
            }
            Self::TokenRevoked => f.write_str("the bootstrap token was revoked, showing a code instead"),
            Self::TokenNotForThis { message } => {
                f.write_str("the bootstrap token does not cover this machine")?;
                // The server's usual words are the same again.
                if !message.ends_with("does not cover this machine") {
                    write!(f, " ({message})")?;
                }
                f.write_str(", showing a code instead")
            }
            Self::TooLong(Overlong::CommandLine(length)) => write!(
                f,
                "the kernel command line is full with {length} bytes and was cut, showing a code instead"
            ),
            Self::TooLong(Overlong::Token(length)) => write!(
                f,
                "the bootstrap token has {length} characters, at most {MAX_TOKEN_LEN} are accepted, showing a \
                 code instead"
            ),
        }
    }
}

fn write_mismatch(f: &mut fmt::Formatter<'_>, expected: &[SpkiPin], got: Option<&SpkiPin>) -> fmt::Result {
    let expected: Vec<String> = match expected {
        [] => vec!["a CA of the medium".to_owned()],
        pins => pins.iter().map(SpkiPin::to_string).collect(),
    };
    write!(f, "pin mismatch: expected {}", expected.join(" or "))?;
    match got {
        Some(pin) => write!(f, ", got {pin}"),
        None => f.write_str(", got a certificate that the expected key did not sign"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn each() -> Vec<Fault> {
        let text = || "x".to_owned();
        vec![
            Fault::NoLink,
            Fault::NotPersonalised,
            Fault::NoAddress,
            Fault::NameNotResolved { cause: text() },
            Fault::NoRoute { cause: text() },
            Fault::Proxy { cause: text() },
            Fault::Unreachable { tried: 3, cause: text() },
            impostor(),
            Fault::NoPins,
            Fault::CertificateTime { cause: text() },
            Fault::ClockSet { cause: text() },
            Fault::Protocol { message: text() },
            Fault::NotUnderstood { message: text() },
            Fault::Forgotten { message: text() },
            Fault::Denied { message: text() },
            Fault::Busy { message: text() },
            Fault::TokenExpired,
            Fault::TokenCut,
            Fault::TokenRefused { message: text() },
            Fault::TokenRevoked,
            Fault::TokenNotForThis { message: text() },
            Fault::TooLong(Overlong::CommandLine(2_047)),
            Fault::TooLong(Overlong::Token(1_100)),
            Fault::NonceRefused { message: text() },
            Fault::StatementRefused { message: text() },
        ]
    }

    fn impostor() -> Fault {
        Fault::PinMismatch { expected: vec![SpkiPin([1; 32])], got: Some(SpkiPin([2; 32])), authority: None }
    }

    #[test]
    fn operators_guide_has_a_row_for_every_code_and_no_other() {
        let guide = include_str!("../../../docs/console-codes.md");
        let rows = guide.lines().filter_map(|line| line.strip_prefix("| E")?.split_once(" |"));
        let told: Vec<String> = rows.map(|(number, _)| format!("E{number}")).collect();
        let mut codes: Vec<&str> = each().iter().map(Fault::code).collect();
        codes.dedup();
        assert_eq!(told, codes);
    }

    #[test]
    fn every_fault_says_what_to_do() {
        for fault in each() {
            assert!(fault.remedy().len() > 20 && fault.remedy().ends_with('.'), "{fault:?}");
            assert!(fault.to_string().is_ascii(), "{fault:?}");
        }
    }

    #[test]
    fn codes_are_stable() {
        let codes: Vec<&str> = each().iter().map(Fault::code).collect();
        assert_eq!(
            codes.join(" "),
            "E10 E11 E12 E13 E14 E15 E20 E21 E21 E22 E22 E23 E24 E25 E30 E31 E40 E41 E42 E43 E44 E45 E45 E46 E47"
        );
    }

    #[test]
    fn a_token_for_other_machines_says_so_once_and_why_if_the_server_does() {
        let told = |message: &str| Fault::TokenNotForThis { message: message.to_owned() }.to_string();
        assert_eq!(
            told("bootstrap token does not cover this machine"),
            "the bootstrap token does not cover this machine, showing a code instead"
        );
        assert!(told("it looks like db-07").contains("machine (it looks like db-07), showing"));
    }

    #[test]
    fn an_impostor_is_named_by_both_keys() {
        assert_eq!(
            impostor().to_string(),
            "pin mismatch: expected sha256:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE, \
             got sha256:AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI"
        );
    }
}
