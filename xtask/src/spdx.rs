//! Licence expressions: may we ship it under one of the licences we accept?

/// Licences whose terms Muster, an Apache-2.0 work shipped as a binary, keeps by carrying
/// their texts along.
pub(crate) const ACCEPTED: [&str; 10] = [
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Zlib",
];

/// Whether an SPDX expression can be satisfied by [`ACCEPTED`]. `/` is the old way to write OR.
pub(crate) fn is_accepted(expression: &str) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut reader = Reader { words: &words };
    let accepted = reader.any_of();
    reader.words.is_empty() && accepted == Some(true)
}

/// Recursive descent over `any = all {OR all}`, `all = one {AND one}`. `None`: not an expression.
struct Reader<'a> {
    words: &'a [&'a str],
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Option<&'a str> {
        let (first, rest) = self.words.split_first()?;
        self.words = rest;
        Some(first)
    }

    fn take(&mut self, word: &str) -> bool {
        let found = self.words.first() == Some(&word);
        if found {
            self.next();
        }
        found
    }

    fn any_of(&mut self) -> Option<bool> {
        let mut accepted = self.all_of()?;
        while self.take("OR") {
            accepted |= self.all_of()?;
        }
        Some(accepted)
    }

    fn all_of(&mut self) -> Option<bool> {
        let mut accepted = self.one()?;
        while self.take("AND") {
            accepted &= self.one()?;
        }
        Some(accepted)
    }

    fn one(&mut self) -> Option<bool> {
        if self.take("(") {
            let accepted = self.any_of()?;
            return self.take(")").then_some(accepted);
        }
        let mut name = self.next()?.to_owned();
        if self.take("WITH") {
            name = format!("{name} WITH {}", self.next()?);
        }
        Some(ACCEPTED.contains(&name.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_read_as_spdx_means_them() {
        for yes in [
            "MIT",
            "GPL-3.0-only OR MIT",
            "Unlicense/MIT",
            "(MIT OR Apache-2.0) AND Unicode-3.0",
            "Apache-2.0 WITH LLVM-exception OR GPL-2.0-only",
        ] {
            assert!(is_accepted(yes), "{yes}");
        }
        for no in ["", "GPL-3.0-only", "MIT AND OpenSSL", "MPL-2.0", "MIT OR", "(MIT", "MIT MIT"] {
            assert!(!is_accepted(no), "{no}");
        }
    }
}
