//! Fifty SIGKILLs under eight writing clients: every write that was acknowledged is found.
//!
//! Each client has machines and profiles of its own and notes what it was *told* (a 2xx). After
//! the last kill each object must be as its client last heard, or as the one write after that
//! which broke off.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use reqwest::Method;
use serde_json::{Value, json};
use tests::muster::Server;
use tests::operator::{Answer, Operator};
use tests::wait;

const KILLS: u32 = 50;
const CLIENTS: usize = 8;
/// Objects of one client; it goes round among them.
const OBJECTS: usize = 6;
/// Longest a client waits for the server to come back.
const BACK_WITHIN: Duration = Duration::from_secs(60);

/// What a client knows of one of its objects.
#[derive(Debug, Clone, Default)]
struct Known {
    /// Number of the last write that was acknowledged; none before the object was made.
    acknowledged: Option<u64>,
    /// Number of a write after it whose answer never came.
    open: Option<u64>,
}

struct Writer<'a> {
    operator: Operator,
    number: usize,
    known: Vec<Known>,
    writes: u64,
    stop: &'a AtomicBool,
}

/// Machines and profiles take turns: one is a row of its own, the other part of the content.
fn path(client: usize, object: usize) -> (String, String) {
    let name = format!("crash-{client}-{object}");
    if object.is_multiple_of(2) {
        ("/api/v3/machines".to_owned(), format!("/api/v3/machines/Name:{name}"))
    } else {
        ("/api/v3/profiles".to_owned(), format!("/api/v3/profiles/{name}"))
    }
}

impl Writer<'_> {
    fn work(mut self) -> Result<(usize, Vec<Known>, u64)> {
        while !self.stop.load(Ordering::SeqCst) {
            let object = usize::try_from(self.writes)? % OBJECTS;
            self.write(object)?;
        }
        Ok((self.number, self.known, self.writes))
    }

    /// One write, tried until it is acknowledged or the test ends.
    fn write(&mut self, object: usize) -> Result<()> {
        self.writes += 1;
        let number = self.writes;
        let (collection, one) = path(self.number, object);
        let params = json!({"Params": {"number": number}});
        let mut made = self.known[object].acknowledged.is_some();
        self.known[object].open = Some(number);
        let done = wait::until("an answer", BACK_WITHIN, || {
            let answer = if made {
                self.send(Method::PATCH, &one, &params)
            } else {
                let mut body = params.clone();
                body["Name"] = format!("crash-{}-{object}", self.number).into();
                self.send(Method::POST, &collection, &body)
            };
            match answer {
                Ok(answer) if (200..300).contains(&answer.status) => Ok(Some(())),
                // The create before this one was done, and its answer was lost.
                Ok(answer) if !made && matches!(answer.status, 409 | 422) => {
                    made = true;
                    Ok(None)
                }
                Ok(answer) if answer.status >= 500 => Ok(None),
                Ok(answer) => bail!("{one}: {}: {}", answer.status, answer.text()),
                Err(_) if self.stop.load(Ordering::SeqCst) => bail!(Stopped),
                Err(_) => Ok(None),
            }
        });
        match done {
            Ok(()) => {
                self.known[object] = Known { acknowledged: Some(number), open: None };
                Ok(())
            }
            Err(error) if error.is::<Stopped>() => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn send(&self, method: Method, path: &str, body: &Value) -> Result<Answer> {
        self.operator.send(self.operator.request(method, path).json(body).timeout(Duration::from_secs(10)))
    }
}

/// The test ended while a client waited for its server.
#[derive(Debug, thiserror::Error)]
#[error("stopped")]
struct Stopped;

#[test]
fn fifty_kills_lose_no_acknowledged_write() {
    let mut server = Server::builder("model-crash").start().unwrap();
    let stop = AtomicBool::new(false);
    let writers: Vec<Writer<'_>> = (0..CLIENTS)
        .map(|number| Writer {
            operator: server.operator().unwrap(),
            number,
            known: vec![Known::default(); OBJECTS],
            writes: 0,
            stop: &stop,
        })
        .collect();
    let ended: Vec<(usize, Vec<Known>, u64)> = std::thread::scope(|scope| {
        let running: Vec<_> = writers.into_iter().map(|writer| scope.spawn(|| writer.work())).collect();
        let killed = (0..KILLS).try_for_each(|round| -> Result<()> {
            // From nothing to some hundred milliseconds of writing, in no order.
            wait::throughout(Duration::from_millis(u64::from(round * 11 % 17) * 25), || Ok(()))?;
            server.kill()?;
            server.start_again().with_context(|| format!("after kill {round}"))
        });
        stop.store(true, Ordering::SeqCst);
        let ended = running.into_iter().map(|writer| writer.join().unwrap().unwrap()).collect();
        killed.unwrap();
        ended
    });
    let operator = server.operator().unwrap();
    let mut writes = 0;
    for (client, known, written) in ended {
        writes += written;
        for (object, known) in known.iter().enumerate() {
            check(&operator, client, object, known).unwrap();
        }
    }
    assert!(writes > u64::from(KILLS), "only {writes} writes came through {KILLS} kills");
}

fn check(operator: &Operator, client: usize, object: usize, known: &Known) -> Result<()> {
    let (_, one) = path(client, object);
    let answer = operator.get(&one)?;
    let Some(acknowledged) = known.acknowledged else {
        ensure!(answer.status == 404 || known.open.is_some(), "{one} was never made");
        return Ok(());
    };
    let found: Value = answer.expect(200)?;
    let number = found["Params"]["number"].as_u64();
    ensure!(
        number == Some(acknowledged) || (known.open.is_some() && number == known.open),
        "{one} was acknowledged with {acknowledged}, then {:?} was open; it has {number:?}",
        known.open
    );
    Ok(())
}
