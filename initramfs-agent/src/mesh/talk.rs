//! What a member and the server tell each other: news are awaited, reports sent, each over a connection and on a task of its
//! own, so that neither keeps the other or a lease waiting. Whoever awaits news renews the token of both, between two
//! answers.

use super::token::Token;
use crate::api::rest::{Call, Place, Reply, Rest, RestError};
use crate::deadline::since_boot;
use crate::jitter::random;
use crate::report::{chain, printable};
use crate::runner::settings::Settings;
use crate::runtime::beside;
use crate::state::retry;
use hyper::{Method, StatusCode};
use protocol::mesh::{
    MAX_MESSAGE, MeshNews, MeshReadError, MeshReportAnswer, PATH, REPORT_PATH, read_answer, read_news,
};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, mpsc};
use tokio::time::{sleep, timeout};

/// How long the server may hold news back.
const HOLD: Duration = Duration::from_secs(25);
/// How long a report may take: what is held ends soon without an answer.
const REPORT_LIMIT: Duration = Duration::from_secs(8);
/// Longest pause before a server that is away is asked again: members wait for each other's news.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);
/// Least time between two questions, whatever the server answers.
const BREATH: Duration = Duration::from_millis(100);
/// News and answers that may wait.
const ROOM: usize = 16;

/// What came of talking.
#[derive(Debug)]
pub(super) enum Heard {
    /// News.
    News(MeshNews),
    /// An answer to the report of that time.
    Answer {
        /// When the report was sent.
        sent: u64,
        /// The answer.
        answer: MeshReportAnswer,
    },
    /// No answer to a report, and why.
    NoAnswer(String),
    /// Another member has the same key.
    KeyTaken,
    /// Neither the token that the agent gave is taken any more, nor one after it.
    Refused(String),
    /// A line to say.
    Said(String),
}

/// A report to send.
#[derive(Debug)]
pub(super) struct Sending {
    /// When it is sent.
    pub(super) sent: u64,
    /// [`protocol::mesh::MeshReport`] as JSON.
    pub(super) body: Vec<u8>,
}

/// The server, as a member has it.
pub(super) struct Server {
    /// What comes of talking.
    pub(super) heard: mpsc::Receiver<Heard>,
    /// Where reports go; none while there is no token.
    pub(super) reports: Option<mpsc::Sender<Sending>>,
}

impl Server {
    /// The one that the agent told of. Without it nothing is ever heard.
    pub(super) fn reach(settings: Option<Settings>) -> Self {
        let (tell, heard) = mpsc::channel(ROOM);
        let reports = settings.map(|settings| {
            let (reports, sending) = mpsc::channel(1);
            let line = Line {
                place: settings.place,
                token: Token::new(settings.machine, settings.token),
                answered: Arc::default(),
                tell,
            };
            listen(line.clone());
            report(line, sending);
            reports
        });
        Self { heard, reports }
    }
}

/// What both tasks have.
#[derive(Clone)]
struct Line {
    place: Place,
    token: Token,
    /// Told of each report that was answered: a server that answers those has news, too.
    answered: Arc<Notify>,
    tell: mpsc::Sender<Heard>,
}

/// Awaits news for ever.
fn listen(Line { place, token, answered, tell }: Line) {
    beside(async move {
        let mut rest = Rest::new(place);
        let (mut cursor, mut attempt) = (String::new(), 0_u32);
        loop {
            let mut call = Call::new(Method::GET, format!("{PATH}?since={cursor}"));
            if cursor.is_empty() {
                call.path = PATH.to_owned();
            } else {
                call.wait = HOLD;
            }
            let (why, again) = match send(&mut rest, &call, &token).await {
                Ok(reply) if is_refused(&reply) => {
                    drop(tell.send(Heard::Refused(said(&reply))).await);
                    return;
                }
                Ok(reply) if reply.status == StatusCode::OK => match read_news(&reply.body) {
                    Ok(news) => {
                        if attempt > 1 {
                            drop(tell.send(Heard::Said("mesh: the server is back".to_owned())).await);
                        }
                        attempt = 0;
                        cursor = checked(&news.cursor);
                        if tell.send(Heard::News(news)).await.is_err() {
                            return;
                        }
                        if let Err(why) = renew(&mut rest, &token).await {
                            let line = format!("mesh: the server gives no other token, trying again: {why}");
                            drop(tell.send(Heard::Said(line)).await);
                        }
                        sleep(BREATH).await;
                        continue;
                    }
                    Err(error) => (unread(&mut cursor, &error), None),
                },
                Ok(reply) => (format!("HTTP {} {}", reply.status, said(&reply)), reply.retry_after),
                Err(error) => (chain(&error), None),
            };
            // A connection that broke is no news.
            if attempt == 1 {
                let line = format!("mesh: the server is away, tunnels stay as they are: {why}");
                drop(tell.send(Heard::Said(line)).await);
            }
            match again.filter(|seconds| *seconds > 0) {
                Some(_) => sleep(retry::asked_pause(attempt, random(), again).min(LONGEST_PAUSE)).await,
                None => pause(retry::pause(attempt, random()).min(LONGEST_PAUSE), &answered).await,
            }
            attempt = attempt.saturating_add(1);
        }
    });
}

/// Waits that long, or until a report is answered.
async fn pause(longest: Duration, answered: &Notify) {
    let ended = answered.notified();
    sleep(BREATH).await;
    // Either way the pause is over.
    drop(timeout(longest.saturating_sub(BREATH), ended).await);
}

/// News that cannot be read are asked for as a whole.
fn unread(cursor: &mut String, error: &MeshReadError) -> String {
    cursor.clear();
    chain(error)
}

/// A cursor that stands in a URL as it is.
fn checked(cursor: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    if cursor.bytes().all(plain) { cursor.to_owned() } else { String::new() }
}

/// A call under the token of this moment; one that is refused once more under another, as long as there is one.
async fn send(rest: &mut Rest, call: &Call, token: &Token) -> Result<Reply, RestError> {
    loop {
        let used = token.reveal();
        let reply = rest.send(call, &used).await?;
        if !is_refused(&reply) || !token.has_another(&used, since_boot()) {
            return Ok(reply);
        }
    }
}

/// Asks for the next token when it is time for it, of a server that just answered: one that is away keeps nobody
/// waiting here.
async fn renew(rest: &mut Rest, token: &Token) -> Result<(), String> {
    let Some(call) = token.renewal(since_boot()) else { return Ok(()) };
    let reply = send(rest, &call, token).await.map_err(|error| chain(&error))?;
    token.renewed(&reply, since_boot(), random())
}

/// Sends reports as they come. One that hangs gives way to the next.
fn report(Line { place, token, answered, tell }: Line, mut reports: mpsc::Receiver<Sending>) {
    beside(async move {
        let mut rest = Rest::new(place.clone());
        while let Some(Sending { sent, body }) = reports.recv().await {
            let call = Call::new(Method::POST, REPORT_PATH).body(body);
            let heard = match timeout(REPORT_LIMIT, send(&mut rest, &call, &token)).await {
                Ok(Ok(reply)) => understood(sent, &reply),
                Ok(Err(error)) => Heard::NoAnswer(chain(&error)),
                Err(_) => {
                    rest = Rest::new(place.clone());
                    Heard::NoAnswer("no answer in time".to_owned())
                }
            };
            if matches!(heard, Heard::Answer { .. }) {
                answered.notify_waiters();
            }
            if tell.send(heard).await.is_err() {
                return;
            }
        }
    });
}

fn understood(sent: u64, reply: &Reply) -> Heard {
    if is_refused(reply) {
        return Heard::Refused(said(reply));
    }
    match reply.status {
        StatusCode::CONFLICT => Heard::KeyTaken,
        status if status.is_success() => match read_answer(&reply.body) {
            Ok(answer) => Heard::Answer { sent, answer },
            Err(error) => Heard::NoAnswer(chain(&error)),
        },
        status => Heard::NoAnswer(format!("HTTP {status} {}", said(reply))),
    }
}

fn is_refused(reply: &Reply) -> bool {
    matches!(reply.status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
}

/// The server's words.
fn said(reply: &Reply) -> String {
    printable(&String::from_utf8_lossy(reply.body.get(..MAX_MESSAGE).unwrap_or(&reply.body)), MAX_MESSAGE)
}

#[cfg(test)]
#[path = "talk/tests.rs"]
pub(super) mod tests;
