//! What people see: one [`screen::Screen`], drawn in place on the virtual console and told
//! line by line on serial ports. While a [`form`] is open it takes the screen's place, and a
//! dialogue goes on between the lines.
//!
//! `/dev/tty0` and `/dev/ttyS0` are written directly, so that both show the code whatever the
//! kernel's `console=` says (`/dev/console` would only double one of them). With the rescue
//! shell the screen moves to the second virtual console (Alt-F2), and with `verbose` it becomes
//! plain lines among the kernel's messages.

mod dialogue;
pub(crate) mod form;
mod keys;
mod qr;
pub(crate) mod screen;
mod serial;
mod terminal;
#[cfg(test)]
mod tests;
mod vga;

pub(crate) use keys::Key;
pub(crate) use serial::stamped;

use dialogue::Dialogue;
use form::Page;
use protocol::cmdline::ConsoleMode;
use screen::Screen;
use serial::Announcer;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::Duration;
use terminal::Terminal;
use vga::{Row, Tint};

/// Most lines that are kept while no terminal is open yet.
const MAX_BACKLOG: usize = 64;

/// What stands above the rescue shell: a clean screen with a cursor, and the way to the code.
const RESCUE: &str = "\u{1b}[2J\u{1b}[H\u{1b}[?25hRescue shell. The bootstrap code is on the second \
    console: Alt-F2 goes there, Alt-F1 comes back.\r\n";

/// All terminals.
#[derive(Debug, Default)]
pub(crate) struct Console {
    drawn: Vec<Terminal>,
    lines: Vec<Terminal>,
    /// Virtual console in verbose mode: lines, and the whole screen when something changed.
    mixed: Vec<Terminal>,
    announcer: Announcer,
    frame: Vec<Row>,
    /// The form on terminals that show lines, while one is open.
    dialogue: Dialogue,
    backlog: Vec<String>,
}

impl Console {
    /// Opens the terminals that `mode` asks for, in place of those open now. What was said
    /// before there were any is said now. Returns a sentence for each that cannot be opened.
    pub(crate) fn open(&mut self, mode: &ConsoleMode) -> Vec<String> {
        let mut problems = Vec::new();
        let mut open = |name: &str, keys| match Terminal::open(&Path::new("/dev").join(name), keys) {
            Ok(terminal) => vec![terminal],
            Err(error) => {
                problems.push(format!("cannot open console /dev/{name}: {error}"));
                Vec::new()
            }
        };
        // The rescue shell has tty1 and ttyS0 to itself, as far as keys go.
        let screen = open(if mode.rescue { "tty2" } else { "tty0" }, true);
        if mode.rescue {
            open("tty1", false).iter_mut().for_each(|terminal| terminal.draw(RESCUE));
        }
        self.lines = open("ttyS0", !mode.rescue);
        for name in &mode.terminals {
            self.lines.extend(open(name, true));
        }
        if mode.verbose {
            (self.mixed, self.drawn) = (screen, Vec::new());
        } else {
            (self.drawn, self.mixed) = (screen, Vec::new());
        }
        self.frame.clear();
        let backlog = std::mem::take(&mut self.backlog);
        if !backlog.is_empty() {
            self.print(&backlog);
        }
        problems
    }

    /// A console whose lines go to this program's output, where nobody presses keys.
    ///
    /// # Errors
    /// When there is no output.
    pub(crate) fn to_output() -> io::Result<Self> {
        let output = File::from(io::stdout().as_fd().try_clone_to_owned()?);
        Ok(Self {
            lines: vec![Terminal::output(output)],
            announcer: Announcer::without_keys(),
            ..Self::default()
        })
    }

    /// A console whose lines go to a file.
    #[cfg(test)]
    pub(crate) fn to_file(path: &Path) -> Self {
        Self { lines: vec![Terminal::open(path, false).unwrap()], ..Self::default() }
    }

    /// A console that shows lines on one terminal, and hears its keys.
    #[cfg(test)]
    pub(crate) fn on_line(path: &Path) -> Self {
        Self { lines: vec![Terminal::open(path, true).unwrap()], ..Self::default() }
    }

    /// Shows how things stand. Cheap when nothing changed. Returns what was said on the lines.
    pub(crate) fn show(&mut self, now: Duration, screen: &Screen) -> Vec<String> {
        let rows = vga::render(screen);
        let lines = self.announcer.announce(now, screen);
        if !lines.is_empty() {
            self.print(&lines);
            let whole: Vec<String> = rows.iter().map(|row| row.text.trim_end().to_owned()).collect();
            self.mixed.iter_mut().for_each(|terminal| terminal.print(&whole));
        }
        self.draw(rows);
        lines
    }

    /// Shows a page of a form instead: `note` below it, for what moves.
    pub(crate) fn show_form(&mut self, page: &Page, note: &str) {
        self.draw(vga::render_form(page, note));
        let text = self.dialogue.update(page);
        if !text.is_empty() {
            self.lines.iter_mut().chain(&mut self.mixed).for_each(|terminal| terminal.write(&text));
        }
    }

    /// Closes the form; the next screen takes its place.
    pub(crate) fn close_form(&mut self) {
        let end = self.dialogue.close();
        self.lines.iter_mut().chain(&mut self.mixed).for_each(|terminal| terminal.write(end));
    }

    fn draw(&mut self, rows: Vec<Row>) {
        if rows != self.frame {
            let frame = frame(&rows, self.frame.is_empty());
            self.drawn.iter_mut().for_each(|terminal| terminal.draw(&frame));
            self.frame = rows;
        }
    }

    /// Says a sentence on every terminal that shows lines.
    pub(crate) fn say(&mut self, now: Duration, text: &str) {
        self.print(&stamped(now, text));
    }

    /// Prints lines as they are.
    pub(crate) fn print(&mut self, lines: &[String]) {
        if self.lines.is_empty() && self.mixed.is_empty() {
            let room = MAX_BACKLOG.saturating_sub(self.backlog.len());
            self.backlog.extend(lines.iter().take(room).cloned());
        }
        let gap = self.dialogue.interrupt();
        for terminal in self.lines.iter_mut().chain(&mut self.mixed) {
            terminal.write(gap);
            terminal.print(lines);
        }
    }

    /// Hands over what slow terminals left waiting, and tells which keys were pressed on any.
    pub(crate) fn attend(&mut self) -> Vec<Key> {
        let mut keys = Vec::new();
        for terminal in self.drawn.iter_mut().chain(&mut self.lines).chain(&mut self.mixed) {
            terminal.flush();
            keys.extend(terminal.keys());
        }
        keys
    }
}

/// The bytes that put `rows` on a terminal: over what is there, so that nothing flickers.
fn frame(rows: &[Row], first: bool) -> String {
    let mut out = String::with_capacity(4_096);
    if first {
        // UTF-8, no cursor, no blanking, clean slate.
        out.push_str("\u{1b}%G\u{1b}[?25l\u{1b}[9;0]\u{1b}[2J");
    }
    out.push_str("\u{1b}[H");
    for (index, row) in rows.iter().enumerate() {
        if index > 0 {
            out.push_str("\r\n");
        }
        out.push_str(match row.tint {
            Tint::Plain => "\u{1b}[0m",
            Tint::Bright => "\u{1b}[1;37m",
            Tint::Good => "\u{1b}[1;32m",
            Tint::Warning => "\u{1b}[1;33m",
            Tint::Bad => "\u{1b}[1;31m",
        });
        out.push_str(&row.text);
        out.push_str("\u{1b}[0m\u{1b}[K");
    }
    out.push_str("\u{1b}[J");
    out
}
