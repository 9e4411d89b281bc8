//! From how things stand to what the console says. Pure.

use crate::console::screen::{Facts, Headline, Screen, Trouble};
use crate::net::{NetEvent, Source, Status};
use crate::report::chain;
use crate::state::{Fault, Flow, NetView, Stage};
use protocol::code::Fingerprint;
use protocol::inventory::{Inventory, clean_text, is_useful_serial};
use std::time::Duration;

/// What the flow itself does not know.
#[derive(Debug, Clone, Default)]
pub(crate) struct Surroundings {
    /// Servers by their addresses.
    pub(crate) servers: Vec<String>,
    /// What the server calls itself, once it proved itself.
    pub(crate) server_name: Option<String>,
    /// What the operator compares, for that server.
    pub(crate) check: Option<Fingerprint>,
    /// What the machine is made of, as far as that lasts.
    pub(crate) inventory: Inventory,
    /// How the network stands.
    pub(crate) network: Status,
    /// Switches heard on the links.
    pub(crate) switches: Vec<String>,
    /// What the runner of the machine's jobs said last, while it runs.
    pub(crate) work: Option<String>,
    /// Settings that could not be used, and other sentences to keep in sight.
    pub(crate) problems: Vec<String>,
}

/// The network as the flow sees it.
pub(crate) fn net_view(status: &Status) -> NetView {
    use crate::net::Trouble;
    match status.trouble() {
        None => NetView::Ready,
        Some(Trouble::NoLink(_)) => NetView::NoLink,
        Some(Trouble::NoAddress(_)) => NetView::NoAddress,
    }
}

/// The screen at `now`.
pub(crate) fn compose(flow: &Flow, around: &Surroundings, now: Duration) -> Screen {
    let left = |at: Duration| at.saturating_sub(now);
    let headline = match flow.stage() {
        Stage::Ask { .. } => Headline::Working(flow.doing()),
        Stage::Show(shown) => {
            Headline::Code { code: shown.code, check: around.check, replaced_in: left(shown.expires_at) }
        }
        Stage::Enrol { approved } => Headline::Approved { name: clean_text(&approved.machine.name) },
        Stage::Run(running) => Headline::Registered {
            name: clean_text(&running.approved.machine.name),
            id: running.approved.machine.uuid,
        },
        Stage::Denied { message, open_at, .. } => {
            Headline::Denied { message: message.clone(), opens_in: left(*open_at) }
        }
    };
    Screen {
        headline,
        trouble: flow
            .trouble()
            .map(|fault| Trouble { fault: fault.clone(), retry_in: flow.next_try().map(left) }),
        notes: flow.notes().to_vec(),
        facts: facts(flow, around),
        problems: around.problems.clone(),
        remarks: remarks(flow, around),
    }
}

fn remarks(flow: &Flow, around: &Surroundings) -> Vec<String> {
    let left_to_people = "the bootstrap token is good and leaves the approval to an operator";
    let approval = flow.approval_required().then(|| left_to_people.to_owned());
    let failures = flow.failures().filter_map(|(server, fault)| {
        Some(format!("{}: {} {fault}", around.servers.get(server)?, fault.code()))
    });
    approval.into_iter().chain(failures).collect()
}

fn facts(flow: &Flow, around: &Surroundings) -> Facts {
    let Inventory { vendor, product, serial, .. } = &around.inventory;
    Facts {
        server_url: around.servers.get(flow.server()).cloned(),
        server_name: around.server_name.as_deref().map(clean_text),
        trusted: flow.peer().map(|peer| match &peer.authority {
            None => "pin OK".to_owned(),
            Some(authority) => format!("by CA {}", clean_text(authority)),
        }),
        addresses: around
            .network
            .leases()
            .map(|lease| format!("{}/{} ({})", lease.address, lease.prefix, lease.link))
            .collect(),
        host_name: around.network.host_name(),
        serial: if is_useful_serial(serial) { serial.clone() } else { String::new() },
        product: clean_text(&format!("{vendor} {product}")),
        macs: around.network.links.iter().map(|link| link.mac.to_string()).collect(),
        switches: around.switches.iter().map(|switch| clean_text(switch)).collect(),
        links: links(flow, around),
        work: around.work.clone(),
    }
}

/// What is wrong with each link, or which ways out there are when none leads to the server.
fn links(flow: &Flow, around: &Surroundings) -> Vec<String> {
    match (around.network.trouble(), flow.trouble()) {
        (Some(trouble), _) => trouble.details(),
        (None, Some(Fault::NoRoute { .. })) => around.network.ways(),
        (None, _) => Vec::new(),
    }
}

/// A network event as a line.
pub(crate) fn told(event: &NetEvent) -> String {
    match event {
        NetEvent::LinkFound { link, mac, driver } => format!("link {link} found: {mac} ({driver})"),
        NetEvent::LinkUp { link } => format!("link {link} has a carrier"),
        NetEvent::LinkDown { link } => format!("link {link} lost its carrier"),
        NetEvent::Lease(lease) => {
            let origin = match (lease.gateway(), lease.source) {
                (Some(gateway), _) => format!(", gateway {gateway}"),
                (None, Source::Dhcp { .. } | Source::Static) => ", gateway none".to_owned(),
                (None, Source::Dhcp6 { .. }) => " by DHCPv6".to_owned(),
                (None, Source::Router) => " by its router".to_owned(),
            };
            format!("link {} has {}/{}{origin}", lease.link, lease.address, lease.prefix)
        }
        NetEvent::Lost { link, address } => format!("link {link} lost {address}"),
        NetEvent::Problem { link, problem } => format!("link {link}: {}", chain(problem)),
    }
}
