//! `muster provision`: runs that install machines, and how far they have come.

use crate::machine;
use crate::print;
use crate::rest::{Call, Client, decode};
use anyhow::{Result, bail};
use clap::Subcommand;
use protocol::install::{Provision, ProvisionStatus, Step, StepTime};
use serde_json::{Value, json};
use std::time::Duration;
use uuid::Uuid;

const RUNS: &str = "/api/v3/provisions";
/// How often a run is looked at while somebody waits for it.
pub(crate) const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Progress within a step is told in such pieces, in percent of the whole.
const TELL_EVERY: u8 = 5;

/// Verbs of `muster provision`
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List runs, newest first
    #[command(visible_alias = "ls")]
    List(List),
    /// Show one run
    Show(Show),
    /// Cancel a run; its machine is what it was before as far as nothing was written
    Cancel(Show),
    /// Wait for the end of a run, and tell how far it has come
    Wait(Show),
}

/// Arguments of `muster provision list`
#[derive(Debug, clap::Args)]
pub(crate) struct List {
    /// Of this machine: its name or UUID
    machine: Option<String>,
    /// Only those that are under way
    #[arg(long)]
    active: bool,
    /// At most this many
    #[arg(long, value_name = "NUMBER", default_value_t = 50)]
    limit: u32,
    #[command(flatten)]
    call: Call,
}

/// Arguments of the verbs that need a run only
#[derive(Debug, clap::Args)]
pub(crate) struct Show {
    /// The run's UUID
    run: Uuid,
    #[command(flatten)]
    call: Call,
}

/// Runs one verb.
pub(crate) async fn run(command: Command) -> Result<()> {
    match command {
        Command::List(args) => list(args).await,
        Command::Show(args) => {
            let answer = args.call.client()?.get(&path(args.run)).await?;
            args.call.show(&answer, || Ok(draw(&decode(&answer)?)))
        }
        Command::Cancel(args) => {
            let client = args.call.client()?;
            let answer = client.post(&format!("{}/cancel", path(args.run)), &json!({})).await?;
            args.call.show(&answer, || Ok(draw(&decode(&answer)?)))
        }
        Command::Wait(args) => {
            let client = args.call.client()?;
            let answer = wait(&client, args.run, "", LOOK_EVERY).await?;
            args.call.show(&answer, || Ok(draw(&decode(&answer)?)))?;
            judge(&decode(&answer)?)
        }
    }
}

fn path(run: Uuid) -> String {
    format!("{RUNS}/{run}")
}

async fn list(args: List) -> Result<()> {
    let client = args.call.client()?;
    let mut query = format!("?limit={}", args.limit);
    if let Some(key) = &args.machine {
        query.push_str(&format!("&Machine={}", machine::id(&client, key).await?));
    }
    if args.active {
        query.push_str("&IsActive=true");
    }
    let answer = client.get(&format!("{RUNS}{query}")).await?;
    args.call.show(&answer, || Ok(draw_list(&decode::<Vec<Provision>>(&answer)?)))
}

fn draw_list(runs: &[Provision]) -> String {
    let row = |run: &Provision| {
        vec![
            run.uuid.to_string(),
            run.machine.to_string(),
            run.mode.to_string(),
            run.status.to_string(),
            format!("{}%", run.percent),
            if run.is_active { run.progress.message.clone() } else { run.error.clone() },
            run.image.clone(),
            print::since(&run.created_at),
        ]
    };
    let header = ["RUN", "MACHINE", "MODE", "STATUS", "DONE", "WHAT", "IMAGE", "ASKED"];
    print::table(
        &header,
        runs.iter().map(row).collect(),
        "no provision runs: `muster machine provision NAME`",
    )
}

/// One run, for people.
pub(crate) fn draw(run: &Provision) -> String {
    let fields = print::fields(&[
        ("Run", run.uuid.to_string()),
        ("Machine", run.machine.to_string()),
        ("Mode", run.mode.to_string()),
        ("Status", format!("{}, {}%", run.status, run.percent)),
        ("Step", format!("{}: {}", run.progress.step, run.progress.message)),
        ("Error", run.error.clone()),
        ("What to do", run.next_action.clone()),
        ("Image", run.image.clone()),
        ("Digest", run.image_digest.clone()),
        ("Workflow", run.workflow.clone()),
        ("Asked for", format!("{} by {}", run.created_at, run.created_by)),
        ("Ended", run.ended_at.clone().unwrap_or_default()),
    ]);
    let row = |step: &StepTime| {
        vec![step.step.to_string(), step.started_at.clone(), step.ended_at.clone().unwrap_or_default()]
    };
    let steps = run.steps.iter().map(row).collect();
    format!("{fields}\n\n{}", print::table(&["STEP", "BEGAN", "ENDED"], steps, "no step has begun"))
}

/// Waits until a run is over, looking at it `every` so often, and tells of it meanwhile behind the words `of`; answers it.
pub(crate) async fn wait(client: &Client, run: Uuid, of: &str, every: Duration) -> Result<Value> {
    let mut told = Told::default();
    loop {
        let answer = client.get(&path(run)).await?;
        let now: Provision = decode(&answer)?;
        if let Some(line) = told.line(&now) {
            print::note(&print::one_line(&format!("{of}{line}")))?;
        }
        if now.is_terminal {
            return Ok(answer);
        }
        tokio::time::sleep(every).await;
    }
}

/// Whether a run that is over did what was asked for.
///
/// # Errors
/// When it did not, with its reason.
pub(crate) fn judge(run: &Provision) -> Result<()> {
    if run.status == ProvisionStatus::Completed {
        return Ok(());
    }
    let why = if run.error.is_empty() { &run.progress.message } else { &run.error };
    bail!("the run is {}: {}; {}", run.status, print::one_line(why), print::one_line(&run.next_action))
}

/// What was told of a run so far.
#[derive(Debug, Default)]
struct Told {
    what: Option<(ProvisionStatus, Step)>,
    percent: u8,
}

impl Told {
    /// A line for what is new; none when it is not worth one.
    fn line(&mut self, run: &Provision) -> Option<String> {
        let what = (run.status, run.progress.step);
        let moved = run.percent >= self.percent.saturating_add(TELL_EVERY);
        if self.what == Some(what) && !moved {
            return None;
        }
        self.what = Some(what);
        self.percent = run.percent;
        Some(format!("{:>3}%  {}  {}", run.percent, run.status, run.progress.message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::install::Progress;

    fn installing() -> Provision {
        Provision {
            status: ProvisionStatus::Downloading,
            is_active: true,
            percent: 40,
            progress: Progress { step: Step::Write, message: "layer 2 of 3".into(), ..Progress::default() },
            image: "debian".into(),
            steps: vec![StepTime { step: Step::Prepare, started_at: "then".into(), ended_at: None }],
            ..Provision::default()
        }
    }

    #[test]
    fn a_run_says_how_far_it_is_and_what_went_wrong() {
        let told = draw_list(&[installing()]);
        assert!(told.contains("downloading  40%   layer 2 of 3"), "{told}");
        assert!(draw_list(&[]).contains("muster machine provision NAME"));
        let failed = Provision {
            status: ProvisionStatus::Error,
            error: "step write: no space left on vda\u{1b}".into(),
            next_action: "look at the log".into(),
            ..installing()
        };
        let told = draw(&failed);
        for line in
            ["Status      error, 40%", "Error       step write: no space left on vda?", "prepare  then"]
        {
            assert!(told.contains(line), "{line} is not in\n{told}");
        }
        let why = judge(&failed).unwrap_err().to_string();
        assert_eq!(why, "the run is error: step write: no space left on vda?; look at the log");
        assert!(judge(&Provision { status: ProvisionStatus::Completed, ..failed }).is_ok());
    }

    #[test]
    fn who_waits_hears_of_steps_and_of_every_few_percent() {
        let mut told = Told::default();
        let mut run = installing();
        assert_eq!(told.line(&run).as_deref(), Some(" 40%  downloading  layer 2 of 3"));
        run.percent = 44;
        assert_eq!(told.line(&run), None);
        run.percent = 45;
        assert!(told.line(&run).is_some());
        run.progress.step = Step::Configure;
        assert!(told.line(&run).is_some());
    }
}
