//! The server killed thirty times during enrolments (`spec/security.md` 7 R1): what was
//! acknowledged is there afterwards, and waiting screens survive.
//!
//! Machines and an operator work without pause while the server is killed and started again.
//! Each keeps a journal of what it was *told* (a 2xx it received); after every restart and at
//! the end the journals are compared with what the server says. A call that broke off may have
//! happened or not: the client goes on as a real one would, by asking again.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use protocol::agent_api::{Approved, EnrollmentAnswer, Pending};
use protocol::ids::MachineId;
use tests::machine::{Machine, Target};
use tests::muster::Server;
use tests::operator::{Operator, approval};
use tests::wait;

use crate::source;

const KILLS: u32 = 30;
/// Screens that show a code from before the first kill until after the last.
const WAITING: u32 = 8;
/// Threads that enrol one machine after another.
const WORKERS: u32 = 2;
/// Longest a client waits for the server to come back.
const BACK_WITHIN: Duration = Duration::from_secs(90);

/// What the clients were told, by the machine's serial number.
#[derive(Default)]
struct Journal {
    approved: BTreeMap<String, MachineId>,
    enrolled: BTreeMap<String, (Machine, MachineId)>,
}

struct World {
    target: Target,
    operator: Operator,
    journal: Mutex<Journal>,
    stop: AtomicBool,
    numbers: AtomicU32,
}

impl World {
    fn machine(&self) -> Result<Machine> {
        let number = self.numbers.fetch_add(1, Ordering::SeqCst);
        Machine::calling_from(&self.target, number, source(number))
    }

    fn work(&self) -> Result<()> {
        while !self.stop.load(Ordering::SeqCst) {
            self.enrol_one()?;
        }
        Ok(())
    }

    /// One machine's whole way in, with the operator's part, through any number of kills.
    fn enrol_one(&self) -> Result<()> {
        let mut machine = self.machine()?;
        let serial = machine.inventory.serial.clone();
        let mut shown: Option<Pending> = None;
        let welcome = until_answered("a welcome", || match machine.try_enroll()?.json()? {
            EnrollmentAnswer::Approved(welcome) => {
                machine.acknowledge(&welcome)?;
                Ok(Some(welcome))
            }
            EnrollmentAnswer::AuthorizationPending(pending) => {
                let first = shown.get_or_insert(pending.clone());
                if (first.id, first.code) != (pending.id, pending.code) {
                    return Err(Lost(format!("{serial} was shown {first:?} and then {pending:?}")).into());
                }
                self.approve(&serial, &pending)?;
                Ok(None)
            }
        })?;
        let mut journal = self.journal.lock().unwrap();
        if let Some(told) = journal.approved.get(&serial)
            && *told != welcome.machine.uuid
        {
            bail!("{serial} was approved as {told} and welcomed as {}", welcome.machine.uuid);
        }
        journal.enrolled.insert(serial, (machine, welcome.machine.uuid));
        Ok(())
    }

    fn approve(&self, serial: &str, pending: &Pending) -> Result<()> {
        let code = pending.code.context("a request without a code")?.to_string();
        let preview = self.operator.lookup(&code)?;
        let answer = self.operator.try_approve(preview.id, &approval(&code, &preview))?;
        let machine: protocol::rest::Machine = answer.expect(200)?;
        self.journal.lock().unwrap().approved.insert(serial.to_owned(), machine.uuid);
        Ok(())
    }

    /// Compares the journals with what the server says.
    fn check(&self) -> Result<()> {
        let machines = self.operator.machines()?;
        let mut journal = self.journal.lock().unwrap();
        let told = journal.approved.iter().map(|(serial, uuid)| (serial, *uuid));
        for (serial, uuid) in told.chain(journal.enrolled.iter().map(|(serial, (_, uuid))| (serial, *uuid))) {
            let with_serial: Vec<MachineId> = machines
                .iter()
                .filter(|machine| machine.own.inventory.serial == *serial)
                .map(|machine| machine.uuid)
                .collect();
            if with_serial != [uuid] {
                bail!("{serial} was acknowledged as {uuid}; the server has {with_serial:?}");
            }
        }
        for (serial, (machine, _)) in &mut journal.enrolled {
            machine.renew().with_context(|| format!("{serial} lost its registration"))?;
            machine.heartbeat().with_context(|| format!("{serial} lost its registration"))?;
        }
        Ok(())
    }
}

/// An acknowledged write that is gone: trying again does not bring it back.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Lost(String);

/// Repeats what a kill may have broken off, until it is done.
fn until_answered(what: &str, mut call: impl FnMut() -> Result<Option<Approved>>) -> Result<Approved> {
    let mut last = String::new();
    let done = wait::until(what, BACK_WITHIN, || match call() {
        Ok(done) => Ok(done),
        Err(error) if error.is::<Lost>() => Err(error),
        Err(error) => {
            last = format!("{error:#}");
            Ok(None)
        }
    });
    done.with_context(|| format!("the last answer was: {last}"))
}

/// Polls for screens that wait, as their agents do: still pending, and no new code.
fn still_wait(screens: &mut [(Machine, Pending)]) -> Result<()> {
    for (machine, shown) in screens {
        let now = machine.poll_pending(shown.id, Duration::ZERO)?;
        if now.id != shown.id || now.code.is_some_and(|code| Some(code) != shown.code) {
            bail!("a screen showed {shown:?} and must now show {now:?}");
        }
    }
    Ok(())
}

#[test]
fn thirty_kills_lose_nothing_that_was_acknowledged() {
    let mut server = Server::builder("crash").start().unwrap();
    let world = World {
        target: Target::of(&server).unwrap(),
        operator: server.operator().unwrap(),
        journal: Mutex::default(),
        stop: AtomicBool::new(false),
        numbers: AtomicU32::new(1),
    };
    let mut screens: Vec<(Machine, Pending)> = (0..WAITING)
        .map(|_| {
            let mut machine = world.machine().unwrap();
            let pending = machine.enroll().unwrap();
            (machine, pending)
        })
        .collect();

    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..WORKERS).map(|_| scope.spawn(|| world.work())).collect();
        let killed = (0..KILLS).try_for_each(|round| {
            // Spread over everything a server does in its first second.
            let pause = Duration::from_millis(u64::from(round * 7 % KILLS) * 30);
            wait::throughout(pause, || Ok(()))?;
            server.kill()?;
            server.start_again()?;
            still_wait(&mut screens).with_context(|| format!("after kill {round}"))
        });
        world.stop.store(true, Ordering::SeqCst);
        for worker in workers {
            worker.join().unwrap().unwrap();
        }
        killed.unwrap();
    });

    world.check().unwrap();
    let enrolled = world.journal.lock().unwrap().enrolled.len();
    assert!(enrolled >= 10, "only {enrolled} machines were enrolled between the kills");
    for (machine, shown) in &mut screens {
        let approved = world.operator.approve(&shown.code.unwrap().to_string()).unwrap();
        assert_eq!(machine.collect(shown.id).unwrap().machine.uuid, approved.uuid);
    }
}

#[test]
fn a_stopped_server_ends_cleanly_and_screens_survive_it() {
    let mut server = Server::builder("crash-stop").start().unwrap();
    let target = Target::of(&server).unwrap();
    let mut machine = Machine::new(&target, 1).unwrap();
    let pending = machine.enroll().unwrap();
    server.stop().unwrap();
    server.start_again().unwrap();
    still_wait(&mut [(machine, pending)]).unwrap();
}

#[test]
fn two_servers_never_share_a_data_directory() {
    let server = Server::builder("crash-lock").start().unwrap();
    let second = Server::builder("crash-lock-second").data_dir(server.data_dir()).start();
    let refusal = format!("{:#}", second.unwrap_err());
    assert!(refusal.contains("in use") || refusal.contains("lock"), "{refusal}");
}
