//! Licences by name: what Debian's copyright files say, as SPDX expressions.
//!
//! A machine-readable copyright file (DEP-5, `copyright-format/1.0`) names the licence of every group of files in
//! `License:` fields, in Debian's own short names. Files in free form say nothing a program could be sure of.

use std::collections::BTreeSet;

/// How a machine-readable copyright file introduces itself.
const FORMATS: [&str; 2] = ["copyright-format/1.0", "dep5"];
/// Start of identifiers for licences that SPDX has no name for.
const OTHER: &str = "LicenseRef-debian-";
/// Debian's names that are neither SPDX's nor GNU's.
const NAMES: &[(&str, &str)] = &[
    ("Expat", "MIT"),
    ("MIT", "MIT"),
    ("BSD-2-clause", "BSD-2-Clause"),
    ("BSD-3-clause", "BSD-3-Clause"),
    ("BSD-4-clause", "BSD-4-Clause"),
    ("ISC", "ISC"),
    ("Zlib", "Zlib"),
    ("Apache-2.0", "Apache-2.0"),
    ("BSL-1.0", "BSL-1.0"),
    ("CC0", "CC0-1.0"),
    ("CC0-1.0", "CC0-1.0"),
    ("CC-BY-SA-4.0", "CC-BY-SA-4.0"),
    ("MPL-1.1", "MPL-1.1"),
    ("MPL-2.0", "MPL-2.0"),
    ("Artistic", "Artistic-1.0-Perl"),
    ("0BSD", "0BSD"),
    ("X11", "X11"),
];

/// The licences of a package, from its copyright file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Licences {
    /// Expressions that all apply, each to some of the files.
    all: BTreeSet<String>,
    /// Identifiers of [`OTHER`] that they use, with Debian's names.
    pub(crate) other: BTreeSet<(String, String)>,
}

impl Licences {
    /// Reads a copyright file; `None` when it is in free form.
    pub(crate) fn read(copyright: &str) -> Option<Self> {
        let format = copyright.lines().find(|line| !line.trim().is_empty())?;
        if !FORMATS.iter().any(|name| format.to_lowercase().contains(name)) {
            return None;
        }
        let mut licences = Self::default();
        for name in copyright.lines().filter_map(|line| line.strip_prefix("License:")) {
            let name = name.trim();
            if !name.is_empty() {
                let expression = licences.expression(name);
                licences.all.insert(expression);
            }
        }
        Some(licences).filter(|licences| !licences.all.is_empty())
    }

    /// An SPDX expression.
    pub(crate) fn spdx(&self) -> String {
        let parts =
            self.all.iter().map(|one| if one.contains(' ') { format!("({one})") } else { one.clone() });
        let parts: Vec<String> = parts.collect();
        match parts.as_slice() {
            [_] => self.all.iter().cloned().collect(),
            parts => parts.join(" AND "),
        }
    }

    /// `GPL-2+ or Expat`. What is not understood becomes one identifier as a whole.
    fn expression(&mut self, text: &str) -> String {
        let words: Vec<&str> = text.split_whitespace().collect();
        let (names, joints): (Vec<_>, Vec<_>) = (0_usize..).zip(&words).partition(|(at, _)| at % 2 == 0);
        let joint = joints.first().map(|(_, word)| word.to_lowercase());
        let same = joints.iter().all(|(_, word)| Some(word.to_lowercase()) == joint);
        let joined = words.len() % 2 == 1 && same && matches!(joint.as_deref(), None | Some("and" | "or"));
        if !joined {
            return self.one(text);
        }
        let names: Vec<String> = names.into_iter().map(|(_, name)| self.one(name)).collect();
        let joint = joint.unwrap_or_default().to_uppercase();
        names.join(&format!(" {joint} "))
    }

    fn one(&mut self, name: &str) -> String {
        if let Some((_, spdx)) = NAMES.iter().find(|(debian, _)| debian.eq_ignore_ascii_case(name)) {
            return (*spdx).to_owned();
        }
        gnu(name).unwrap_or_else(|| {
            let plain = |c: char| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' };
            let id = format!("{OTHER}{}", name.replace('+', "-plus").chars().map(plain).collect::<String>());
            self.other.insert((id.clone(), name.to_owned()));
            id
        })
    }
}

/// `LGPL-2.1+` and its kin.
fn gnu(name: &str) -> Option<String> {
    let (family, version) = name.split_once('-')?;
    if !["GPL", "LGPL", "AGPL"].contains(&family) {
        return None;
    }
    let (version, or_later) = match version.strip_suffix('+') {
        Some(version) => (version, true),
        None => (version, false),
    };
    let version = match version.trim_end_matches(".0") {
        one @ ("1" | "2" | "3") => format!("{one}.0"),
        "2.1" if family == "LGPL" => "2.1".to_owned(),
        _ => return None,
    };
    Some(format!("{family}-{version}-{}", if or_later { "or-later" } else { "only" }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(licences: &[&str]) -> Licences {
        let fields: String =
            licences.iter().map(|name| format!("\nFiles: *\nLicense: {name}\n text\n")).collect();
        let head = "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n";
        Licences::read(&format!("{head}{fields}")).unwrap()
    }

    #[test]
    fn debians_names_become_those_of_spdx() {
        for (debian, spdx) in [
            ("GPL-2", "GPL-2.0-only"),
            ("GPL-2+", "GPL-2.0-or-later"),
            ("LGPL-2.1+", "LGPL-2.1-or-later"),
            ("AGPL-3.0+", "AGPL-3.0-or-later"),
            ("Expat", "MIT"),
            ("GPL-2+ or Expat", "GPL-2.0-or-later OR MIT"),
            ("GPL-2 and ISC and Zlib", "GPL-2.0-only AND ISC AND Zlib"),
            ("public-domain", "LicenseRef-debian-public-domain"),
            ("GPL-2+ with OpenSSL exception", "LicenseRef-debian-GPL-2-plus-with-OpenSSL-exception"),
            ("GPL-9", "LicenseRef-debian-GPL-9"),
        ] {
            assert_eq!(read(&[debian]).spdx(), spdx, "{debian}");
        }
    }

    #[test]
    fn the_licences_of_all_files_are_joined_once_each() {
        let licences = read(&["GPL-2+", "GPL-2+ or Expat", "GPL-2+", "odd"]);
        assert_eq!(
            licences.spdx(),
            "GPL-2.0-or-later AND (GPL-2.0-or-later OR MIT) AND LicenseRef-debian-odd"
        );
        assert_eq!(
            licences.other.into_iter().collect::<Vec<_>>(),
            [("LicenseRef-debian-odd".to_owned(), "odd".to_owned())]
        );
    }

    #[test]
    fn a_file_in_free_form_says_nothing() {
        assert_eq!(Licences::read("This package was debianized by someone.\nLicense: GPL\n"), None);
        assert_eq!(Licences::read(""), None);
    }
}
