//! A form on a terminal that shows lines: every page once, and then each letter as it is typed.

use super::form::Page;
use super::screen::wrap;

/// Longest line, in characters.
const WIDTH: usize = 79;
/// Stands before what is typed.
const PROMPT: &str = "> ";

/// What stands on the terminal.
#[derive(Debug, Default)]
pub(super) struct Dialogue {
    shown: Option<Page>,
    /// Other lines came between: what was typed is somewhere above.
    interrupted: bool,
}

impl Dialogue {
    /// Whether a form is open.
    pub(super) fn is_open(&self) -> bool {
        self.shown.is_some()
    }

    /// The bytes that bring the terminal up to date; none when it is.
    pub(super) fn update(&mut self, page: &Page) -> String {
        let mut out = String::new();
        match &self.shown {
            Some(shown) if shown.lines == page.lines && !self.interrupted => {
                match page.typed.strip_prefix(shown.typed.as_str()) {
                    Some(more) => out.push_str(more),
                    None => out.push_str(&retyped(&shown.typed, &page.typed)),
                }
            }
            Some(shown) if shown.lines == page.lines => {
                out.push_str(PROMPT);
                out.push_str(&page.typed);
            }
            Some(_) | None => {
                out.push_str("\r\n\r\n");
                for line in page.lines.iter().flat_map(|line| wrap_kept(line, WIDTH)) {
                    out.push_str(&line);
                    out.push_str("\r\n");
                }
                out.push_str(PROMPT);
                out.push_str(&page.typed);
            }
        }
        self.shown = Some(page.clone());
        self.interrupted = false;
        out
    }

    /// What has to stand before other lines; after them the typing goes on on a line of its own.
    pub(super) fn interrupt(&mut self) -> &'static str {
        if !self.is_open() || self.interrupted {
            return "";
        }
        self.interrupted = true;
        "\r\n"
    }

    /// Closes the form; the cursor goes to a line of its own.
    pub(super) fn close(&mut self) -> &'static str {
        let end = self.interrupt();
        *self = Self::default();
        end
    }
}

/// Takes letters back until both texts agree, and types the rest.
fn retyped(shown: &str, typed: &str) -> String {
    let same = shown.bytes().zip(typed.bytes()).take_while(|(a, b)| a == b).count();
    let wiped = "\u{8} \u{8}".repeat(shown.len().saturating_sub(same));
    wiped + typed.get(same..).unwrap_or_default()
}

/// Wraps long lines only: columns of short ones stay as they are.
pub(super) fn wrap_kept(line: &str, width: usize) -> Vec<String> {
    if line.len() <= width && line.bytes().all(|b| b == b' ' || b.is_ascii_graphic()) {
        return vec![line.to_owned()];
    }
    wrap(line, width)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(line: &str, typed: &str) -> Page {
        Page { lines: vec![line.to_owned()], typed: typed.to_owned() }
    }

    #[test]
    fn a_page_is_said_once_and_letters_as_they_come() {
        let mut dialogue = Dialogue::default();
        assert_eq!(dialogue.update(&page("Which VLAN?", "")), "\r\n\r\nWhich VLAN?\r\n> ");
        assert_eq!(dialogue.update(&page("Which VLAN?", "12")), "12");
        assert_eq!(dialogue.update(&page("Which VLAN?", "12")), "");
        assert_eq!(dialogue.update(&page("Which VLAN?", "1")), "\u{8} \u{8}");
        assert_eq!(dialogue.update(&page("Which VLAN?", "34")), "\u{8} \u{8}34");
        assert_eq!(dialogue.update(&page("Which address?", "")), "\r\n\r\nWhich address?\r\n> ");
    }

    #[test]
    fn lines_in_between_leave_what_was_typed_whole() {
        let mut dialogue = Dialogue::default();
        assert_eq!(dialogue.interrupt(), "", "no form is open");
        dialogue.update(&page("Which VLAN?", "12"));
        assert_eq!(dialogue.interrupt(), "\r\n");
        assert_eq!(dialogue.interrupt(), "");
        assert_eq!(dialogue.update(&page("Which VLAN?", "12")), "> 12");
        assert_eq!(dialogue.close(), "\r\n");
        assert!(!dialogue.is_open());
    }
}
