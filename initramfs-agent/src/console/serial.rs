//! The serial line: plain lines that scroll by, for people, logs and tests.
//!
//! Only changes are said, each with the seconds since the kernel started; the code's own line
//! comes again every minute for whoever connects later. Two lines are an interface and stand
//! alone: `Bootstrap code: ABC-DEF` and `Registered as NAME (UUID)`.

use super::screen::{Headline, Screen, Trouble, seconds, wrap};
use crate::state::Fault;
use std::time::Duration;

/// Longest line, in characters.
const WIDTH: usize = 79;
/// How often the code's line is repeated.
const REPEAT: Duration = Duration::from_secs(60);

/// What was said already. Feed it every screen; it says what is new.
#[derive(Debug, Default)]
pub(crate) struct Announcer {
    headline: Option<Headline>,
    trouble: Option<Fault>,
    notes: Vec<Fault>,
    problems: usize,
    remarks: Vec<String>,
    addresses: Vec<String>,
    switches: Vec<String>,
    server: Option<String>,
    repeat_at: Duration,
    /// Nobody can press a key, so none is told of.
    is_keyless: bool,
}

/// `[   3.41] network: eth0 10.0.2.15/24`, wrapped to the line's width.
pub(crate) fn milestone(now: Duration, name: &str, text: &str) -> Vec<String> {
    stamped(now, &format!("{name}: {text}"))
}

/// A sentence with the time before it, further lines indented.
pub(crate) fn stamped(now: Duration, text: &str) -> Vec<String> {
    let stamp = format!("[{:7.2}] ", now.as_secs_f64());
    let indent = " ".repeat(stamp.len());
    let lines = wrap(text, WIDTH.saturating_sub(stamp.len()));
    lines
        .into_iter()
        .enumerate()
        .map(|(index, line)| format!("{}{line}", if index == 0 { &stamp } else { &indent }))
        .collect()
}

impl Announcer {
    /// For lines that people only read.
    pub(crate) fn without_keys() -> Self {
        Self { is_keyless: true, ..Self::default() }
    }

    /// The lines that `screen` adds to what was said before.
    pub(crate) fn announce(&mut self, now: Duration, screen: &Screen) -> Vec<String> {
        let mut lines = Vec::new();
        self.facts(now, screen, &mut lines);
        self.faults(now, screen, &mut lines);
        let known = self.headline.take();
        if !known.as_ref().is_some_and(|known| same(known, &screen.headline)) {
            lines.extend(headline(now, screen, known.as_ref()));
            self.repeat_at = now + REPEAT;
        } else if now >= self.repeat_at {
            lines.extend(reminder(&screen.headline));
            self.repeat_at = now + REPEAT;
        }
        self.headline = Some(screen.headline.clone());
        lines
    }

    fn facts(&mut self, now: Duration, screen: &Screen, lines: &mut Vec<String>) {
        let facts = &screen.facts;
        if facts.addresses != self.addresses {
            let text =
                if facts.addresses.is_empty() { "no address".to_owned() } else { facts.addresses.join(", ") };
            lines.extend(milestone(now, "network", &text));
            self.addresses.clone_from(&facts.addresses);
        }
        for switch in &facts.switches {
            if !self.switches.contains(switch) {
                lines.extend(milestone(now, "switch", switch));
            }
        }
        self.switches.clone_from(&facts.switches);
        // Once for each address: a connection that is made again is no news.
        if let Some(trusted) = facts.trusted.as_ref().filter(|_| facts.server_url != self.server) {
            let name = facts.server_name.as_deref().unwrap_or_default();
            let url = facts.server_url.as_deref().unwrap_or_default();
            lines.extend(milestone(now, "server", &format!("{name} ({trusted}) {url}")));
            self.server.clone_from(&facts.server_url);
        }
    }

    fn faults(&mut self, now: Duration, screen: &Screen, lines: &mut Vec<String>) {
        for problem in screen.problems.iter().skip(self.problems) {
            lines.extend(milestone(now, "settings", problem));
        }
        self.problems = screen.problems.len();
        for remark in &screen.remarks {
            if !self.remarks.contains(remark) {
                lines.extend(stamped(now, remark));
            }
        }
        self.remarks.clone_from(&screen.remarks);
        for note in &screen.notes {
            if !self.notes.contains(note) {
                lines.extend(fault(now, note, None, self.is_keyless));
            }
        }
        self.notes.clone_from(&screen.notes);
        let trouble = screen.trouble.as_ref();
        if trouble.map(|trouble| &trouble.fault) != self.trouble.as_ref() {
            match trouble {
                Some(Trouble { fault: met, retry_in }) => {
                    lines.extend(fault(now, met, *retry_in, self.is_keyless));
                    lines.extend(screen.facts.links.iter().flat_map(|link| stamped(now, link)));
                }
                None => lines.extend(stamped(now, "the problem is over")),
            }
        }
        self.trouble = trouble.map(|trouble| trouble.fault.clone());
    }
}

fn fault(now: Duration, fault: &Fault, retry_in: Option<Duration>, is_keyless: bool) -> Vec<String> {
    let mut text = format!("{} {fault}. {}", fault.code(), fault.remedy());
    if let Some(left) = retry_in {
        text.push_str(&format!(" Next try in {} s.", seconds(left)));
    }
    if fault.is_of_network() && !is_keyless {
        text.push_str(" Press N to set up the network by hand.");
    }
    stamped(now, &text)
}

/// Whether two headlines say the same but for what moves: countdowns, and how far a phase is.
fn same(one: &Headline, other: &Headline) -> bool {
    match (one, other) {
        (Headline::Booting { number: a, .. }, Headline::Booting { number: b, .. }) => a == b,
        (Headline::Code { code: a, check: c, .. }, Headline::Code { code: b, check: d, .. }) => {
            a == b && c == d
        }
        (Headline::Denied { message: a, opens_in: c }, Headline::Denied { message: b, opens_in: d }) => {
            a == b && c.is_zero() == d.is_zero()
        }
        _ => one == other,
    }
}

fn headline(now: Duration, screen: &Screen, before: Option<&Headline>) -> Vec<String> {
    match &screen.headline {
        Headline::Booting { phase, number, of, detail } => {
            let text = if detail.is_empty() { String::new() } else { format!(": {detail}") };
            stamped(now, &format!("phase {phase} ({number}/{of}){text}"))
        }
        // While there is trouble, its own line says more.
        Headline::Working(_) if screen.trouble.is_some() => Vec::new(),
        Headline::Working(doing) => stamped(now, doing),
        Headline::Code { code, check, .. } => {
            let mut lines = milestone(now, "code", "type it into the dashboard to bootstrap this machine");
            lines.extend(reminder(&screen.headline));
            lines.extend(wrap(&format!("Spoken: {}", code.spoken()), WIDTH));
            lines.extend(check.iter().map(|check| format!("Check: {check}")));
            lines
        }
        Headline::Approved { name } => milestone(now, "approved", name),
        Headline::Registered { name, id } => {
            let mut lines = match before {
                Some(Headline::Registered { .. }) => milestone(now, "renamed", name),
                _ => milestone(now, "registered", name),
            };
            lines.push(format!("Registered as {name} ({id})"));
            lines
        }
        Headline::Denied { message, opens_in } => {
            let text = if opens_in.is_zero() {
                "E30 the wait after the denial is over: R asks again".to_owned()
            } else {
                format!("E30 denied: {message}. R asks again in {} s.", seconds(*opens_in))
            };
            stamped(now, &text)
        }
        Headline::Stopping(what) => stamped(now, what),
    }
}

/// What is said again every minute.
fn reminder(headline: &Headline) -> Option<String> {
    match headline {
        Headline::Code { code, .. } => Some(format!("Bootstrap code: {code}")),
        Headline::Booting { .. }
        | Headline::Working(_)
        | Headline::Approved { .. }
        | Headline::Registered { .. }
        | Headline::Denied { .. }
        | Headline::Stopping(_) => None,
    }
}
