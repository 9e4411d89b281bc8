//! What the console says, apart from how: one value that both the screen and the serial line
//! are rendered from. Times are already differences, so rendering needs no clock.

use crate::state::Fault;
use protocol::code::{BootstrapCode, Fingerprint};
use protocol::ids::MachineId;
use std::time::Duration;

/// Everything there is to show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Screen {
    /// What matters most.
    pub(crate) headline: Headline,
    /// What is wrong now, beside a headline that stays readable.
    pub(crate) trouble: Option<Trouble>,
    /// Obstacles that were overcome, such as an expired token.
    pub(crate) notes: Vec<Fault>,
    /// Who and where the machine is.
    pub(crate) facts: Facts,
    /// Sentences about settings that could not be used.
    pub(crate) problems: Vec<String>,
    /// Sentences about how the machine got here, such as why the first server is not used.
    pub(crate) remarks: Vec<String>,
}

/// What matters most.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Headline {
    /// A phase of the boot.
    Booting {
        /// Its name.
        phase: &'static str,
        /// Its number, from 1.
        number: usize,
        /// How many there are.
        of: usize,
        /// What it is at.
        detail: String,
    },
    /// Something that takes a moment, or waits while there is trouble.
    Working(&'static str),
    /// A code to type.
    Code {
        /// The code.
        code: BootstrapCode,
        /// What the operator compares; known once a server proved itself.
        check: Option<Fingerprint>,
        /// Until the server replaces the code.
        replaced_in: Duration,
    },
    /// Approved, not yet on duty.
    Approved {
        /// The machine's name.
        name: String,
    },
    /// On duty.
    Registered {
        /// The machine's name.
        name: String,
        /// Its id.
        id: MachineId,
    },
    /// An operator said no.
    Denied {
        /// The server's sentence.
        message: String,
        /// Until asking again makes sense.
        opens_in: Duration,
    },
    /// About to restart or switch off.
    Stopping(&'static str),
}

/// A fault and when the next try is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trouble {
    /// What is wrong.
    pub(crate) fault: Fault,
    /// Until the next try, when the machine makes one by itself.
    pub(crate) retry_in: Option<Duration>,
}

/// Who and where the machine is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Facts {
    /// Address of the server in use or tried next.
    pub(crate) server_url: Option<String>,
    /// What the server calls itself, or its id, once it proved itself.
    pub(crate) server_name: Option<String>,
    /// By what it is trusted right now, such as `pin OK`; `None` while not connected.
    pub(crate) trusted: Option<String>,
    /// Addresses with prefix and link, such as `10.0.2.15/24 (eth0)`.
    pub(crate) addresses: Vec<String>,
    /// Host name by DHCP.
    pub(crate) host_name: Option<String>,
    /// SMBIOS serial number.
    pub(crate) serial: String,
    /// SMBIOS vendor and product.
    pub(crate) product: String,
    /// Hardware addresses.
    pub(crate) macs: Vec<String>,
    /// Switches heard, such as `sw-3 port Eth1/7 (eth0)`.
    pub(crate) switches: Vec<String>,
    /// How each link stands, while there is no network.
    pub(crate) links: Vec<String>,
    /// What the runner of the machine's jobs said last, while it runs.
    pub(crate) work: Option<String>,
}

/// `07:41`, rounded up to whole seconds so that a countdown ends at zero.
pub(crate) fn minutes(left: Duration) -> String {
    let seconds = seconds(left);
    format!("{:02}:{:02}", seconds / 60, seconds % 60)
}

/// Whole seconds, rounded up.
pub(crate) fn seconds(left: Duration) -> u64 {
    left.as_secs() + u64::from(left.subsec_nanos() > 0)
}

/// Breaks `text` into lines of at most `width` characters, at spaces where there are any.
/// Anything that is not printable ASCII becomes a question mark: what reaches a terminal can
/// neither move its cursor nor change its width.
pub(crate) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let mut word: String = word.chars().map(|c| if c.is_ascii_graphic() { c } else { '?' }).collect();
        loop {
            let line =
                lines.last_mut().filter(|line| line.is_empty() || line.len() + 1 + word.len() <= width);
            match line {
                Some(line) if line.is_empty() && word.len() > width => {
                    // Longer than a line: the pins of E21. All ASCII, so any index is a border.
                    let rest = word.split_off(width);
                    line.push_str(&word);
                    lines.push(String::new());
                    word = rest;
                }
                Some(line) => {
                    if !line.is_empty() {
                        line.push(' ');
                    }
                    line.push_str(&word);
                    break;
                }
                None => lines.push(String::new()),
            }
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn words_stay_whole_where_they_fit() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("abcdefghij k", 4), ["abcd", "efgh", "ij k"]);
        assert_eq!(wrap("", 4), [""]);
    }

    #[test]
    fn countdowns_round_up() {
        assert_eq!(minutes(Duration::from_millis(460_500)), "07:41");
        assert_eq!(minutes(Duration::ZERO), "00:00");
    }

    proptest! {
        #[test]
        fn no_line_is_longer_than_asked(text in "\\PC{0,200}", width in 1usize..90) {
            for line in wrap(&text, width) {
                prop_assert!(line.len() <= width && line.bytes().all(|b| b == b' ' || b.is_ascii_graphic()));
            }
        }
    }
}
