//! Errors as the console and the kernel log tell them.

use std::error::Error;

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

/// Outside text for a terminal: what moves a cursor or changes the reading direction is left out,
/// and so is what is longer than `most` characters.
pub(crate) fn printable(text: &str, most: usize) -> String {
    text.chars().filter(|c| !c.is_control() && *c < '\u{2000}').take(most).collect()
}
