//! Verbs that take several machines: each is done by itself, and one that fails hinders no other.

use super::path;
use super::which::{Target, Which, count};
use crate::print;
use crate::rest::{Call, decode};
use anyhow::{Result, bail};
use futures_util::StreamExt;
use futures_util::stream;
use protocol::rest::Machine;
use serde_json::{Value, json};

/// Machines that are worked on at the same time.
pub(super) const AT_ONCE: usize = 4;

/// Arguments of the verbs that take several machines
#[derive(Debug, clap::Args)]
pub(crate) struct Many {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    call: Call,
}

/// Arguments of `muster machine rename`
#[derive(Debug, clap::Args)]
pub(crate) struct Rename {
    /// Name or UUID
    machine: String,
    /// The new name
    name: String,
    #[command(flatten)]
    call: Call,
}

/// What became of one machine.
#[derive(Debug)]
pub(crate) struct Done {
    /// The server's answer.
    pub(crate) answer: Value,
    /// The same in a sentence.
    pub(crate) said: String,
}

/// What became of all of them, in the order in which they were given.
#[derive(Debug)]
pub(crate) struct Outcome<T = Done> {
    pub(super) done: Vec<T>,
    pub(super) failed: Vec<anyhow::Error>,
}

/// Does the same with each machine, a few at a time.
pub(super) async fn each<T>(targets: &[Target], act: impl AsyncFn(&Target) -> Result<T>) -> Outcome<T> {
    each_of(targets, AT_ONCE, |target| &target.name, act).await
}

/// Does the same with each of these, `at_once` at a time; what fails is told under its name.
pub(super) async fn each_of<K, T>(
    things: &[K],
    at_once: usize,
    name: impl Fn(&K) -> &str,
    act: impl AsyncFn(&K) -> Result<T>,
) -> Outcome<T> {
    let (act, name) = (&act, &name);
    let work = things
        .iter()
        .map(|thing| async move { act(thing).await.map_err(|error| error.context(name(thing).to_owned())) });
    let mut outcome = Outcome { done: Vec::new(), failed: Vec::new() };
    let mut results = stream::iter(work).buffered(at_once.max(1));
    while let Some(result) = results.next().await {
        match result {
            Ok(done) => outcome.done.push(done),
            Err(error) => outcome.failed.push(error),
        }
    }
    outcome
}

impl<T> Outcome<T> {
    /// The same, with others that failed before.
    pub(super) fn with(mut self, failed: Vec<anyhow::Error>) -> Self {
        self.failed.splice(0..0, failed);
        self
    }
}

impl Outcome {
    /// Prints what was done, says what was not, and fails when there was such a machine.
    pub(crate) fn show(self, call: &Call) -> Result<()> {
        let total = self.done.len() + self.failed.len();
        if !self.done.is_empty() {
            let lines: Vec<String> = self.done.iter().map(|done| print::one_line(&done.said)).collect();
            let answers = self.done.into_iter().map(|done| done.answer).collect();
            call.show(&Value::Array(answers), || Ok(lines.join("\n")))?;
        }
        judge(self.failed, total)
    }
}

/// Says which of `total` machines failed: one alone by its error.
fn judge(mut failed: Vec<anyhow::Error>, total: usize) -> Result<()> {
    match (failed.pop(), failed.len()) {
        (None, _) => Ok(()),
        (Some(only), 0) if total == 1 => Err(only),
        (Some(last), others) => {
            for error in failed.into_iter().chain([last]) {
                print::note(&print::one_line(&format!("{error:#}")))?;
            }
            bail!("{} of {} failed", others + 1, count(total));
        }
    }
}

pub(crate) async fn lock(args: Many) -> Result<()> {
    set_lock(args, true).await
}

pub(crate) async fn unlock(args: Many) -> Result<()> {
    set_lock(args, false).await
}

async fn set_lock(args: Many, locked: bool) -> Result<()> {
    let client = args.call.client()?;
    let (doing, done) = if locked { ("lock", "locked") } else { ("unlock", "unlocked") };
    let targets = args.which.find(&client, doing).await?;
    let outcome = each(&targets, async |target| {
        let answer = client.patch(&target.path, &json!({ "Locked": locked })).await?;
        Ok(Done { said: format!("{} is {done}", decode::<Machine>(&answer)?.name), answer })
    });
    outcome.await.show(&args.call)
}

/// Puts machines into a mesh network; "" takes them out.
pub(crate) async fn assign(which: &Which, mesh: &str, call: &Call) -> Result<()> {
    let client = call.client()?;
    let doing =
        if mesh.is_empty() { "take out of mesh networks".to_owned() } else { format!("bring into {mesh}") };
    let targets = which.find(&client, &doing).await?;
    // One behind the other: they get their addresses in the order in which they were named.
    let outcome = each_of(
        &targets,
        1,
        |target| &target.name,
        async |target| {
            let answer = client.patch(&target.path, &json!({ "MeshNetwork": mesh })).await?;
            Ok(Done { said: place(&decode(&answer)?), answer })
        },
    );
    outcome.await.show(call)
}

/// Where a machine is now.
fn place(machine: &Machine) -> String {
    let addresses: Vec<String> = machine.own.mesh_addresses.iter().map(ToString::to_string).collect();
    match machine.own.mesh_network.as_str() {
        "" => format!("{} is in no mesh network", machine.name),
        mesh => format!("{} is in mesh network {mesh}: {}", machine.name, addresses.join(", ")),
    }
}

/// Forgets machines, after asking.
pub(crate) async fn delete(args: Many) -> Result<()> {
    let client = args.call.client()?;
    let (machines, unknown) = args.which.look(&client).await?;
    let targets: Vec<Target> = machines.iter().map(Target::of).collect();
    if !targets.is_empty() {
        args.which.ask(&targets, "forget")?;
    }
    let outcome = each(&targets, async |target| {
        let answer = client.delete(&target.path).await?;
        Ok(Done { said: format!("{} is deleted", target.name), answer })
    });
    outcome.await.with(unknown).show(&args.call)
}

pub(crate) async fn rename(args: Rename) -> Result<()> {
    let client = args.call.client()?;
    let answer = client.patch(&path(&args.machine), &json!({ "Name": args.name })).await?;
    args.call.show(&answer, || Ok(print::one_line(&format!("{} is called {} now", args.machine, args.name))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::anyhow;

    /// Names of things, of which the even ones fail.
    async fn odd_ones(things: &[u32]) -> Outcome<u32> {
        each_of(
            things,
            2,
            |_| "m",
            async |thing| match thing % 2 {
                0 => Err(anyhow!("{thing} is even\u{1b}")),
                _ => Ok(*thing),
            },
        )
        .await
    }

    #[tokio::test]
    async fn one_that_fails_hinders_no_other_and_order_is_kept() {
        let outcome = odd_ones(&[1, 2, 3, 4, 5]).await.with(vec![anyhow!("first")]);
        assert_eq!(outcome.done, [1, 3, 5]);
        let failed: Vec<String> = outcome.failed.iter().map(|error| format!("{error:#}")).collect();
        assert_eq!(failed, ["first", "m: 2 is even\u{1b}", "m: 4 is even\u{1b}"]);
        assert_eq!(judge(outcome.failed, 6).unwrap_err().to_string(), "3 of 6 machines failed");
    }

    #[test]
    fn machine_says_where_it_is() {
        let mut member = crate::machine::tests::machine();
        assert_eq!(place(&member), "m-525400123456 is in no mesh network");
        member.own.mesh_network = "home".to_owned();
        member.own.mesh_addresses = vec!["10.20.0.1".parse().unwrap(), "fd00:20::1".parse().unwrap()];
        assert_eq!(place(&member), "m-525400123456 is in mesh network home: 10.20.0.1, fd00:20::1");
    }

    #[tokio::test]
    async fn one_alone_fails_by_its_own_error() {
        let outcome = odd_ones(&[2]).await;
        assert_eq!(format!("{:#}", judge(outcome.failed, 1).unwrap_err()), "m: 2 is even\u{1b}");
        assert!(judge(odd_ones(&[1]).await.failed, 1).is_ok());
    }
}
