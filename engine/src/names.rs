//! What objects may be called, and how architectures are (`spec/machine-model.md` 1.4).
//!
//! Names are keys in URLs, paths and templates, so each kind says which characters it has.
//! Machines' names are [`crate::machine::Name`], by the same rules.

use protocol::model::Kind;

/// Longest name, in characters: a DNS name's limit.
pub const MAX_NAME: usize = 253;
/// Shortest name, in characters.
pub const MIN_NAME: usize = 2;

/// Architectures by the name that machines have, each with the other names they go by.
const ARCHITECTURES: [(&str, &[&str]); 12] = [
    ("amd64", &["x86_64"]),
    ("386", &["486", "686", "i386", "i486", "i686"]),
    ("arm", &["armel", "armhfp"]),
    ("arm64", &["aarch64"]),
    ("ppc64", &["power9"]),
    ("ppc64le", &[]),
    ("mips", &[]),
    ("mipsle", &["mipsel"]),
    ("mips64", &[]),
    ("mips64le", &["mips64el"]),
    ("s390x", &[]),
    ("rpi4", &[]),
];

/// Why a text cannot be a name. Says of what only where the kind is known: [`Misnamed`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Empty.
    #[error("is empty; give one of {MIN_NAME} to {MAX_NAME} characters")]
    Empty,
    /// Shorter than [`MIN_NAME`].
    #[error("has 1 character, at least {MIN_NAME} are needed")]
    TooShort,
    /// Longer than [`MAX_NAME`].
    #[error("has {0} characters, at most {MAX_NAME} are allowed")]
    TooLong(usize),
    /// Begins with something else than it may.
    #[error("must begin with a letter{}", if *.digit { " or digit" } else { "" })]
    Start {
        /// Whether it may begin with a digit.
        digit: bool,
    },
    /// A character it must not have.
    #[error("must not contain {found:?}; use letters, digits, spaces, dashes, underscores{}", and_more(.more))]
    Character {
        /// The character.
        found: char,
        /// What it may have beside those.
        more: &'static [char],
    },
    /// A character that no identifier of a template has.
    #[error("must not contain {found:?}; use letters of ASCII, digits and underscores")]
    Identifier {
        /// The character.
        found: char,
    },
}

fn and_more(more: &[char]) -> String {
    let named = more.iter().map(|c| match c {
        '.' => "dots",
        '/' => "slashes",
        '@' => "at signs",
        _ => "others",
    });
    let named: Vec<&str> = named.collect();
    match named.split_last() {
        None => String::new(),
        Some((last, [])) => format!(" and {last}"),
        Some((last, rest)) => format!(", {} and {last}", rest.join(", ")),
    }
}

/// A [`NameError`] and what is misnamed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{noun} name {error}")]
pub struct Misnamed {
    /// Of what kind.
    pub noun: &'static str,
    /// Why.
    pub error: NameError,
}

/// How the names of a kind are made.
struct Rule {
    /// Whether the first character may be a digit.
    digit_first: bool,
    /// Whether templates say it behind a dot (`.secrets.NAME`): letters of ASCII, digits and `_` alone.
    identifier: bool,
    /// What it may have behind the first character, beside letters, digits, spaces, `-` and `_`.
    more: &'static [char],
}

/// The rule of a kind. Machines and jobs go by their ids; a machine's name has this rule.
const fn rule(kind: Kind) -> Rule {
    match kind {
        Kind::Machines | Kind::Templates => Rule { digit_first: true, identifier: false, more: &['.'] },
        Kind::Params => Rule { digit_first: false, identifier: false, more: &['.', '/'] },
        Kind::Users => Rule { digit_first: false, identifier: false, more: &['.', '@'] },
        Kind::Secrets | Kind::Variables => Rule { digit_first: false, identifier: true, more: &[] },
        Kind::BootEnvs
        | Kind::Contexts
        | Kind::Images
        | Kind::Jobs
        | Kind::Meshes
        | Kind::Pools
        | Kind::Profiles
        | Kind::RegistryCredentials
        | Kind::Roles
        | Kind::Stages
        | Kind::Tasks
        | Kind::Vips
        | Kind::Workflows => Rule { digit_first: false, identifier: false, more: &['.'] },
    }
}

/// Whether objects of the kind may have this name.
///
/// # Errors
/// The first rule it breaks.
pub fn check(kind: Kind, name: &str) -> Result<(), Misnamed> {
    check_text(name, &rule(kind)).map_err(|error| Misnamed { noun: kind.noun(), error })
}

fn check_text(name: &str, rule: &Rule) -> Result<(), NameError> {
    let Some(first) = name.chars().next() else { return Err(NameError::Empty) };
    // Bytes first: nothing is counted that is far too long anyway.
    if name.len() > MAX_NAME * 4 || name.chars().count() > MAX_NAME {
        return Err(NameError::TooLong(name.chars().count()));
    }
    if !(first.is_alphabetic() || rule.digit_first && first.is_numeric()) {
        return Err(NameError::Start { digit: rule.digit_first });
    }
    let odd = |c: &char| !(c.is_ascii_alphanumeric() || *c == '_');
    if let Some(found) = name.chars().find(odd).filter(|_| rule.identifier) {
        return Err(NameError::Identifier { found });
    }
    let allowed = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_') || rule.more.contains(c);
    if let Some(found) = name.chars().find(|c| !allowed(c)) {
        return Err(NameError::Character { found, more: rule.more });
    }
    if name.chars().count() < MIN_NAME { Err(NameError::TooShort) } else { Ok(()) }
}

/// The name that machines have for an architecture, whatever alias it is given by; none for
/// one that is not known.
pub fn canonical_arch(arch: &str) -> Option<&'static str> {
    let known = ARCHITECTURES.iter().find(|(name, aliases)| *name == arch || aliases.contains(&arch));
    known.map(|(name, _)| *name)
}

/// Why this is no machine's architecture, with the name to use where it is only another's.
pub(crate) fn arch_problem(arch: &str) -> Option<String> {
    match canonical_arch(arch) {
        Some(name) if name == arch => None,
        Some(name) => Some(format!("Arch {arch:?} is called {name:?} here")),
        None => {
            let names: Vec<&str> = ARCHITECTURES.iter().map(|(name, _)| *name).collect();
            Some(format!("Arch {arch:?} is not known; it is one of {}", names.join(", ")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_its_characters() {
        for (kind, name) in [
            (Kind::Machines, "7é b-c_d.e"),
            (Kind::Templates, "0.tmpl"),
            (Kind::Params, "net/dns servers"),
            (Kind::Users, "ops@example.org"),
            (Kind::Stages, "Größe 2"),
            (Kind::Profiles, "ab"),
        ] {
            assert_eq!(check(kind, name), Ok(()), "{name}");
        }
    }

    #[test]
    fn names_that_break_a_rule_are_refused_in_these_words() {
        for (kind, name, message) in [
            (Kind::Stages, "", "stage name is empty; give one of 2 to 253 characters"),
            (Kind::Machines, "a", "machine name has 1 character, at least 2 are needed"),
            (Kind::Stages, "9lives", "stage name must begin with a letter"),
            (Kind::Machines, "-a", "machine name must begin with a letter or digit"),
            (
                Kind::Machines,
                "a/b",
                "machine name must not contain '/'; use letters, digits, spaces, dashes, underscores and dots",
            ),
            (
                Kind::Params,
                "a@b",
                "param name must not contain '@'; use letters, digits, spaces, dashes, underscores, dots and slashes",
            ),
        ] {
            assert_eq!(check(kind, name).unwrap_err().to_string(), message);
        }
        for stranger in ["a\\b", "a[b", "a]b", "a{b", "a}b", "a\nb", "a:b", "a\0b", "../ab"] {
            assert!(check(Kind::Machines, stranger).is_err(), "{stranger:?}");
        }
        let error = check(Kind::Tasks, &"a".repeat(254)).unwrap_err();
        assert_eq!(error.to_string(), "task name has 254 characters, at most 253 are allowed");
        assert_eq!(check(Kind::Tasks, &"é".repeat(253)), Ok(()));
    }

    #[test]
    fn architectures_have_one_name_and_are_known_by_others() {
        for (arch, name) in [
            ("amd64", "amd64"),
            ("x86_64", "amd64"),
            ("i686", "386"),
            ("armhfp", "arm"),
            ("aarch64", "arm64"),
            ("power9", "ppc64"),
            ("mips64el", "mips64le"),
            ("mipsel", "mipsle"),
        ] {
            assert_eq!(canonical_arch(arch), Some(name));
        }
        assert_eq!(canonical_arch("vax"), None);
        assert_eq!(arch_problem("amd64"), None);
        assert_eq!(arch_problem("x86_64").unwrap(), "Arch \"x86_64\" is called \"amd64\" here");
        assert!(arch_problem("vax").unwrap().ends_with("s390x, rpi4"));
    }
}
