//! The screen: 80 by 25, the smallest there is, which also leaves a 640x480 picture whole.
//!
//! The code in letters five rows high at the place [`protocol::glyphs`] names, then facts on
//! the left and the QR code on the right. Colours help and are never needed.

use super::dialogue::wrap_kept;
use super::form::Page;
use super::qr;
use super::screen::{Facts, Headline, Screen, Trouble, minutes, seconds, wrap};
use crate::state::Fault;
use protocol::glyphs::{BANNER_COLUMN, BANNER_ROW, banner};

/// Columns that are written. The last one stays free: a terminal would wrap there.
pub(crate) const COLUMNS: usize = 79;
/// Rows that are written.
pub(crate) const ROWS: usize = 25;
/// Filled cell of a large letter.
const FULL: char = '\u{2588}';
/// Row of the first fact.
const FACTS_ROW: usize = 9;
/// Row below the last link under a fault: what the machine is stays in sight.
const LINKS_END: usize = 15;
/// Row of a form's first line.
const FORM_ROW: usize = 2;
/// Column where the facts' values begin.
const VALUE_COLUMN: usize = 17;
/// Column where the QR code begins.
const QR_COLUMN: usize = 50;

/// How a row is coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tint {
    /// As the terminal is.
    Plain,
    /// Bright: the code.
    Bright,
    /// Green: done.
    Good,
    /// Yellow: look at this.
    Warning,
    /// Red: this is in the way.
    Bad,
}

/// One row of the screen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    /// What it says, at most [`COLUMNS`] characters.
    pub(crate) text: String,
    /// Its colour.
    pub(crate) tint: Tint,
}

/// The screen as [`ROWS`] rows.
pub(crate) fn render(screen: &Screen) -> Vec<Row> {
    let mut sheet = Sheet::titled(concat!("Muster ", env!("CARGO_PKG_VERSION")));
    let after = sheet.headline(screen);
    let qr = qr_of(screen);
    let (width, tint) = match &qr {
        // Rows beside the QR code keep its colours as they are.
        Some(_) => (QR_COLUMN - 2, Tint::Plain),
        None => (COLUMNS - 1, Tint::Warning),
    };
    let mut row = sheet.facts(after, screen, width) + 1;
    for note in &screen.notes {
        let text = format!("{} {note}. {}", note.code(), note.remedy());
        row = sheet.paragraph(row, &text, width, tint);
    }
    for problem in screen.remarks.iter().chain(&screen.problems) {
        row = sheet.paragraph(row, problem, width, tint);
    }
    for (row, line) in (FACTS_ROW..).zip(qr.iter().flatten()) {
        sheet.put(row, QR_COLUMN, line, Tint::Plain);
    }
    let by_hand = if offers_form(screen) { "N sets up the network by hand   " } else { "" };
    sheet.put(ROWS - 1, 1, &format!("{by_hand}{}", footer(&screen.headline)), Tint::Plain);
    sheet.rows
}

/// Whether setting up the network by hand may help.
fn offers_form(screen: &Screen) -> bool {
    screen.trouble.as_ref().is_some_and(|trouble| trouble.fault.is_of_network())
}

/// A page of a form as [`ROWS`] rows, with `note` at the bottom. Where the page is too long, what
/// is asked stays in sight.
pub(crate) fn render_form(page: &Page, note: &str) -> Vec<Row> {
    let mut sheet = Sheet::titled(concat!("Muster ", env!("CARGO_PKG_VERSION"), "   Network by hand"));
    let mut lines: Vec<String> = page.lines.iter().flat_map(|line| wrap_kept(line, COLUMNS - 1)).collect();
    // The end of a long answer is where somebody types.
    let hidden = page.typed.len().saturating_sub(COLUMNS - 5);
    lines.push(format!("> {}_", page.typed.get(hidden..).unwrap_or_default()));
    let room = ROWS - 1 - FORM_ROW;
    let first = lines.len().saturating_sub(room);
    for (row, line) in (FORM_ROW..).zip(lines.iter().skip(first)) {
        sheet.put(row, 1, line, Tint::Plain);
    }
    sheet.put(ROWS - 1, 1, note, Tint::Plain);
    sheet.rows
}

fn footer(headline: &Headline) -> &'static str {
    match headline {
        Headline::Denied { .. } => "R asks again   Ctrl-Alt-Del restarts",
        Headline::Stopping(_) => "",
        Headline::Booting { .. } | Headline::Working(_) => "R tries again now   Ctrl-Alt-Del restarts",
        Headline::Code { .. } | Headline::Approved { .. } | Headline::Registered { .. } => {
            "Ctrl-Alt-Del restarts"
        }
    }
}

struct Sheet {
    rows: Vec<Row>,
}

impl Sheet {
    fn titled(title: &str) -> Self {
        let mut sheet = Self { rows: vec![Row { text: String::new(), tint: Tint::Plain }; ROWS] };
        sheet.put(0, 1, title, Tint::Plain);
        sheet
    }

    /// Writes at a place; what does not fit the screen is left out.
    fn put(&mut self, row: usize, column: usize, text: &str, tint: Tint) {
        let Some(row) = self.rows.get_mut(row) else { return };
        let used = row.text.chars().count();
        row.text.extend(std::iter::repeat_n(' ', column.saturating_sub(used)));
        row.text.extend(text.chars().take(COLUMNS.saturating_sub(column)));
        if tint != Tint::Plain {
            row.tint = tint;
        }
    }

    /// Writes a text over as many rows as it needs above the footer; returns the row after it.
    fn paragraph(&mut self, row: usize, text: &str, width: usize, tint: Tint) -> usize {
        let lines = wrap(text, width.saturating_sub(1));
        let after = row + lines.len();
        for (row, line) in (row..ROWS - 1).zip(lines) {
            self.put(row, 1, &line, tint);
        }
        after
    }

    /// What matters most; returns the first row below it, where that is lower than usual.
    fn headline(&mut self, screen: &Screen) -> usize {
        let mut after = FACTS_ROW;
        match &screen.headline {
            Headline::Booting { phase, number, of, detail } => {
                self.put(BANNER_ROW, 1, &format!("Starting: {phase} ({number}/{of})"), Tint::Bright);
                self.paragraph(BANNER_ROW + 2, detail, COLUMNS - 1, Tint::Plain);
            }
            Headline::Working(doing) => match &screen.trouble {
                Some(trouble) => after = self.trouble(BANNER_ROW, trouble, &screen.facts.links),
                None => self.put(BANNER_ROW, 1, &sentence(doing), Tint::Bright),
            },
            Headline::Code { code, .. } => {
                for (index, line) in banner(code, FULL).iter().enumerate() {
                    self.put(BANNER_ROW + index, BANNER_COLUMN, line.trim_end(), Tint::Bright);
                }
                self.put(FACTS_ROW - 1, 1, &code.spoken(), Tint::Plain);
            }
            Headline::Approved { name } => {
                self.put(BANNER_ROW, 1, &format!("Approved as {name}"), Tint::Good);
                self.put(BANNER_ROW + 1, 1, "Taking up duty.", Tint::Plain);
            }
            Headline::Registered { name, id } => {
                self.put(BANNER_ROW, 1, &format!("Registered as {name}"), Tint::Good);
                self.put(BANNER_ROW + 1, 1, &id.to_string(), Tint::Plain);
                if screen.trouble.is_none() {
                    let work = screen.facts.work.as_deref();
                    let work = work.map_or_else(
                        || "On duty: waiting for work from the server.".to_owned(),
                        |work| format!("At work: {work}"),
                    );
                    self.paragraph(BANNER_ROW + 3, &work, COLUMNS - 1, Tint::Plain);
                }
            }
            Headline::Denied { message, opens_in } => {
                let fault = Fault::Denied { message: message.clone() };
                after = self.trouble(BANNER_ROW, &Trouble { fault, retry_in: None }, &[]);
                if !opens_in.is_zero() {
                    let wait = format!("Wait: {}", minutes(*opens_in));
                    self.put(FACTS_ROW - 2, 1, &wait, Tint::Plain);
                }
            }
            Headline::Stopping(what) => self.put(BANNER_ROW, 1, &sentence(what), Tint::Bright),
        }
        if let (Headline::Registered { .. } | Headline::Approved { .. }, Some(trouble)) =
            (&screen.headline, &screen.trouble)
        {
            after = self.trouble(BANNER_ROW + 3, trouble, &[]);
        }
        after.max(FACTS_ROW)
    }

    /// A fault in full: what, what to do, which links, when next. Returns the row to go on at.
    fn trouble(&mut self, row: usize, trouble: &Trouble, links: &[String]) -> usize {
        let mut row = self.paragraph(row, &told(trouble), COLUMNS - 1, Tint::Bad);
        let advice = format!("What to do: {}", trouble.fault.remedy());
        row = self.paragraph(row, &advice, COLUMNS - 1, Tint::Plain);
        for line in links.iter().flat_map(|link| wrap(link, COLUMNS - 2)) {
            if row < LINKS_END {
                self.put(row, 1, &line, Tint::Plain);
                row += 1;
            }
        }
        self.put(row, 1, &retry(trouble), Tint::Plain);
        row + 2
    }

    fn facts(&mut self, mut row: usize, screen: &Screen, width: usize) -> usize {
        for (label, value) in facts(screen) {
            let lines = wrap(&value, width + 1 - VALUE_COLUMN);
            for (index, line) in lines.iter().enumerate() {
                let bad = label == "Problem" && screen.trouble.is_some();
                let tint = if bad { Tint::Bad } else { Tint::Plain };
                if index == 0 {
                    self.put(row, 1, label, tint);
                }
                if row < ROWS - 1 {
                    self.put(row, VALUE_COLUMN, line, tint);
                }
                row += 1;
            }
        }
        row
    }
}

/// The QR code, where one helps and fits: never beside what is wrong, which needs the room.
fn qr_of(screen: &Screen) -> Option<Vec<String>> {
    let wanted = matches!(screen.headline, Headline::Code { .. } | Headline::Registered { .. });
    let is_calm = screen.trouble.is_none() && screen.notes.is_empty();
    let url = screen.facts.server_url.as_ref().filter(|_| wanted && is_calm)?;
    qr::lines(url, COLUMNS - QR_COLUMN, ROWS - 1 - FACTS_ROW)
}

fn told(trouble: &Trouble) -> String {
    format!("{} {}", trouble.fault.code(), trouble.fault)
}

fn retry(trouble: &Trouble) -> String {
    trouble.retry_in.map_or_else(String::new, |left| format!("Trying again in {} s.", seconds(left)))
}

fn sentence(text: &str) -> String {
    let mut characters = text.chars();
    characters
        .next()
        .map_or_else(String::new, |first| format!("{}{}.", first.to_ascii_uppercase(), characters.as_str()))
}

/// The facts in their order; what is not known is left out.
fn facts(screen: &Screen) -> Vec<(&'static str, String)> {
    let Facts {
        server_url,
        server_name,
        trusted,
        addresses,
        host_name,
        serial,
        product,
        macs,
        switches,
        links: _,
        work: _,
    } = &screen.facts;
    let mut facts = Vec::new();
    if let Headline::Code { code, check, replaced_in } = &screen.headline {
        facts.push(("Bootstrap code", code.to_string()));
        facts.push(("New code in", minutes(*replaced_in)));
        facts.extend(check.iter().map(|check| ("Check", check.to_string())));
    }
    match (server_name, server_url) {
        (Some(name), Some(url)) => {
            let trusted = trusted.as_deref().unwrap_or("not connected");
            facts.push(("Server", format!("{name} ({trusted}) {url}")));
        }
        (None, Some(url)) => facts.push(("Server", url.clone())),
        (_, None) => {}
    }
    let mut addresses = addresses.iter();
    facts.extend(addresses.next().map(|first| ("Address", more(first, addresses.len()))));
    facts.extend(host_name.iter().map(|name| ("Host name", name.clone())));
    if !serial.is_empty() {
        facts.push(("Serial number", serial.clone()));
    }
    let mut macs = macs.iter();
    facts.extend(macs.next().map(|first| ("MAC", more(first, macs.len()))));
    if !product.is_empty() {
        facts.push(("Machine", product.clone()));
    }
    // Good to know; sentences about what is wrong need the room more.
    let has_room = screen.notes.is_empty() && screen.problems.is_empty();
    let mut switches = switches.iter().filter(|_| has_room);
    facts.extend(switches.next().map(|first| ("Switch", more(first, switches.count()))));
    if let (Headline::Code { .. }, Some(trouble)) = (&screen.headline, &screen.trouble) {
        let text = format!("{}. {} {}", told(trouble), trouble.fault.remedy(), retry(trouble));
        facts.push(("Problem", text));
    }
    facts
}

/// `10.0.2.15/24 (eth0) (+2)`
fn more(first: &str, others: usize) -> String {
    if others == 0 { first.to_owned() } else { format!("{first} (+{others})") }
}
