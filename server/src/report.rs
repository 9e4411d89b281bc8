//! Errors and paths as the log tells them.

use protocol::token::redact;
use std::error::Error;

/// Longest path that the log shows, in characters.
const MAX_SHOWN_PATH: usize = 120;

/// An error and its causes on one line.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// A path as the log may show it: short, without what looks like a token.
pub(crate) fn shown_path(path: &str) -> String {
    redact(&path.chars().take(MAX_SHOWN_PATH).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_in_the_log_is_short_and_shows_no_token() {
        assert_eq!(shown_path("/x/eyJhbGciOiJkaXIi..a.b.c"), "/x/[redacted]");
        assert_eq!(shown_path(&"/a".repeat(500)).len(), MAX_SHOWN_PATH);
    }
}
