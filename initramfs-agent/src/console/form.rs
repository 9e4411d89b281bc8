//! The form by which a person at the machine sets up its network: one question after the other,
//! each answer checked at once. Keys in, a page out; no I/O and no clock.

use super::keys::Key;
use protocol::cmdline::{NET, PROXY};
use protocol::config::{ProxyUrl, ProxyUrlError};
use protocol::ids::MacAddr;
use protocol::net::{NetPlan, NetSpec, NetSpecError};
use std::time::Duration;

/// How long the form waits for the next key.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5 * 60);
/// Most ports that are listed; more are taken by name.
const MAX_LISTED: usize = 10;
/// Longest answer, in characters.
const MAX_ANSWER: usize = 160;

/// A network port to choose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Port {
    /// Name of the link.
    pub(crate) name: String,
    /// Hardware address.
    pub(crate) mac: MacAddr,
    /// Driver, empty when unknown.
    pub(crate) driver: String,
    /// Whether something is on the other end.
    pub(crate) has_carrier: bool,
}

/// What the person wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Choice {
    /// For the network.
    pub(crate) plan: NetPlan,
    /// On the way to the servers.
    pub(crate) proxy: Option<ProxyUrl>,
}

impl Choice {
    /// The kernel arguments that would have said the same. A proxy's password is not in them.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let net = self.plan.words().into_iter().map(|word| format!("{NET}={word}"));
        net.chain(self.proxy.iter().map(|proxy| format!("{PROXY}={proxy}"))).collect()
    }
}

/// How a form ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// With an answer.
    Chosen(Choice),
    /// Nobody typed for [`PATIENCE`], or went back before the first question.
    Left,
}

/// What is to be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Page {
    /// What is known, what is wrong, what is asked.
    pub(crate) lines: Vec<String>,
    /// What was typed so far; a password is stars.
    pub(crate) typed: String,
}

/// A question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Question {
    Port,
    Second,
    Mode,
    Vlan,
    Address,
    Gateway,
    Dns,
    Proxy,
    User,
    Password,
    Summary,
}

/// Everything answered so far.
#[derive(Debug, Clone, Default)]
struct Answers {
    /// The first port; `None` is automatic on all of them.
    port: Option<Port>,
    /// What it is bonded with.
    second: Option<Port>,
    spec: NetSpec,
    proxy: Option<ProxyUrl>,
    user: String,
}

/// The form. Not for Debug: a password may be half typed.
pub(crate) struct Form {
    ports: Vec<Port>,
    at: Question,
    answers: Answers,
    /// Questions before this one and what was answered before they were.
    before: Vec<(Question, Answers)>,
    typed: String,
    problem: Option<String>,
    last_key: Duration,
}

impl Form {
    /// A form at its first question.
    pub(crate) fn new(ports: Vec<Port>, now: Duration) -> Self {
        Self {
            ports,
            at: Question::Port,
            answers: Answers::default(),
            before: Vec::new(),
            typed: String::new(),
            problem: None,
            last_key: now,
        }
    }

    /// Takes in ports that came, went or got a carrier.
    pub(crate) fn set_ports(&mut self, ports: Vec<Port>) {
        if self.at == Question::Port && self.ports != ports {
            // What was said about other ports says nothing about these.
            self.problem = None;
        }
        self.ports = ports;
    }

    /// How long the form still waits.
    pub(crate) fn left(&self, now: Duration) -> Duration {
        PATIENCE.saturating_sub(now.saturating_sub(self.last_key))
    }

    /// Takes in keys, none when time alone went by.
    pub(crate) fn press(&mut self, keys: &[Key], now: Duration) -> Option<Outcome> {
        if !keys.is_empty() {
            self.last_key = now;
        }
        for key in keys {
            let outcome = match *key {
                Key::Char(character) if self.typed.len() < MAX_ANSWER => {
                    self.typed.push(character);
                    None
                }
                Key::Char(_) => None,
                Key::Backspace => {
                    self.typed.pop();
                    None
                }
                Key::Back => self.go_back(),
                Key::Enter => self.answer(),
            };
            if outcome.is_some() {
                return outcome;
            }
        }
        self.left(now).is_zero().then_some(Outcome::Left)
    }

    /// Leaves what was typed first, then the question.
    fn go_back(&mut self) -> Option<Outcome> {
        self.problem = None;
        if !self.typed.is_empty() {
            self.typed.clear();
            return None;
        }
        let Some((question, answers)) = self.before.pop() else { return Some(Outcome::Left) };
        (self.at, self.answers) = (question, answers);
        None
    }

    fn answer(&mut self) -> Option<Outcome> {
        let typed = std::mem::take(&mut self.typed);
        self.problem = None;
        if self.at == Question::Summary {
            return self.decide(typed.trim());
        }
        let known = self.answers.clone();
        match self.take(&typed) {
            Ok(next) => {
                self.before.push((self.at, known));
                self.at = next;
            }
            Err(problem) => {
                self.answers = known;
                self.problem = Some(problem);
                // To be corrected; a password is typed anew.
                if self.at != Question::Password {
                    self.typed = typed;
                }
            }
        }
        None
    }

    fn decide(&mut self, typed: &str) -> Option<Outcome> {
        match typed {
            "y" | "Y" | "yes" => return Some(Outcome::Chosen(self.choice())),
            "n" | "N" | "no" => *self = Self::new(std::mem::take(&mut self.ports), self.last_key),
            _ => self.problem = Some("Type y or n.".to_owned()),
        }
        None
    }

    fn choice(&self) -> Choice {
        let plan = match self.answers.port {
            None => NetPlan::Automatic,
            Some(_) => NetPlan::Static(vec![self.answers.spec.clone()]),
        };
        Choice { plan, proxy: self.answers.proxy.clone() }
    }

    /// Takes an answer in; the next question, or what is wrong with the answer as a sentence.
    fn take(&mut self, typed: &str) -> Result<Question, String> {
        let text = typed.trim();
        match self.at {
            Question::Port => self.take_port(text),
            Question::Second => self.take_second(text),
            Question::Mode => self.take_mode(text),
            Question::Vlan => self.take_vlan(text),
            Question::Address => self.take_addresses(text),
            Question::Gateway => self.take_gateways(text),
            Question::Dns => self.take_dns(text),
            Question::Proxy => self.take_proxy(text),
            Question::User => Ok(self.take_user(text)),
            Question::Password => self.take_password(typed),
            Question::Summary => Ok(Question::Summary),
        }
    }

    fn take_port(&mut self, text: &str) -> Result<Question, String> {
        if text.eq_ignore_ascii_case("n") {
            return Ok(Question::Proxy);
        }
        let port = chosen_port(&self.ports, text)?;
        self.answers.spec.link = Some(port.mac.to_string());
        self.answers.port = Some(port);
        Ok(if self.ports.len() > 1 { Question::Second } else { Question::Vlan })
    }

    fn take_second(&mut self, text: &str) -> Result<Question, String> {
        if text.is_empty() {
            return Ok(Question::Vlan);
        }
        let Answers { spec, second, .. } = &mut self.answers;
        let port = chosen_port(&self.ports, text)?;
        let members = format!("{}+{}", spec.link.take().unwrap_or_default(), port.mac);
        spec.bond = read(&[("bond", &members)])?.bond;
        *second = Some(port);
        Ok(Question::Mode)
    }

    fn take_mode(&mut self, text: &str) -> Result<Question, String> {
        if let Some(bond) = self.answers.spec.bond.as_mut().filter(|_| !text.is_empty()) {
            let members = bond.members.join("+");
            bond.mode =
                read(&[("bond", &members), ("mode", text)])?.bond.map(|bond| bond.mode).unwrap_or_default();
        }
        Ok(Question::Vlan)
    }

    fn take_vlan(&mut self, text: &str) -> Result<Question, String> {
        self.answers.spec.vlan = read(&each("vlan", text))?.vlan;
        Ok(Question::Address)
    }

    fn take_addresses(&mut self, text: &str) -> Result<Question, String> {
        let addresses = read(&each("addr", text))?.addresses;
        let next = if addresses.is_empty() { Question::Dns } else { Question::Gateway };
        self.answers.spec.addresses = addresses;
        Ok(next)
    }

    /// A gateway is judged beside the addresses: it needs one of its family.
    fn take_gateways(&mut self, text: &str) -> Result<Question, String> {
        let spec = &mut self.answers.spec;
        let own: Vec<String> = spec.addresses.iter().map(ToString::to_string).collect();
        let own = own.iter().map(|address| ("addr", address.as_str()));
        let items: Vec<_> = own.chain(each("gw", text)).collect();
        spec.gateways = read(&items)?.gateways;
        Ok(Question::Dns)
    }

    fn take_dns(&mut self, text: &str) -> Result<Question, String> {
        self.answers.spec.dns = read(&each("dns", text))?.dns;
        Ok(Question::Proxy)
    }

    fn take_proxy(&mut self, text: &str) -> Result<Question, String> {
        if text.is_empty() {
            return Ok(Question::Summary);
        }
        if text.contains('@') {
            return Err("Leave user and password out here: they are asked next.".to_owned());
        }
        let proxy = text.parse().map_err(|error: ProxyUrlError| sentence(&error))?;
        self.answers.proxy = Some(proxy);
        Ok(Question::User)
    }

    fn take_user(&mut self, text: &str) -> Question {
        text.clone_into(&mut self.answers.user);
        if text.is_empty() { Question::Summary } else { Question::Password }
    }

    fn take_password(&mut self, typed: &str) -> Result<Question, String> {
        let Answers { proxy, user, .. } = &mut self.answers;
        let with_login = proxy.take().map(|proxy| proxy.with_login(user, typed)).transpose();
        *proxy = with_login.map_err(|error| sentence(&error))?;
        Ok(Question::Summary)
    }

    /// What to show now.
    pub(crate) fn page(&self) -> Page {
        let mut lines = if self.at == Question::Port {
            self.port_lines()
        } else if self.at == Question::Summary {
            self.summary_lines()
        } else {
            self.known_lines()
        };
        if !lines.is_empty() {
            lines.push(String::new());
        }
        lines.extend(self.problem.clone());
        lines.push(self.question());
        let is_secret = self.at == Question::Password;
        let typed = if is_secret { "*".repeat(self.typed.len()) } else { self.typed.clone() };
        Page { lines, typed }
    }

    fn question(&self) -> String {
        let text = match self.at {
            Question::Port => {
                return match default_port(&self.ports) {
                    Some((number, _)) => format!(
                        "Which port? Its number or name; n for automatic on all ports; Enter for {number}."
                    ),
                    None => "No network port is there yet. Wait for one, or n for automatic.".to_owned(),
                };
            }
            Question::Second => {
                "A second port, to bond the two into one? Its number or name; Enter for none."
            }
            Question::Mode => {
                "How the bond shares the work? 802.3ad when the switch has a port channel for it; Enter for \
                 active-backup."
            }
            Question::Vlan => "Which VLAN? A number from 1 to 4094; Enter for none.",
            Question::Address => {
                "Which address? With its prefix, such as 10.0.0.5/24, or several; Enter for automatic."
            }
            Question::Gateway => "Which gateway? Such as 10.0.0.1; Enter for none.",
            Question::Dns => {
                "Which name servers? Such as 10.0.0.53, at most three; Enter for none of your own."
            }
            Question::Proxy => {
                "Which HTTP proxy to the server? Such as http://10.0.0.3:3128; Enter for none of your own."
            }
            Question::User => "Which user at the proxy? Enter for none.",
            Question::Password => "Which password at the proxy? It is not shown.",
            Question::Summary => "Use it? y uses it, n starts over.",
        };
        text.to_owned()
    }

    fn port_lines(&self) -> Vec<String> {
        let width = |text: fn(&Port) -> usize| self.ports.iter().map(text).max().unwrap_or_default();
        let (names, drivers) = (width(|port| port.name.len()), width(|port| port.driver.len()));
        let line = |(index, port): (usize, &Port)| {
            let Port { name, mac, driver, has_carrier } = port;
            let cable = if *has_carrier { "cable plugged in" } else { "no cable" };
            format!("{:>4}  {name:names$}  {mac}  {driver:drivers$}  {cable}", index + 1)
        };
        let mut lines: Vec<String> = self.ports.iter().enumerate().take(MAX_LISTED).map(line).collect();
        let more = self.ports.len().saturating_sub(MAX_LISTED);
        if more > 0 {
            lines.push(format!("      and {more} more, which are taken by name"));
        }
        lines
    }

    /// The answers so far, a line each.
    fn known_lines(&self) -> Vec<String> {
        let Answers { port, second, spec, proxy, user: _ } = &self.answers;
        let list = |values: Vec<String>| Some(values.join(" ")).filter(|text| !text.is_empty());
        let mode = spec.bond.as_ref().map(|bond| bond.mode.as_str()).unwrap_or_default();
        let (label, shown_port) = match (port, second) {
            (None, _) => ("Port", "all, automatic".to_owned()),
            (Some(port), None) => ("Port", format!("{} ({})", port.name, port.mac)),
            (Some(port), Some(second)) => ("Bond", format!("{} + {}, {mode}", port.name, second.name)),
        };
        let asked = |question: Question| self.before.iter().any(|(asked, _)| *asked == question);
        let addresses = list(spec.addresses.iter().map(ToString::to_string).collect())
            .or_else(|| asked(Question::Address).then(|| "automatic".to_owned()));
        let facts = [
            (label, Some(shown_port)),
            ("VLAN", spec.vlan.map(|vlan| vlan.to_string())),
            ("Address", addresses),
            ("Gateway", list(spec.gateways.iter().map(ToString::to_string).collect())),
            ("DNS", list(spec.dns.iter().map(ToString::to_string).collect())),
            ("Proxy", proxy.as_ref().map(ToString::to_string)),
        ];
        let line = |(label, value): (&str, Option<String>)| Some(format!("{label:<9}{}", value?));
        facts.into_iter().filter_map(line).collect()
    }

    fn summary_lines(&self) -> Vec<String> {
        let mut lines = self.known_lines();
        lines.push(String::new());
        lines.push("The same without questions, on the kernel command line:".to_owned());
        lines.extend(self.choice().arguments());
        lines
    }
}

/// The port that Enter takes and its number: the first with a cable.
fn default_port(ports: &[Port]) -> Option<(usize, &Port)> {
    let plugged = ports.iter().position(|port| port.has_carrier).unwrap_or_default();
    ports.get(plugged).map(|port| (plugged + 1, port))
}

/// A port by its number, name or hardware address.
fn chosen_port(ports: &[Port], text: &str) -> Result<Port, String> {
    let by_number = || text.parse::<usize>().ok().and_then(|number| ports.get(number.checked_sub(1)?));
    let named = |port: &&Port| port.name.eq_ignore_ascii_case(text) || text.parse() == Ok(port.mac);
    let found = if text.is_empty() {
        default_port(ports).map(|(_, port)| port)
    } else {
        ports.iter().find(named).or_else(by_number)
    };
    found.cloned().ok_or_else(|| "There is no such port.".to_owned())
}

/// Every word of an answer as an item of its own.
fn each<'a>(key: &'static str, text: &'a str) -> Vec<(&'static str, &'a str)> {
    text.split([' ', ',']).filter(|word| !word.is_empty()).map(|word| (key, word)).collect()
}

/// Reads items as `muster.net=` would. A comma in an answer would begin another item.
fn read(items: &[(&'static str, &str)]) -> Result<NetSpec, String> {
    if items.is_empty() {
        return Ok(NetSpec::default());
    }
    let item = |(key, value): &(&'static str, &str)| format!("{key}={}", value.replace(',', ";"));
    let items: Vec<String> = items.iter().map(item).collect();
    items.join(",").parse().map_err(|error: NetSpecError| sentence(&error))
}

/// An error as the form shows it.
fn sentence(error: &dyn std::error::Error) -> String {
    format!("That does not work: {error}.")
}

#[cfg(test)]
pub(super) mod tests;
