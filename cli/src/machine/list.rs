//! `muster machine list`: with the filters of the dashboard's Machines page.

use super::{MACHINES, draw_list};
use crate::object;
use crate::rest::decode;
use anyhow::Result;
use protocol::rest::{Machine, ProvisionState};

/// Arguments of `muster machine list`
#[derive(Debug, clap::Args)]
// A group is named after its struct, and that of every other kind has the same name.
#[group(skip)]
pub(crate) struct List {
    #[command(flatten)]
    filters: Filters,
    #[command(flatten)]
    list: object::List,
}

/// What machines have in common; all of it must hold
#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "Machines")]
pub(crate) struct Filters {
    /// Words that must be in its name, UUID, serial number, addresses, roles and the like
    #[arg(short, long, value_name = "WORDS")]
    search: Option<String>,
    /// In one of these states of the Provision column, by commas
    #[arg(long, value_name = "STATE", value_delimiter = ',', value_parser = state)]
    state: Vec<String>,
    /// With one of these machine roles, by commas
    #[arg(long, value_name = "ROLE", value_delimiter = ',')]
    role: Vec<String>,
    /// In one of these mesh networks, by commas; "" for those in none
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    mesh: Vec<String>,
    /// With a heartbeat within the last 60 seconds
    #[arg(long, conflicts_with = "offline")]
    online: bool,
    /// Without one
    #[arg(long)]
    offline: bool,
}

/// By name, as people count: `web-9` before `web-10`.
pub(crate) const ORDER: &str = "NaturalName";

/// The words of the Provision column.
const STATES: [ProvisionState; 5] = [
    ProvisionState::Discovery,
    ProvisionState::Pending,
    ProvisionState::Installing,
    ProvisionState::Installed,
    ProvisionState::Failed,
];

/// A state however it is written: `Installed`, `install-pending`, `discovery mode`, `discovery`.
fn state(text: &str) -> Result<String, String> {
    let plain = |text: &str| text.to_lowercase().replace(['-', '_'], " ");
    let asked = plain(text);
    let found = STATES.iter().map(ToString::to_string).find(|state| {
        let state = plain(state);
        state == asked || state.strip_suffix(" mode") == Some(asked.as_str())
    });
    let all = || STATES.map(|state| state.to_string()).join(", ");
    found.ok_or_else(|| format!("there is no such state; the states are {}", all()))
}

impl Filters {
    /// The same as the server's filters.
    pub(super) fn query(&self) -> Vec<(String, String)> {
        let one = |index: &str, values: &[String]| {
            (!values.is_empty()).then(|| (index.to_owned(), format!("In({})", values.join(","))))
        };
        let status = match (self.online, self.offline) {
            (true, _) => Some("true"),
            (false, true) => Some("false"),
            (false, false) => None,
        };
        [
            self.search.as_ref().map(|words| ("q".to_owned(), words.clone())),
            one("ProvisionState", &self.state),
            one("Roles", &self.role),
            one("MeshNetwork", &self.mesh),
            status.map(|status| ("Online".to_owned(), status.to_owned())),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

pub(crate) async fn list(mut args: List) -> Result<()> {
    let filters = args.filters.query();
    args.list.also(filters, ORDER);
    let answer = args.list.fetch(MACHINES).await?;
    args.list.call.show(&answer, || {
        let machines: Vec<Machine> = decode(&answer)?;
        Ok(draw_list(&machines))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        list: List,
    }

    fn filters(words: &[&str]) -> Vec<(String, String)> {
        Line::try_parse_from([&["list"][..], words].concat()).unwrap().list.filters.query()
    }

    #[test]
    fn filters_are_the_dashboards() {
        let words =
            ["--search", "dell r650", "--state", "failed,discovery", "--role=web", "--mesh", "", "--offline"];
        let found = filters(&words);
        let expected = [
            ("q", "dell r650"),
            ("ProvisionState", "In(Failed,Discovery mode)"),
            ("Roles", "In(web)"),
            ("MeshNetwork", "In()"),
            ("Online", "false"),
        ];
        assert_eq!(found, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert!(filters(&[]).is_empty());
    }

    #[test]
    fn what_is_no_state_is_refused_with_those_there_are() {
        let refused = state("broken").unwrap_err();
        assert!(refused.contains("Discovery mode, Install pending"), "{refused}");
        assert_eq!(state("install-PENDING").as_deref(), Ok("Install pending"));
        assert!(Line::try_parse_from(["list", "--online", "--offline"]).is_err());
    }
}
