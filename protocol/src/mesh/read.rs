//! What comes over the wire about a mesh network, read within limits: neither side keeps more of the other than these.

use super::{HealthCheck, MAX_MESSAGE, MeshNews, MeshReport, MeshReportAnswer, MeshSelf, MeshVip, PublicKey};
use serde::de::{DeserializeOwned, Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::fmt;
use std::marker::PhantomData;

/// Most bytes of [`MeshNews`] and of [`MeshReportAnswer`]: all peers, with the longest names.
pub const MAX_NEWS: usize = 8 << 20;
/// Most bytes of a [`MeshReport`]: about all peers.
pub const MAX_REPORT: usize = 2 << 20;
/// Longest name, in characters, as the machine model has it.
const MAX_NAME: usize = 253;
/// Longest cursor, in bytes.
const MAX_CURSOR: usize = 64;
/// Longest target of a test of health, in characters.
const MAX_TARGET: usize = 1_024;
/// Most addresses of a member, and networks that they are of: one of each family.
pub(super) const FAMILIES: usize = 2;

/// Why something about a mesh network is not read.
#[derive(Debug, thiserror::Error)]
pub enum MeshReadError {
    /// It is too long.
    #[error("what is said about the mesh network has {bytes} bytes, at most {most} are read")]
    TooLong {
        /// Its length.
        bytes: usize,
        /// The limit.
        most: usize,
    },
    /// It is not what it should be.
    #[error("what is said about the mesh network cannot be read")]
    Json(#[from] serde_json::Error),
    /// It has more of something than there may be.
    #[error("what is said about the mesh network has {count} {what}, at most {most} are read")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many.
        count: usize,
        /// The limit.
        most: usize,
    },
    /// Something in it has a value that it cannot have.
    #[error("what is said about the mesh network has {0}")]
    Value(&'static str),
}

/// Reads what is new for a member.
///
/// # Errors
/// When it is too long, no such thing, or beyond the limits.
pub fn read_news(bytes: &[u8]) -> Result<MeshNews, MeshReadError> {
    let news: MeshNews = read(bytes, MAX_NEWS)?;
    at_most("bytes of a cursor", news.cursor.len(), MAX_CURSOR)?;
    news.own.as_ref().map_or(Ok(()), own_place)?;
    news.peers.iter().try_for_each(|peer| name(&peer.name))?;
    news.vips.iter().try_for_each(vip)?;
    Ok(news)
}

/// Reads what a member sees. Characters that move a terminal's cursor are not kept.
///
/// # Errors
/// When it is too long, no such thing, or beyond the limits.
pub fn read_report(bytes: &[u8]) -> Result<MeshReport, MeshReadError> {
    let mut report: MeshReport = read(bytes, MAX_REPORT)?;
    if report.key == Some(PublicKey([0; 32])) {
        return Err(MeshReadError::Value("a public key of zeros"));
    }
    if report.port == 0 {
        return Err(MeshReadError::Value("port 0"));
    }
    words(&mut report.error)?;
    for vip in &mut report.vips {
        name(&vip.name)?;
        words(&mut vip.message)?;
    }
    Ok(report)
}

/// Reads the answer to a report.
///
/// # Errors
/// When it is too long, no such thing, or beyond the limits.
pub fn read_answer(bytes: &[u8]) -> Result<MeshReportAnswer, MeshReadError> {
    let answer: MeshReportAnswer = read(bytes, MAX_NEWS)?;
    answer.grants.iter().try_for_each(|grant| name(&grant.name))?;
    Ok(answer)
}

/// A list of at most so many: what is beyond is not read, however long the list is.
pub(super) fn few<'de, D: Deserializer<'de>, T: Deserialize<'de>, const MOST: usize>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    struct Few<T, const MOST: usize>(PhantomData<T>);

    impl<'de, T: Deserialize<'de>, const MOST: usize> Visitor<'de> for Few<T, MOST> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "a list of at most {MOST}")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<T>, A::Error> {
            let mut read = Vec::new();
            while let Some(next) = list.next_element()? {
                if read.len() == MOST {
                    return Err(A::Error::custom(format_args!("more than {MOST} in a list")));
                }
                read.push(next);
            }
            Ok(read)
        }
    }

    deserializer.deserialize_seq(Few::<T, MOST>(PhantomData))
}

fn read<T: DeserializeOwned>(bytes: &[u8], most: usize) -> Result<T, MeshReadError> {
    if bytes.len() > most {
        return Err(MeshReadError::TooLong { bytes: bytes.len(), most });
    }
    Ok(serde_json::from_slice(bytes)?)
}

const fn at_most(what: &'static str, count: usize, most: usize) -> Result<(), MeshReadError> {
    if count > most { Err(MeshReadError::TooMany { what, count, most }) } else { Ok(()) }
}

fn own_place(own: &MeshSelf) -> Result<(), MeshReadError> {
    name(&own.network)?;
    name(&own.name)?;
    if own.port == 0 { Err(MeshReadError::Value("port 0")) } else { Ok(()) }
}

fn vip(vip: &MeshVip) -> Result<(), MeshReadError> {
    name(&vip.name)?;
    if vip.check.problems().is_empty() {
        Ok(())
    } else {
        Err(MeshReadError::Value("a test of health with values that it cannot have"))
    }
}

/// A name that can be shown and written in a line of a file.
fn name(name: &str) -> Result<(), MeshReadError> {
    // Bytes first: nothing is counted that is far too long anyway.
    if name.len() > MAX_NAME * 4 || name.chars().count() > MAX_NAME || name.chars().any(char::is_control) {
        return Err(MeshReadError::Value("a name that is none"));
    }
    Ok(())
}

fn words(words: &mut String) -> Result<(), MeshReadError> {
    at_most("characters in a sentence", words.chars().count(), MAX_MESSAGE)?;
    words.retain(|c| !c.is_control());
    Ok(())
}

impl HealthCheck {
    /// Everything that speaks against it, each beginning with the field.
    pub fn problems(&self) -> Vec<String> {
        let within = |field: &str, value: u16, least: u16, most: u16| {
            let fits = (least..=most).contains(&value);
            (!fits).then(|| format!("{field}: {value} is not within {least} and {most}"))
        };
        let target = self.target_problem().map(|problem| format!("Target: {problem}"));
        [
            target,
            within("Interval", self.interval, 1, 300),
            within("Timeout", self.timeout, 1, 60),
            within("HealthyThreshold", self.healthy_threshold, 1, 100),
            within("UnhealthyThreshold", self.unhealthy_threshold, 1, 100),
            within("Holdoff", self.holdoff, 0, 3_600),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    fn target_problem(&self) -> Option<String> {
        use super::CheckKind;
        let target = self.target.as_str();
        if target.chars().count() > MAX_TARGET || target.chars().any(char::is_control) {
            return Some(format!("it is longer than {MAX_TARGET} characters, or has a line break"));
        }
        match self.kind {
            CheckKind::None if target.is_empty() => None,
            CheckKind::None => Some("nothing is tried without a Type; give tcp, http or exec".to_owned()),
            CheckKind::Tcp => (!is_place(target))
                .then(|| format!("{target:?} is no HOST:PORT; give one, or :PORT of the machine itself")),
            CheckKind::Http => {
                let rest = target.strip_prefix("http://").or_else(|| target.strip_prefix("https://"));
                let host = rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/'));
                let fits = host && !target.contains(' ');
                (!fits)
                    .then(|| format!("{target:?} is no URL; give one such as http://127.0.0.1:8080/health"))
            }
            CheckKind::Exec => target.trim().is_empty().then(|| "give a command of the shell".to_owned()),
        }
    }
}

/// `HOST:PORT` or `:PORT`.
fn is_place(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else { return false };
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let host_fits = match bare {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => host.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.' || b == b'-'),
    };
    let digits = (1..=5).contains(&port.len()) && port.bytes().all(|byte| byte.is_ascii_digit());
    host_fits && digits && port.parse::<u16>().is_ok_and(|port| port > 0)
}

#[cfg(test)]
mod tests;
