//! The calls a runner makes (`spec/machine-model.md` 4.1 to 4.3), each tried until there is an answer
//! that counts: a server that is away, or has no time, is waited for.
//!
//! An answer may be lost after the server did what was asked. Calls that cannot be told apart from
//! their repetition are judged by what is there afterwards.

use super::wire::{Job, Machine, Task, Token, told};
use crate::api::rest::{Call, LEASE, Place, Reply, Rest};
use crate::deadline::since_boot;
use crate::jitter::random;
use crate::report::chain;
use crate::state::retry;
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, IF_NONE_MATCH};
use hyper::{Method, StatusCode};
use protocol::model::{JobAction, JobState};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;
use tokio::time::sleep;
use uuid::{Builder, Uuid};

/// Life of the tokens that are asked for; they are renewed at its half.
pub(crate) const TOKEN_LIFE: Duration = Duration::from_secs(3_600);
/// Pause before a renewal that was refused is tried again.
const RENEW_AGAIN: Duration = Duration::from_secs(300);
/// How long the server may hold the answer while nothing changes.
const PATIENCE: Duration = Duration::from_secs(60);

/// Why a runner cannot go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// The token is no longer taken, or the machine is gone.
    #[error("the server refuses the machine's token: {0}")]
    Refused(String),
    /// An answer that no runner expects.
    #[error("cannot {what}: HTTP {status} {message}")]
    Odd {
        /// What was to be done.
        what: &'static str,
        /// The answer's status.
        status: StatusCode,
        /// The server's words.
        message: String,
    },
    /// An answer that is not what it should be.
    #[error("cannot {what}: the answer is not understood: {cause}")]
    Malformed {
        /// What was to be done.
        what: &'static str,
        /// Why not.
        cause: String,
    },
}

/// One hand-out of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lease {
    /// The job.
    pub(crate) job: Uuid,
    /// Its number.
    pub(crate) epoch: i64,
}

/// Whether the job is still this runner's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Held {
    /// It is, and what was asked is done.
    Yes,
    /// Somebody else has it, or it has ended.
    Lost,
}

/// What became of a piece of log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Appended {
    /// The server has it.
    Yes,
    /// The server's log has this length; the piece does not follow there.
    Elsewhere(u64),
    /// Somebody else has the job.
    Lost,
}

/// Answer to asking for a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Asked {
    /// Here it is.
    Granted(Job),
    /// There is none; perhaps in so many seconds.
    None(Option<u64>),
}

/// The machine's token, shared by all connections of a runner.
///
/// How long the one it was given lasts nobody says, so another is asked for at once, and again before
/// that one ends. The first may outlast them: a server that was away for long takes it still.
pub(crate) struct Credential {
    first: String,
    renewed: RefCell<Option<String>>,
    renew_at: Cell<Duration>,
}

impl Credential {
    /// A token of unknown life.
    pub(crate) fn new(first: String) -> Rc<Self> {
        Rc::new(Self { first, renewed: RefCell::new(None), renew_at: Cell::new(Duration::ZERO) })
    }

    /// A token that somebody else renews.
    pub(crate) fn lasting(first: String) -> Rc<Self> {
        Rc::new(Self { first, renewed: RefCell::new(None), renew_at: Cell::new(Duration::MAX) })
    }

    fn reveal(&self) -> String {
        self.renewed.borrow().as_ref().unwrap_or(&self.first).clone()
    }

    /// Goes back to the first token; `false` when that is the one in use.
    fn fall_back(&self) -> bool {
        self.renew_at.set(self.renew_at.get().min(since_boot()));
        self.renewed.take().is_some()
    }
}

/// The server, as the runner of one machine knows it.
pub(crate) struct Muster {
    machine: Uuid,
    rest: Rest,
    place: Place,
    credential: Rc<Credential>,
    /// Told when the server goes away and comes back.
    say: fn(&str),
}

impl Muster {
    /// The server at `place`, for this machine.
    pub(crate) fn new(place: Place, machine: Uuid, credential: Rc<Credential>, say: fn(&str)) -> Self {
        Self { machine, rest: Rest::new(place.clone()), place, credential, say }
    }

    /// The same server over a connection of its own. It goes away and comes back silently.
    pub(crate) fn beside(&self) -> Self {
        Self::new(self.place.clone(), self.machine, self.credential.clone(), |_| {})
    }

    /// A token for a task, which lasts [`TOKEN_LIFE`].
    ///
    /// # Errors
    /// [`CallError`].
    pub(crate) async fn task_token(&mut self) -> Result<String, CallError> {
        let reply = self.answer(&self.token_call()).await?;
        good("get a token for the task", &reply).map(|Token { token, .. }| token)
    }

    /// The machine and the version it has.
    ///
    /// # Errors
    /// [`CallError`].
    pub(crate) async fn machine(&mut self) -> Result<(Machine, Option<String>), CallError> {
        let reply = self.answer(&Call::new(Method::GET, self.machine_path(""))).await?;
        let machine = good("read the machine", &reply)?;
        Ok((machine, reply.etag))
    }

    /// The machine as soon as it is another version than `known`; none when it was not for a while.
    ///
    /// # Errors
    /// [`CallError`].
    pub(crate) async fn changed_machine(
        &mut self,
        known: Option<&str>,
    ) -> Result<Option<(Machine, Option<String>)>, CallError> {
        let Some(known) = known else {
            // A server without versions is asked from time to time.
            sleep(retry::spread(PATIENCE / 4, random())).await;
            return self.machine().await.map(Some);
        };
        let mut call = Call::new(Method::GET, self.machine_path("")).header(IF_NONE_MATCH, known);
        call.wait = PATIENCE;
        let reply = self.answer(&call).await?;
        if reply.status == StatusCode::NOT_MODIFIED {
            return Ok(None);
        }
        let machine = good("read the machine", &reply)?;
        Ok(Some((machine, reply.etag)))
    }

    /// A job; none when it is gone.
    ///
    /// # Errors
    /// [`CallError`].
    pub(crate) async fn job(&mut self, id: &str) -> Result<Option<Job>, CallError> {
        let reply = self.answer(&Call::new(Method::GET, format!("/api/v3/jobs/{id}"))).await?;
        if reply.status == StatusCode::NOT_FOUND { Ok(None) } else { good("read the job", &reply).map(Some) }
    }

    /// Asks for a job.
    ///
    /// # Errors
    /// [`CallError`].
    pub(crate) async fn ask(&mut self, context: &str) -> Result<Asked, CallError> {
        // By its id a job is known whose announcement was lost.
        let id = new_id();
        let body = json!({ "Machine": self.machine, "Context": context, "Uuid": id });
        let reply = self.answer(&Call::new(Method::POST, "/api/v3/jobs").body(body.to_string())).await?;
        match reply.status {
            StatusCode::NO_CONTENT => Ok(Asked::None(reply.retry_after)),
            StatusCode::CONFLICT => {
                let made = self.persist(&Call::new(Method::GET, format!("/api/v3/jobs/{id}"))).await;
                // Any refusal says that there is no such job.
                match good::<Job>("read the job", &made) {
                    Ok(job) if job.state == JobState::Created => Ok(Asked::Granted(job)),
                    Ok(_) | Err(_) => Ok(Asked::None(reply.retry_after)),
                }
            }
            _ => good("ask for a job", &reply).map(Asked::Granted),
        }
    }

    /// What a job consists of, rendered now.
    ///
    /// # Errors
    /// [`CallError`]; [`CallError::Odd`] is the server's word on why it cannot be rendered.
    pub(crate) async fn actions(&mut self, lease: Lease) -> Result<Option<Vec<JobAction>>, CallError> {
        let path = format!("/api/v3/jobs/{}/actions?os=linux", lease.job);
        let reply = self.answer(&Call::new(Method::GET, path).header(LEASE, lease.epoch)).await?;
        if self.is_lost(lease, &reply).await? {
            return Ok(None);
        }
        good("render the task", &reply).map(Some)
    }

    /// A task; one without labels when there is none of this name.
    ///
    /// # Errors
    /// [`CallError`].
    pub(crate) async fn task(&mut self, name: &str) -> Result<Task, CallError> {
        let path = format!("/api/v3/tasks/{}", escaped(name));
        let reply = self.answer(&Call::new(Method::GET, path)).await?;
        if reply.status == StatusCode::NOT_FOUND {
            Ok(Task::default())
        } else {
            good("read the task", &reply)
        }
    }

    /// Moves a job from one state to another, with what else is to be said of it. Without a lease it
    /// is one that nobody runs any more.
    ///
    /// # Errors
    /// [`CallError`].
    pub(crate) async fn set_state(
        &mut self,
        (id, epoch): (Uuid, Option<i64>),
        (from, to): (JobState, JobState),
        more: Vec<Value>,
    ) -> Result<Held, CallError> {
        let mut patch = vec![
            json!({ "op": "test", "path": "/State", "value": from }),
            json!({ "op": "replace", "path": "/State", "value": to }),
        ];
        patch.extend(more);
        let body = Value::Array(patch).to_string();
        let mut call = Call::new(Method::PATCH, format!("/api/v3/jobs/{id}")).body(body);
        if let Some(epoch) = epoch {
            call = call.header(LEASE, epoch);
        }
        let reply = self.answer(&call).await?;
        if !matches!(reply.status, StatusCode::CONFLICT | StatusCode::NOT_FOUND) {
            let _: Job = good("report the job", &reply)?;
            return Ok(Held::Yes);
        }
        // Perhaps it was done by a call whose answer was lost.
        let job = self.job(&id.to_string()).await?;
        let done = job.is_some_and(|job| job.state == to && epoch.is_none_or(|epoch| epoch == job.epoch));
        Ok(if done { Held::Yes } else { Held::Lost })
    }

    /// Makes the machine not runnable. `lease` names the job that asks for it; without one it must
    /// still be this context's turn.
    ///
    /// # Errors
    /// [`CallError`].
    pub(crate) async fn pause(&mut self, lease: Result<Lease, &str>) -> Result<Held, CallError> {
        let replace = json!({ "op": "replace", "path": "/Runnable", "value": false });
        let call = Call::new(Method::PATCH, self.machine_path(""));
        let call = match lease {
            Ok(lease) => call.header(LEASE, lease.epoch).body(Value::Array(vec![replace]).to_string()),
            Err(context) => {
                let test = json!({ "op": "test", "path": "/Context", "value": context });
                call.body(Value::Array(vec![test, replace]).to_string())
            }
        };
        let reply = self.answer(&call).await?;
        if reply.status == StatusCode::CONFLICT {
            return Ok(Held::Lost);
        }
        let _: Machine = good("pause the machine", &reply)?;
        Ok(Held::Yes)
    }

    /// Whether the lease still counts.
    ///
    /// # Errors
    /// [`CallError`].
    pub(crate) async fn check(&mut self, lease: Lease) -> Result<Held, CallError> {
        let job = self.job(&lease.job.to_string()).await?;
        let held = job.is_some_and(|job| job.epoch == lease.epoch && !job.state.is_final());
        Ok(if held { Held::Yes } else { Held::Lost })
    }

    /// How many bytes the job's log has.
    ///
    /// # Errors
    /// [`CallError`].
    pub(crate) async fn log_length(&mut self, job: Uuid) -> Result<u64, CallError> {
        let reply = self.answer(&Call::new(Method::HEAD, log_path(job))).await?;
        // A server that does not tell has its own order; ours does.
        accept("look at the log", &reply).map(|()| reply.log_length.unwrap_or(0))
    }

    /// Appends a piece at its place in the log.
    ///
    /// # Errors
    /// [`CallError`].
    pub(crate) async fn append(
        &mut self,
        (job, lease): (Uuid, Option<Lease>),
        offset: u64,
        piece: Bytes,
    ) -> Result<Appended, CallError> {
        let mut call = Call::new(Method::PUT, format!("{}?offset={offset}", log_path(job)))
            .header(CONTENT_TYPE, "application/octet-stream")
            .body(piece);
        if let Some(lease) = lease {
            call = call.header(LEASE, lease.epoch);
        }
        let reply = self.answer(&call).await?;
        let lost = match lease {
            Some(lease) => self.is_lost(lease, &reply).await?,
            None => reply.status == StatusCode::NOT_FOUND,
        };
        match reply.log_length {
            _ if lost => Ok(Appended::Lost),
            Some(length) if reply.status == StatusCode::CONFLICT => Ok(Appended::Elsewhere(length)),
            Some(_) | None => accept("write the log", &reply).map(|()| Appended::Yes),
        }
    }

    /// Whether a refusal means that the job is no longer this runner's.
    async fn is_lost(&mut self, lease: Lease, reply: &Reply) -> Result<bool, CallError> {
        match reply.status {
            StatusCode::NOT_FOUND => Ok(true),
            StatusCode::CONFLICT => Ok(self.check(lease).await? == Held::Lost),
            _ => Ok(false),
        }
    }

    /// Any call at all, under the machine's token.
    ///
    /// # Errors
    /// [`CallError::Refused`] alone.
    pub(crate) async fn answer(&mut self, call: &Call) -> Result<Reply, CallError> {
        self.renew().await;
        let mut reply = self.persist(call).await;
        if is_refused(&reply) && self.credential.fall_back() {
            reply = self.persist(call).await;
        }
        if is_refused(&reply) { Err(CallError::Refused(told(&reply.body))) } else { Ok(reply) }
    }

    /// Asks for a new token when half of the old one's life is over.
    async fn renew(&mut self) {
        let now = since_boot();
        if now < self.credential.renew_at.get() {
            return;
        }
        // Set before: the answer to this call decides nothing about the one to come.
        self.credential.renew_at.set(now.saturating_add(RENEW_AGAIN));
        let reply = self.persist(&self.token_call()).await;
        // Refused, the old one may serve a while; the call to come finds out.
        if let Ok(Token { token, expires_in }) = good::<Token>("renew the token", &reply)
            && !token.is_empty()
        {
            self.credential.renewed.replace(Some(token));
            let life = expires_in.map_or(TOKEN_LIFE, Duration::from_secs).min(TOKEN_LIFE);
            self.credential.renew_at.set(now.saturating_add(life / 2));
        }
    }

    fn token_call(&self) -> Call {
        Call::new(Method::GET, self.machine_path(&format!("/token?ttl={}", TOKEN_LIFE.as_secs())))
    }

    /// Makes a call until there is an answer that will not pass by itself.
    async fn persist(&mut self, call: &Call) -> Reply {
        let mut attempt = 0;
        loop {
            let token = self.credential.reveal();
            let (why, asked) = match self.rest.send(call, &token).await {
                Ok(reply) if !passes(reply.status) => {
                    if attempt > 1 {
                        (self.say)("the server is back");
                    }
                    return reply;
                }
                Ok(reply) => (format!("HTTP {}", reply.status), reply.retry_after),
                Err(error) => (chain(&error), None),
            };
            // A connection that broke is no news.
            if attempt == 1 {
                (self.say)(&format!("the server is away, trying again: {why}"));
            }
            sleep(retry::asked_pause(attempt, random(), asked)).await;
            attempt = attempt.saturating_add(1);
        }
    }

    fn machine_path(&self, rest: &str) -> String {
        format!("/api/v3/machines/{}{rest}", self.machine)
    }
}

/// Whether an answer says that the server has no time, or something is wrong with it.
fn passes(status: StatusCode) -> bool {
    status.is_server_error() || matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT)
}

fn is_refused(reply: &Reply) -> bool {
    matches!(reply.status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
}

fn log_path(job: Uuid) -> String {
    format!("/api/v3/jobs/{job}/log")
}

fn accept(what: &'static str, reply: &Reply) -> Result<(), CallError> {
    if reply.status.is_success() {
        return Ok(());
    }
    Err(CallError::Odd { what, status: reply.status, message: told(&reply.body) })
}

fn good<T: DeserializeOwned>(what: &'static str, reply: &Reply) -> Result<T, CallError> {
    accept(what, reply)?;
    serde_json::from_slice(&reply.body)
        .map_err(|error| CallError::Malformed { what, cause: error.to_string() })
}

/// A random id.
fn new_id() -> Uuid {
    let mut bytes = [0; 16];
    let halves = [random(), random()];
    for (to, from) in bytes.iter_mut().zip(halves.iter().flat_map(|half| half.to_le_bytes())) {
        *to = from;
    }
    Builder::from_random_bytes(bytes).into_uuid()
}

/// A name, or a path, as it stands in a URL (RFC 3986 2.3): slashes stay.
pub(crate) fn escaped(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    text.bytes().fold(String::with_capacity(text.len()), |mut url, byte| {
        if plain(byte) {
            url.push(char::from(byte));
        } else {
            url.push_str(&format!("%{byte:02X}"));
        }
        url
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_in_a_url_as_they_should() {
        assert_eq!(escaped("net/dns servers"), "net/dns%20servers");
        assert_eq!(escaped("a?b#c%d\u{e4}"), "a%3Fb%23c%25d%C3%A4");
    }

    #[test]
    fn only_answers_that_pass_are_waited_for() {
        for (status, expected) in
            [(500, true), (503, true), (429, true), (409, false), (403, false), (204, false)]
        {
            assert_eq!(passes(StatusCode::from_u16(status).unwrap()), expected, "{status}");
        }
    }
}
