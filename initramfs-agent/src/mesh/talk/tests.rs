//! What answers mean, and talking with a server over real TLS.

use super::*;
use crate::api::tls::tests::Authority;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use std::future::pending;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::net::TcpListener;
use tokio::sync::Notify;

/// Longest test, in the time of a busy machine.
const LIMIT: Duration = Duration::from_secs(60);
const MACHINE: &str = "00000000-0000-0000-0000-000000000007";

/// What the server knows.
#[derive(Default)]
struct State {
    /// Tokens that are taken.
    tokens: Vec<String>,
    /// It makes no more of them.
    is_out_of_tokens: bool,
    /// Each call: the token that it came under, method and path.
    calls: Vec<String>,
}

/// A server of one member.
struct Fake {
    state: Arc<Mutex<State>>,
    /// Told of each call.
    called: Arc<Notify>,
    server: Server,
}

impl Fake {
    /// One that takes this token, and a member that has `mmt_first`.
    async fn start(taken: &str) -> Self {
        let ca = Authority::new();
        let acceptor = ca.acceptor(&["dc1.agent.internal"], 2020..=2090);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let told = [
            ("RS_UUID", MACHINE.to_owned()),
            ("RS_TOKEN", "mmt_first".to_owned()),
            ("RS_ENDPOINT", format!("https://{}", listener.local_addr().unwrap())),
            ("MUSTER_CA_HASH", ca.pin().to_string()),
        ];
        let value = |name: &str| told.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into());
        let settings = Settings::read([], value).unwrap();
        let state = State { tokens: vec![taken.to_owned()], ..State::default() };
        let (state, called) = (Arc::new(Mutex::new(state)), Arc::new(Notify::new()));
        let served = (state.clone(), called.clone());
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (acceptor, (state, called)) = (acceptor.clone(), served.clone());
                tokio::spawn(async move {
                    let stream = acceptor.accept(stream).await.unwrap();
                    let service = service_fn(move |request| serve(request, state.clone(), called.clone()));
                    // A member that is gone breaks it off.
                    drop(http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
                });
            }
        });
        Self { state, called, server: Server::reach(Some(settings)) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Waits until there was this call.
    async fn until(&self, call: &str) {
        let waits = async {
            loop {
                let called = self.called.notified();
                if self.state().calls.iter().any(|made| made == call) {
                    return;
                }
                called.await;
            }
        };
        let outcome = timeout(LIMIT, waits).await;
        assert!(outcome.is_ok(), "no {call}: {:?}", self.state().calls);
    }

    async fn hears(&mut self) -> Heard {
        timeout(LIMIT, self.server.heard.recv()).await.expect("nothing is heard").unwrap()
    }

    /// What comes of a report.
    async fn reports(&mut self, sent: u64) -> Heard {
        let sending = Sending { sent, body: b"{}".to_vec() };
        self.server.reports.as_ref().unwrap().send(sending).await.unwrap();
        self.hears().await
    }

    /// The calls since this was asked last.
    fn calls(&self) -> Vec<String> {
        std::mem::take(&mut self.state().calls)
    }
}

async fn serve(
    request: Request<Incoming>,
    state: Arc<Mutex<State>>,
    called: Arc<Notify>,
) -> Result<Response<Full<Bytes>>, io::Error> {
    let (head, body) = request.into_parts();
    body.collect().await.map_err(io::Error::other)?;
    let token = head.headers.get("authorization").unwrap().to_str().unwrap();
    let token = token.strip_prefix("Bearer ").unwrap().to_owned();
    let path = head.uri.path_and_query().unwrap().as_str().to_owned();
    let (status, text) = {
        let mut state = state.lock().unwrap();
        state.calls.push(format!("{token} {} {path}", head.method));
        if !state.tokens.contains(&token) {
            (401, "void".to_owned())
        } else if path == PATH {
            (200, r#"{"cursor":"c1","whole":true}"#.to_owned())
        } else if path == REPORT_PATH {
            (200, r#"{"due":5000}"#.to_owned())
        } else if path.starts_with(PATH) {
            (0, String::new())
        } else if state.is_out_of_tokens {
            (503, String::new())
        } else {
            assert_eq!(path, format!("/api/v3/machines/{MACHINE}/token?ttl=3600"));
            let made = format!("mmt_{}", state.tokens.len());
            state.tokens.push(made.clone());
            (200, format!(r#"{{"Token":"{made}","ExpiresIn":3600}}"#))
        }
    };
    called.notify_waiters();
    if status == 0 {
        // There is no other news.
        return pending().await;
    }
    Ok(Response::builder().status(status).body(Full::from(text)).unwrap())
}

#[tokio::test]
async fn member_goes_on_under_a_token_that_it_made_itself() {
    let mut fake = Fake::start("mmt_first").await;
    assert!(matches!(fake.hears().await, Heard::News(news) if news.cursor == "c1"));
    fake.until("mmt_1 GET /api/v3/agent/mesh?since=c1").await;
    // As after the hours that the agent's lasts.
    fake.state().tokens.remove(0);
    fake.calls();
    assert!(matches!(fake.reports(7).await, Heard::Answer { sent: 7, .. }));
    assert_eq!(fake.calls(), ["mmt_1 POST /api/v3/agent/mesh/report"]);
}

#[tokio::test]
async fn report_is_taken_under_the_first_token_when_later_ones_have_ended() {
    let mut fake = Fake::start("mmt_first").await;
    assert!(matches!(fake.hears().await, Heard::News(_)));
    fake.until("mmt_1 GET /api/v3/agent/mesh?since=c1").await;
    // As after an hour in which the server was away.
    fake.state().tokens.truncate(1);
    fake.calls();
    assert!(matches!(fake.reports(8).await, Heard::Answer { sent: 8, .. }), "the same report");
    assert_eq!(
        fake.calls(),
        ["mmt_1 POST /api/v3/agent/mesh/report", "mmt_first POST /api/v3/agent/mesh/report"]
    );
    // As after a change of the machine's secret.
    fake.state().tokens.clear();
    assert!(matches!(fake.reports(9).await, Heard::Refused(why) if why == "void"));
}

#[tokio::test]
async fn token_that_was_never_taken_is_refused() {
    let mut fake = Fake::start("mmt_other").await;
    assert!(matches!(fake.hears().await, Heard::Refused(why) if why == "void"));
    assert_eq!(fake.calls(), ["mmt_first GET /api/v3/agent/mesh"]);
}

#[tokio::test]
async fn server_that_makes_no_tokens_is_told_of_and_the_first_one_serves() {
    let mut fake = Fake::start("mmt_first").await;
    fake.state().is_out_of_tokens = true;
    assert!(matches!(fake.hears().await, Heard::News(_)));
    assert!(matches!(fake.hears().await, Heard::Said(line)
        if line == "mesh: the server gives no other token, trying again: HTTP 503 Service Unavailable"));
    fake.until("mmt_first GET /api/v3/agent/mesh?since=c1").await;
    assert!(matches!(fake.reports(3).await, Heard::Answer { sent: 3, .. }));
}

#[tokio::test(start_paused = true)]
async fn answered_report_ends_the_pause_before_news_are_asked_for_again() {
    let (answered, begun) = (Arc::new(Notify::new()), tokio::time::Instant::now());
    pause(LONGEST_PAUSE, &answered).await;
    assert_eq!(begun.elapsed(), LONGEST_PAUSE, "nothing was answered");

    let (teller, begun) = (answered.clone(), tokio::time::Instant::now());
    tokio::spawn(async move {
        sleep(Duration::from_secs(2)).await;
        teller.notify_waiters();
    });
    pause(LONGEST_PAUSE, &answered).await;
    assert_eq!(begun.elapsed(), Duration::from_secs(2));

    answered.notify_waiters();
    let begun = tokio::time::Instant::now();
    pause(LONGEST_PAUSE, &answered).await;
    assert_eq!(begun.elapsed(), LONGEST_PAUSE, "an answer from before the pause says nothing of now");
}

/// An answer of the server, as it was read.
pub(in crate::mesh) fn reply(status: u16, body: &str) -> Reply {
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
    let Heard::Answer { sent: 7, answer } = understood(7, &reply(200, answer)) else { panic!("no answer") };
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
