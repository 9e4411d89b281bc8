//! The network set up by the person at the console: before anything else is configured
//! (`muster.net=ask`), or later, when N is pressed beside a fault of the network.

use crate::console::form::{Choice, Form, Outcome, PATIENCE, Port};
use crate::console::screen::minutes;
use crate::console::{Console, Key};
use crate::deadline::Uptime;
use crate::net::{LinkStatus, NetEvent, Network, Status};
use crate::power::{Power, Requests};
use crate::runtime::beside;
use protocol::config::ProxyUrl;
use std::future::pending;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::interval;

/// How often keys are looked at while a form is open: typing feels immediate.
pub(crate) const KEYS_EVERY: Duration = Duration::from_millis(50);

/// What a choice takes effect through.
#[derive(Debug)]
pub(crate) struct Levers {
    /// Takes another plan at any time; none on a machine without netlink.
    pub(crate) network: Option<Network>,
    /// The proxy that the next connection goes through.
    pub(crate) proxy: watch::Sender<Option<ProxyUrl>>,
}

/// The form beside a running machine.
pub(crate) struct Desk {
    form: Option<Form>,
    levers: Levers,
}

impl Desk {
    /// A desk without a form.
    pub(crate) fn new(levers: Levers) -> Self {
        Self { form: None, levers }
    }

    /// Whether a form is open: keys are for it.
    pub(crate) fn is_open(&self) -> bool {
        self.form.is_some()
    }

    /// The proxy that connections go through now.
    pub(crate) fn proxy(&self) -> Option<ProxyUrl> {
        self.levers.proxy.borrow().clone()
    }

    /// Opens a form, where there is a network to set up.
    pub(crate) fn open(&mut self, status: &Status, console: &mut Console, now: Duration) {
        if self.levers.network.is_some() {
            console.say(now, &introduction("the form closes"));
            self.form = Some(Form::new(ports(status), now));
        }
    }

    /// Takes in how links stand now.
    pub(crate) fn look(&mut self, status: &Status) {
        if let Some(form) = &mut self.form {
            form.set_ports(ports(status));
        }
    }

    /// Takes in keys; what was chosen is set in motion.
    pub(crate) fn press(&mut self, keys: &[Key], console: &mut Console, now: Duration) {
        let Some(outcome) = self.form.as_mut().and_then(|form| form.press(keys, now)) else { return };
        self.form = None;
        console.close_form();
        match outcome {
            Outcome::Left => console.say(now, "network by hand: left as it was"),
            Outcome::Chosen(choice) => {
                tell(&choice, console, now);
                if choice.proxy.is_some() {
                    self.levers.proxy.send_replace(choice.proxy);
                }
                if let Some(network) = self.levers.network.clone() {
                    beside(async move { network.replan(choice.plan).await });
                }
            }
        }
    }

    /// Shows the form; `false` when none is open.
    pub(crate) fn show(&self, console: &mut Console, now: Duration) -> bool {
        if let Some(form) = &self.form {
            console.show_form(&form.page(), &note(form, now, "the form closes"));
        }
        self.is_open()
    }
}

/// Asks until somebody has answered, or nobody types any more: then `None`.
///
/// # Errors
/// A request to restart or switch off, which ends the form.
pub(crate) async fn ask(
    console: &mut Console,
    uptime: Uptime,
    mut status: watch::Receiver<Status>,
    events: &mut mpsc::Receiver<NetEvent>,
    mut power: Option<&mut Requests>,
) -> Result<Option<Choice>, Power> {
    const THEN: &str = "automatic";
    console.say(uptime.now(), &introduction(THEN));
    let mut form = Form::new(ports(&status.borrow_and_update()), uptime.now());
    let mut ticks = interval(KEYS_EVERY);
    let outcome = loop {
        console.show_form(&form.page(), &note(&form, uptime.now(), THEN));
        let request = async {
            match power.as_deref_mut() {
                Some(requests) => requests.next().await,
                None => pending().await,
            }
        };
        tokio::select! {
            _ = ticks.tick() => {
                if let Some(outcome) = form.press(&console.attend(), uptime.now()) {
                    break Ok(outcome);
                }
            }
            Ok(()) = status.changed() => form.set_ports(ports(&status.borrow_and_update())),
            // Ports that come and go are seen in the form itself.
            Some(_) = events.recv() => {}
            power = request => break Err(power),
        }
    };
    console.close_form();
    match outcome? {
        Outcome::Chosen(choice) => {
            tell(&choice, console, uptime.now());
            Ok(Some(choice))
        }
        Outcome::Left => {
            console.say(uptime.now(), "network by hand: no answer, it is set up automatically");
            Ok(None)
        }
    }
}

fn ports(status: &Status) -> Vec<Port> {
    let port = |link: &LinkStatus| Port {
        name: link.name.clone(),
        mac: link.mac,
        driver: link.driver.clone(),
        has_carrier: link.has_carrier,
    };
    status.links.iter().map(port).collect()
}

/// Says a choice as the kernel arguments that would have made it.
fn tell(choice: &Choice, console: &mut Console, now: Duration) {
    for argument in choice.arguments() {
        console.say(now, &format!("network by hand: {argument}"));
    }
}

/// What stands below the form; `then` is what happens when nobody types.
fn note(form: &Form, now: Duration, then: &str) -> String {
    format!("Esc goes back one question   Without a key for {}: {then}", minutes(form.left(now)))
}

/// What is said before the form on terminals that show lines.
fn introduction(then: &str) -> String {
    let patience = PATIENCE.as_secs() / 60;
    format!("network by hand: Esc goes back one question; without a key for {patience} minutes: {then}")
}
