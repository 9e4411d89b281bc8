//! What is linked into the agent: crates from the list that is made with this program, and the language's and
//! the C library from the agent itself.

use serde::Deserialize;

/// Made by `make docs` from the lock file and held against it by `make check`.
const LIST: &str = include_str!("agent-crates.json");
/// What the agent says first when it is asked; programs of other versions say another.
const ABOUT: &str = concat!("muster-agent ", env!("CARGO_PKG_VERSION"), "\n");
/// What compiler and C library leave in every program.
const RUSTC: &[u8] = b"rustc version ";
const GLIBC: &[u8] = b"GNU C Library (";
/// Longest of those notes.
const MAX_NOTE: usize = 100;

/// A crate.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Crate {
    pub(crate) name: String,
    pub(crate) version: String,
    /// An SPDX expression.
    pub(crate) license: String,
    /// SHA-256 of the crate file; our own crates have none.
    pub(crate) checksum: Option<String>,
    /// Numbers of the texts that come with it.
    pub(crate) texts: Vec<usize>,
}

#[derive(Debug, Deserialize)]
struct List {
    crates: Vec<Crate>,
    texts: Vec<String>,
}

/// The agent's contents.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Linked {
    /// Sorted by name; empty for an agent of another version, whose crates are not known.
    pub(crate) crates: Vec<Crate>,
    /// Licence texts, by number.
    pub(crate) texts: Vec<String>,
    /// Version of the compiler and so of the standard library.
    pub(crate) rustc: Option<String>,
    /// Version of Debian's glibc, where it is linked statically.
    pub(crate) glibc: Option<String>,
}

impl Linked {
    /// What is in this agent.
    pub(crate) fn of(agent: &[u8]) -> Result<Self, serde_json::Error> {
        let known = find(agent, ABOUT.as_bytes()).is_some();
        let list = if known { serde_json::from_str(LIST)? } else { List { crates: vec![], texts: vec![] } };
        let rustc = note(agent, RUSTC).and_then(|note| Some(note.split_whitespace().next()?.to_owned()));
        let glibc = note(agent, GLIBC)
            .and_then(|note| Some(note.split_once(" GLIBC ")?.1.split_once(')')?.0.to_owned()));
        Ok(Self { crates: list.crates, texts: list.texts, rustc, glibc })
    }
}

/// What follows `start`, up to a NUL or a line feed.
fn note<'a>(program: &'a [u8], start: &[u8]) -> Option<&'a str> {
    let at = find(program, start)?.checked_add(start.len())?;
    let text = program.get(at..)?;
    let end = text.iter().take(MAX_NOTE).position(|byte| matches!(byte, 0 | b'\n'))?;
    std::str::from_utf8(text.get(..end)?).ok()
}

fn find(program: &[u8], text: &[u8]) -> Option<usize> {
    let (first, rest) = text.split_first()?;
    let mut from = 0;
    loop {
        let at = from + program.get(from..)?.iter().position(|byte| byte == first)?;
        from = at + 1;
        if program.get(from..)?.starts_with(rest) {
            return Some(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_of_this_version_has_the_crates_of_the_list() {
        let program = format!(
            "\x7fELF rr rustc version 1.95.0 (5980 2026)\0{ABOUT}\nGNU C Library (Debian GLIBC 2.36-9+deb12u14) stable\n"
        );
        let linked = Linked::of(program.as_bytes()).unwrap();
        assert_eq!(linked.rustc.as_deref(), Some("1.95.0"));
        assert_eq!(linked.glibc.as_deref(), Some("2.36-9+deb12u14"));
        for name in ["protocol", "ring", "tokio"] {
            assert!(linked.crates.iter().any(|one| one.name == name), "{name}");
        }
        let texts = linked.texts.len();
        assert!(linked.crates.iter().flat_map(|one| &one.texts).all(|number| *number < texts));
        assert!(linked.crates.iter().all(|one| one.checksum.as_ref().is_none_or(|sum| sum.len() == 64)));
    }

    #[test]
    fn an_agent_of_another_version_says_what_it_can() {
        let linked = Linked::of(b"muster-agent 0.0.1\nrustc version 1.80.0\0").unwrap();
        assert_eq!((linked.crates.len(), linked.rustc.as_deref()), (0, Some("1.80.0")));
        assert_eq!(Linked::of(b"").unwrap(), Linked::default());
    }
}
