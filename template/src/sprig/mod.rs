//! The generic functions of sprig 3.2.3.
//!
//! Left out is what is not generic or not pure: the environment, the network, the clock, randomness,
//! and everything that needs cryptography. Their names are known, so that a template that asks for
//! one is refused with the reason. Dates are computed in UTC, for there is no table of time zones.

mod dates;
mod decimal;
mod dicts;
mod encoding;
mod json;
mod layout;
mod lists;
mod math;
mod paths;
mod regex;
mod regex_syntax;
mod semver;
mod strings;
mod types;
mod urls;
mod words;

pub(crate) use regex::Regexes;

use crate::function::Function;

/// All functions, by subject.
pub(crate) fn tables() -> [&'static [Function]; 10] {
    [
        &strings::FUNCTIONS,
        &lists::FUNCTIONS,
        &dicts::FUNCTIONS,
        &math::FUNCTIONS,
        &types::FUNCTIONS,
        &encoding::FUNCTIONS,
        &regex::FUNCTIONS,
        &semver::FUNCTIONS,
        &dates::FUNCTIONS,
        &paths::FUNCTIONS,
    ]
}

/// Names of sprig and Go that are not here, and why.
const ABSENT: [(&str, &[&str]); 6] = [
    ("it reads the server's environment", &["env", "expandenv"]),
    ("it asks the network", &["getHostByName"]),
    ("it asks the clock; pass the time in", &["now", "ago"]),
    (
        "it is random; pass the value in, as a param",
        &[
            "randAlpha",
            "randAlphaNum",
            "randAscii",
            "randBytes",
            "randInt",
            "randNumeric",
            "shuffle",
            "uuidv4",
        ],
    ),
    (
        "it needs cryptography; pass the value in, as a param",
        &[
            "bcrypt",
            "buildCustomCert",
            "decryptAES",
            "derivePassword",
            "encryptAES",
            "genCA",
            "genCAWithKey",
            "genPrivateKey",
            "genSelfSignedCert",
            "genSelfSignedCertWithKey",
            "genSignedCert",
            "genSignedCertWithKey",
            "htpasswd",
            "sha1sum",
            "sha256sum",
        ],
    ),
    ("there are no function values to call", &["call"]),
];

/// Why there is no function of this name, when it is one of Go's or sprig's.
pub(crate) fn why_absent(name: &str) -> Option<&'static str> {
    ABSENT.iter().find(|(_, names)| names.contains(&name)).map(|(reason, _)| *reason)
}
