//! What a member and the server tell each other: news are awaited, reports sent, each over a connection and on a task of its
//! own, so that neither keeps the other or a lease waiting.

use crate::api::rest::{Call, Reply, Rest};
use crate::jitter::random;
use crate::report::{chain, printable};
use crate::runner::settings::Settings;
use crate::runtime::beside;
use crate::state::retry;
use hyper::{Method, StatusCode};
use protocol::mesh::{
    MAX_MESSAGE, MeshNews, MeshReadError, MeshReportAnswer, PATH, REPORT_PATH, read_answer, read_news,
};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

/// How long the server may hold news back.
const HOLD: Duration = Duration::from_secs(25);
/// How long a report may take: what is held ends soon without an answer.
const REPORT_LIMIT: Duration = Duration::from_secs(8);
/// Longest pause before a server that is away is asked again: members wait for each other's news.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);
/// Least time between two questions, whatever the server answers.
const BREATH: Duration = Duration::from_millis(100);

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
    /// The token is no longer taken.
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

/// Awaits news for ever.
pub(super) fn listen(settings: &Settings, tell: mpsc::Sender<Heard>) {
    let (mut rest, token) = (Rest::new(settings.place.clone()), settings.token.clone());
    beside(async move {
        let (mut cursor, mut attempt) = (String::new(), 0_u32);
        loop {
            let mut call = Call::new(Method::GET, format!("{PATH}?since={cursor}"));
            if cursor.is_empty() {
                call.path = PATH.to_owned();
            } else {
                call.wait = HOLD;
            }
            let (why, again) = match rest.send(&call, &token).await {
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
            sleep(retry::asked_pause(attempt, random(), again).min(LONGEST_PAUSE)).await;
            attempt = attempt.saturating_add(1);
        }
    });
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

/// Sends reports as they come. One that hangs gives way to the next.
pub(super) fn report(settings: &Settings, mut reports: mpsc::Receiver<Sending>, tell: mpsc::Sender<Heard>) {
    let (place, token) = (settings.place.clone(), settings.token.clone());
    beside(async move {
        let mut rest = Rest::new(place.clone());
        while let Some(Sending { sent, body }) = reports.recv().await {
            let call = Call::new(Method::POST, REPORT_PATH).body(body);
            let heard = match timeout(REPORT_LIMIT, rest.send(&call, &token)).await {
                Ok(Ok(reply)) => understood(sent, &reply),
                Ok(Err(error)) => Heard::NoAnswer(chain(&error)),
                Err(_) => {
                    rest = Rest::new(place.clone());
                    Heard::NoAnswer("no answer in time".to_owned())
                }
            };
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
mod tests {
    use super::*;

    fn reply(status: u16, body: &str) -> Reply {
        Reply {
            status: StatusCode::from_u16(status).unwrap(),
            etag: None,
            log_length: None,
            retry_after: None,
            body: body.to_owned().into(),
        }
    }

    #[test]
    fn answers_to_reports_are_understood() {
        let answer = r#"{"due":5000,"grants":[{"name":"db","epoch":3,"lease":15000}]}"#;
        let Heard::Answer { sent: 7, answer } = understood(7, &reply(200, answer)) else {
            panic!("no answer")
        };
        assert_eq!((answer.due, answer.grants.len()), (5_000, 1));
        assert!(matches!(understood(7, &reply(409, "{}")), Heard::KeyTaken));
        assert!(matches!(understood(7, &reply(401, "gone")), Heard::Refused(why) if why == "gone"));
        assert!(matches!(understood(7, &reply(403, "")), Heard::Refused(_)));
        assert!(matches!(understood(7, &reply(503, "busy")), Heard::NoAnswer(why) if why.contains("busy")));
        assert!(matches!(understood(7, &reply(200, "nonsense")), Heard::NoAnswer(_)));
    }

    #[test]
    fn cursor_that_would_break_a_url_is_not_sent_back() {
        assert_eq!(checked("0b4f9c9e-7"), "0b4f9c9e-7");
        assert_eq!(checked("a&b c\r\n"), "");
        let mut cursor = "x".to_owned();
        unread(&mut cursor, &read_news(b"nonsense").unwrap_err());
        assert_eq!(cursor, "");
    }
}
