//! Which machines a verb is for: those that are named, or all that have something in common.

use super::list::{self, Filters};
use super::{MACHINES, path};
use crate::object;
use crate::print;
use crate::prompt;
use crate::rest::{Client, decode};
use anyhow::{Result, bail};
use protocol::rest::Machine;

/// Names that a question shows; how many more there are stands behind them.
const SHOWN: usize = 20;

/// Machines by name, or by what they have in common
#[derive(Debug, clap::Args)]
pub(crate) struct Which {
    /// Names or UUIDs; or say below which are meant
    #[arg(
        value_name = "MACHINE",
        required_unless_present_any = ["Filters", "fields", "all"],
        conflicts_with_all = ["Filters", "fields", "all"]
    )]
    machines: Vec<String>,
    #[command(flatten)]
    filters: Filters,
    /// With this in a field, such as `Params.site/rack=4` or `Name=Re(^web)`; repeat it for more
    #[arg(long = "where", value_name = "FIELD=VALUE", value_parser = object::filter, help_heading = "Machines")]
    fields: Vec<(String, String)>,
    /// All that there are
    #[arg(long, help_heading = "Machines", conflicts_with_all = ["Filters", "fields"])]
    all: bool,
    /// Do not ask
    #[arg(short = 'y', long)]
    pub(super) yes: bool,
}

/// A machine that something is to be done with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    /// What it is called in what is told of it.
    pub(crate) name: String,
    /// Where it is.
    pub(crate) path: String,
}

impl Target {
    fn named(key: &str) -> Self {
        Self { name: key.to_owned(), path: path(key) }
    }

    /// The machine itself, whatever it is called meanwhile.
    pub(super) fn of(machine: &Machine) -> Self {
        Self { name: machine.name.clone(), path: path(&machine.uuid.to_string()) }
    }
}

impl Which {
    /// The one name that was given, if it was one.
    pub(super) fn single(&self) -> Option<&str> {
        match self.machines.as_slice() {
            [one] => Some(one),
            _ => None,
        }
    }

    /// They are not named, but described.
    pub(super) const fn is_described(&self) -> bool {
        self.machines.is_empty()
    }

    /// The machines, each once. Those that were not named are asked about: `doing` begins the question.
    ///
    /// # Errors
    /// When none is meant, or somebody thinks better of it.
    pub(crate) async fn find(&self, client: &Client, doing: &str) -> Result<Vec<Target>> {
        if !self.is_described() {
            return Ok(self.named());
        }
        let found: Vec<Target> = self.described(client).await?.iter().map(Target::of).collect();
        self.ask(&found, doing)?;
        Ok(found)
    }

    /// The machines as they are now, and why some of those that were named are not among them. Asks nobody.
    pub(super) async fn look(&self, client: &Client) -> Result<(Vec<Machine>, Vec<anyhow::Error>)> {
        if self.is_described() {
            return Ok((self.described(client).await?, Vec::new()));
        }
        let (mut found, mut missing) = (Vec::new(), Vec::new());
        for target in self.named() {
            match client.get(&target.path).await.and_then(|machine| decode(&machine)) {
                Ok(machine) => found.push(machine),
                Err(error) => missing.push(error.context(target.name)),
            }
        }
        Ok((found, missing))
    }

    fn named(&self) -> Vec<Target> {
        let mut targets: Vec<Target> = Vec::new();
        for target in self.machines.iter().map(|key| Target::named(key)) {
            if !targets.contains(&target) {
                targets.push(target);
            }
        }
        targets
    }

    async fn described(&self, client: &Client) -> Result<Vec<Machine>> {
        let filters = [self.filters.query(), self.fields.clone()].concat();
        let machines = object::all(client, MACHINES, &filters, list::ORDER).await?;
        if machines.is_empty() {
            bail!("no machine is like that; `muster machine list` has the same filters");
        }
        machines.iter().map(decode).collect()
    }

    /// Asks once about all of them, unless that is not wanted.
    pub(super) fn ask(&self, targets: &[Target], doing: &str) -> Result<()> {
        if self.yes {
            return Ok(());
        }
        let what = format!("{doing} {}: {}", count(targets.len()), names(targets));
        if !prompt::can_ask() {
            bail!("this asks first: {what}; pass --yes to do it without a terminal");
        }
        if !prompt::confirm(&format!("{what}?"))? {
            bail!("nothing was done");
        }
        Ok(())
    }
}

/// `1 machine`, `2 machines`.
pub(super) fn count(machines: usize) -> String {
    print::count(u32::try_from(machines).unwrap_or(u32::MAX), "machine")
}

fn names(targets: &[Target]) -> String {
    let shown: Vec<String> = targets.iter().take(SHOWN).map(|target| print::one_line(&target.name)).collect();
    match targets.len().saturating_sub(SHOWN) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        which: Which,
    }

    fn parse(words: &[&str]) -> Result<Which, clap::Error> {
        Line::try_parse_from([&["verb"][..], words].concat()).map(|line| line.which)
    }

    #[test]
    fn machines_are_named_or_described_and_never_both() {
        for words in [&["web-1", "web-2"][..], &["--role", "web"], &["--where", "Locked=true"], &["--all"]] {
            assert!(parse(words).is_ok(), "{words:?}");
        }
        for words in
            [&[][..], &["--yes"], &["web-1", "--role", "web"], &["web-1", "--all"], &["--all", "--online"]]
        {
            assert_eq!(parse(words).unwrap_err().exit_code(), 2, "{words:?}");
        }
        assert_eq!(parse(&["web-1"]).unwrap().single(), Some("web-1"));
        assert_eq!(parse(&["--all"]).unwrap().single(), None);
    }

    #[test]
    fn question_about_many_names_some_and_counts_the_rest() {
        let targets: Vec<Target> = (1..=22).map(|number| Target::named(&format!("m{number}"))).collect();
        assert!(names(&targets).ends_with("m19, m20 and 2 more"));
        assert_eq!(names(&targets[..2]), "m1, m2");
        // Tests have no terminal.
        let refused = parse(&["--all"]).unwrap().ask(&targets[..1], "lock").unwrap_err().to_string();
        assert_eq!(refused, "this asks first: lock 1 machine: m1; pass --yes to do it without a terminal");
        assert!(parse(&["--all", "-y"]).unwrap().ask(&targets, "lock").is_ok());
    }
}
