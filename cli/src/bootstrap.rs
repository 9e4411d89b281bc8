//! `muster bootstrap`: the operator's half of the code exchange.
//!
//! Approving looks the code up first, shows what is known of the machine and the fingerprint,
//! and asks. What was shown is what is approved: the request names the fingerprint, so that a
//! code which meanwhile belongs to another machine is refused. A machine of the list is taken
//! without a code; then the fingerprint is always compared, as in the dashboard.

use crate::machine;
use crate::print;
use crate::prompt;
use crate::rest::{Call, Client, decode};
use anyhow::{Context as _, Result, bail};
use clap::Subcommand;
use protocol::code::{BootstrapCode, Fingerprint};
use protocol::ids::{EnrollmentId, MachineId};
use protocol::rest::{ApproveRequest, DenyRequest, EnrollmentPreview, LookupRequest};
use serde_json::Value;

const ENROLLMENTS: &str = "/api/v3/bootstrap/enrollments";

/// Verbs of `muster bootstrap`
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the machines that wait for approval
    #[command(visible_alias = "ls")]
    List(Call),
    /// Show the machine behind a code
    Lookup(Lookup),
    /// Register a machine that waits
    Approve(Approve),
    /// Send a machine that waits away
    Deny(Deny),
}

/// Arguments of `muster bootstrap lookup`
#[derive(Debug, clap::Args)]
pub(crate) struct Lookup {
    /// The code on the machine's console, such as K7P-3XB
    code: BootstrapCode,
    #[command(flatten)]
    call: Call,
}

/// Which of the machines that wait
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Which {
    /// The code on the machine's console, such as K7P-3XB
    code: Option<BootstrapCode>,
    /// The machine of this request, as `muster bootstrap list` shows it: no code is needed
    #[arg(long, value_name = "UUID")]
    request: Option<EnrollmentId>,
}

/// Arguments of `muster bootstrap approve`
#[derive(Debug, clap::Args)]
pub(crate) struct Approve {
    #[command(flatten)]
    which: Which,
    /// Name for the machine; else the one the server suggests
    #[arg(long)]
    name: Option<String>,
    /// The machine is this one, come back with a new key: keep its UUID and history
    #[arg(long, value_name = "UUID")]
    merge: Option<MachineId>,
    /// The check on the machine's console, such as QM4T-9HXR-2VKD: approve only if it agrees
    #[arg(long, value_name = "CHECK")]
    fingerprint: Option<Fingerprint>,
    /// Do not ask. Does not cover warnings, nor a machine without its code: for those pass --fingerprint
    #[arg(short = 'y', long)]
    yes: bool,
    #[command(flatten)]
    call: Call,
}

/// Arguments of `muster bootstrap deny`
#[derive(Debug, clap::Args)]
pub(crate) struct Deny {
    #[command(flatten)]
    which: Which,
    /// Why: shown on the machine's console and kept in the audit log
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    call: Call,
}

/// Runs one verb.
pub(crate) async fn run(command: Command) -> Result<()> {
    match command {
        Command::List(call) => list(call).await,
        Command::Lookup(args) => lookup(args).await,
        Command::Approve(args) => approve(args).await,
        Command::Deny(args) => deny(args).await,
    }
}

async fn list(call: Call) -> Result<()> {
    let client = call.client()?;
    let answer = client.get(ENROLLMENTS).await?;
    call.show(&answer, || {
        let waiting: Vec<EnrollmentPreview> = decode(&answer)?;
        Ok(draw_list(&waiting))
    })
}

fn draw_list(waiting: &[EnrollmentPreview]) -> String {
    let rows = waiting.iter().map(|preview| {
        vec![
            preview.suggested_name.clone(),
            format!("{:?}", preview.state),
            print::hardware(&preview.vendor, &preview.product, &preview.serial),
            preview.source_ip.clone(),
            preview.fingerprint.to_string(),
            preview.warnings.iter().map(|warning| warning.kind.as_str()).collect::<Vec<_>>().join(","),
            preview.id.to_string(),
        ]
    });
    let header = ["NAME", "STATE", "HARDWARE", "FROM", "CHECK", "WARNINGS", "REQUEST"];
    print::table(&header, rows.collect(), "no machine waits for approval")
}

async fn find(client: &Client, code: BootstrapCode) -> Result<Value> {
    client.post("/api/v3/bootstrap/lookup", &LookupRequest { code: code.to_string() }).await
}

impl Which {
    /// The machine, as it waits now.
    async fn find(&self, client: &Client) -> Result<EnrollmentPreview> {
        if let Some(code) = self.code {
            return decode(&find(client, code).await?);
        }
        let waiting: Vec<EnrollmentPreview> = decode(&client.get(ENROLLMENTS).await?)?;
        let found = waiting.into_iter().find(|preview| Some(preview.id) == self.request);
        found.with_context(|| match self.request {
            Some(id) => {
                format!("no machine waits with request {id}: `muster bootstrap list` shows those that do")
            }
            None => "name a code, or a request of `muster bootstrap list`".to_owned(),
        })
    }
}

async fn lookup(args: Lookup) -> Result<()> {
    let client = args.call.client()?;
    let answer = find(&client, args.code).await?;
    args.call.show(&answer, || Ok(draw(&decode(&answer)?)))
}

/// What the operator compares with the console.
fn draw(preview: &EnrollmentPreview) -> String {
    let inventory = &preview.inventory;
    let disks: Vec<String> = inventory
        .disks
        .iter()
        .map(|disk| format!("{} {}", disk.name, print::bytes(disk.size_bytes)))
        .collect();
    let mut fields = vec![
        ("Hardware", print::hardware(&preview.vendor, &preview.product, &preview.serial)),
        (
            "",
            format!(
                "{}, {} memory, {}",
                print::count(inventory.cpu.threads, "processor"),
                print::bytes(inventory.memory_bytes),
                if disks.is_empty() { "no disks".to_owned() } else { disks.join(", ") }
            ),
        ),
        ("Name", preview.suggested_name.clone()),
        ("MAC", preview.macs.join(", ")),
        ("From", format!("{}, last asked {} s ago", preview.source_ip, preview.last_polled_seconds)),
        ("Check", preview.fingerprint.to_string()),
    ];
    fields.extend(preview.warnings.iter().map(|warning| ("Warning", warning.message.clone())));
    fields.extend(preview.matches.iter().map(|known| {
        let hint = if known.online { "online, so it cannot be merged" } else { "merge keeps it" };
        let reasons = known.reasons.join(", ");
        ("Looks like", format!("{} ({reasons}; {hint}): --merge {}", known.name, known.uuid))
    }));
    print::fields(&fields)
}

/// What is to be done about one approval.
#[derive(Debug, PartialEq, Eq)]
enum Decision {
    /// Approve; whether the operator compared the fingerprint.
    Approve { confirmed: bool },
    /// Ask the operator to compare first.
    Ask,
    /// Do not, for this reason.
    Refuse(String),
}

/// What stands for an operator who is not asked.
#[derive(Debug, Clone, Copy)]
struct Given {
    /// A code ties the request to a console that somebody looked at; nothing else does.
    code: bool,
    /// The check as it was read there.
    seen: Option<Fingerprint>,
    yes: bool,
}

/// Decides by what was given and by whether somebody can be asked.
fn decide(preview: &EnrollmentPreview, given: Given, can_ask: bool) -> Decision {
    match given.seen {
        Some(seen) if seen == preview.fingerprint => return Decision::Approve { confirmed: true },
        Some(seen) => {
            return Decision::Refuse(format!(
                "the check you gave is {seen}, the machine that waits has {}: it is another machine, or someone is in between; nothing was approved",
                preview.fingerprint
            ));
        }
        None => {}
    }
    let warnings = preview.warnings.len();
    match (warnings, given.yes, can_ask) {
        (_, false, true) => Decision::Ask,
        (0, _, _) if given.code => Decision::Approve { confirmed: false },
        (0, _, _) => Decision::Refuse(
            "without its code nothing tells which machine this is: compare the check with the machine's console and pass it as --fingerprint".to_owned(),
        ),
        _ => Decision::Refuse(format!(
            "{warnings} warning{} to look at: compare the check with the machine's console and pass it as --fingerprint",
            if warnings == 1 { "" } else { "s" }
        )),
    }
}

async fn approve(args: Approve) -> Result<()> {
    let client = args.call.client()?;
    let preview = args.which.find(&client).await?;
    print::note(&draw(&preview))?;
    let given = Given { code: args.which.code.is_some(), seen: args.fingerprint, yes: args.yes };
    let confirmed = match decide(&preview, given, prompt::can_ask()) {
        Decision::Approve { confirmed } => confirmed,
        Decision::Ask => {
            let question = format!("Does the console show Check {}?", preview.fingerprint);
            if !prompt::confirm(&question)? {
                bail!("nothing was approved");
            }
            true
        }
        Decision::Refuse(reason) => bail!(reason),
    };
    let body = ApproveRequest {
        code: args.which.code.map(|code| code.to_string()),
        fingerprint: preview.fingerprint.to_string(),
        name: args.name,
        merge: args.merge,
        fingerprint_confirmed: confirmed,
    };
    let answer = client.post(&format!("{ENROLLMENTS}/{}/approve", preview.id), &body).await?;
    args.call.show(&answer, || {
        let machine = decode(&answer)?;
        Ok(format!("\n{}", machine::draw(&machine)))
    })
}

async fn deny(args: Deny) -> Result<()> {
    let client = args.call.client()?;
    let preview = args.which.find(&client).await?;
    let body = DenyRequest { reason: args.reason };
    let answer = client.post(&format!("{ENROLLMENTS}/{}/deny", preview.id), &body).await?;
    args.call.show(&answer, || {
        let hardware = print::hardware(&preview.vendor, &preview.product, &preview.serial);
        let name = args.which.code.map_or_else(|| preview.id.to_string(), |code| code.to_string());
        Ok(format!("denied {name} ({hardware})"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::rest::Warning;

    fn preview() -> EnrollmentPreview {
        serde_json::from_str(include_str!("../tests/fixtures/preview.json")).unwrap()
    }

    fn with_warning() -> EnrollmentPreview {
        let warning = Warning { kind: "known_machine".into(), message: "looks like db-07".into() };
        EnrollmentPreview { warnings: vec![warning], ..preview() }
    }

    fn given(seen: Option<Fingerprint>, yes: bool) -> Given {
        Given { code: true, seen, yes }
    }

    #[test]
    fn a_person_is_asked_where_there_is_one() {
        assert_eq!(decide(&preview(), given(None, false), true), Decision::Ask);
        assert_eq!(decide(&preview(), given(None, true), true), Decision::Approve { confirmed: false });
        assert_eq!(decide(&preview(), given(None, false), false), Decision::Approve { confirmed: false });
    }

    #[test]
    fn without_a_code_the_fingerprint_is_always_compared() {
        let listed = |seen, yes| Given { code: false, seen, yes };
        for (yes, can_ask) in [(false, false), (true, false), (true, true)] {
            assert!(
                matches!(decide(&preview(), listed(None, yes), can_ask), Decision::Refuse(why) if why.contains("pass it as --fingerprint"))
            );
        }
        assert_eq!(decide(&preview(), listed(None, false), true), Decision::Ask);
        let seen = Some(preview().fingerprint);
        assert_eq!(decide(&preview(), listed(seen, true), false), Decision::Approve { confirmed: true });
    }

    #[test]
    fn warnings_need_the_fingerprint_or_a_person() {
        let told =
            "1 warning to look at: compare the check with the machine's console and pass it as --fingerprint";
        for (yes, can_ask) in [(false, false), (true, false), (true, true)] {
            assert_eq!(decide(&with_warning(), given(None, yes), can_ask), Decision::Refuse(told.into()));
        }
        assert_eq!(decide(&with_warning(), given(None, false), true), Decision::Ask);
        let seen = Some(preview().fingerprint);
        assert_eq!(decide(&with_warning(), given(seen, false), false), Decision::Approve { confirmed: true });
    }

    #[test]
    fn another_fingerprint_is_never_approved() {
        let other = Some("BBBB-BBBB-BBBB".parse().unwrap());
        assert!(
            matches!(decide(&preview(), given(other, true), true), Decision::Refuse(why) if why.contains("QM4T-9HXR-2VKD"))
        );
    }

    #[test]
    fn the_preview_shows_what_to_compare() {
        let told = draw(&with_warning());
        assert!(told.contains("Check       QM4T-9HXR-2VKD"), "{told}");
        assert!(told.contains("Warning     looks like db-07"), "{told}");
        assert!(told.contains("--merge 5f4dcc3b-5aa7-4d61-9d83-27deb882cf99"), "{told}");
        assert!(draw_list(&[preview()]).contains("Pending"), "{}", draw_list(&[preview()]));
    }
}
