//! Terminals from outside: who may open one, what both sides hear, what is recorded, and how they end.

use crate::support::{Fixture, Machine, start};
use axum::http::{HeaderName, StatusCode, header};
use futures_util::{SinkExt, StreamExt};
use protocol::terminal::{MAX_BYTES, WINDOW};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

const SOON: Duration = Duration::from_secs(20);
const OPEN: &str = r#"{"Type":"open","Size":{"Cols":100,"Rows":30}}"#;

type Headers = Vec<(HeaderName, String)>;

/// A server on a socket, and a machine that is on duty.
struct Site {
    fixture: Fixture,
    address: SocketAddr,
    agent: Machine,
    access_token: String,
    machine: String,
}

/// One end of a terminal.
struct Side(WebSocketStream<TcpStream>);

impl Side {
    async fn open(address: SocketAddr, path: &str, headers: &Headers) -> Result<Self, StatusCode> {
        let mut request = format!("ws://{address}{path}").into_client_request().unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(name.clone(), value.parse().unwrap());
        }
        let stream = TcpStream::connect(address).await.unwrap();
        match client_async(request, stream).await {
            Ok((socket, _)) => Ok(Self(socket)),
            Err(Error::Http(answer)) => Err(answer.status()),
            Err(error) => panic!("{error}"),
        }
    }

    async fn says(&mut self, text: &str) {
        self.0.send(Message::text(text)).await.unwrap();
    }

    async fn types(&mut self, bytes: &[u8]) {
        self.0.send(Message::binary(bytes.to_vec())).await.unwrap();
    }

    /// The next message that is no ping; none at the end.
    async fn next(&mut self) -> Option<Message> {
        loop {
            match timeout(SOON, self.0.next()).await.expect("in time") {
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
                Some(Ok(message)) => return Some(message),
            }
        }
    }

    async fn hears(&mut self) -> Value {
        match self.next().await {
            Some(Message::Text(text)) => serde_json::from_str(&text).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    async fn sees(&mut self, bytes: &[u8]) {
        let mut seen = Vec::new();
        while seen.len() < bytes.len() {
            match self.next().await {
                Some(Message::Binary(piece)) => seen.extend_from_slice(&piece),
                other => panic!("{other:?} after {seen:?}"),
            }
        }
        assert_eq!(seen, bytes);
    }

    /// Why it ended.
    async fn reason(&mut self) -> String {
        loop {
            match self.next().await {
                Some(Message::Text(text)) => {
                    let heard: Value = serde_json::from_str(&text).unwrap();
                    if heard["Type"] == "ended" {
                        return heard["Reason"].as_str().unwrap().to_owned();
                    }
                }
                Some(_) => {}
                None => panic!("it ended without a word"),
            }
        }
    }
}

impl Site {
    async fn start() -> Self {
        let fixture = start().await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = fixture.router.clone();
        tokio::spawn(async move { axum::serve(listener, router).await });
        let mut agent = Machine::new(&fixture, 1).await;
        let token =
            fixture.call(fixture.admin("POST", "/api/v3/bootstrap/tokens", r#"{"Lifetime":600}"#)).await;
        let body = json!({"token": token.json()["Token"], "inventory": {}}).to_string();
        let registered = fixture.call(agent.request("/api/v3/bootstrap/register", &body, None)).await.json();
        let machine = registered["machine"]["Uuid"].as_str().unwrap().to_owned();
        agent.nonce = registered["enrol_nonce"].as_str().unwrap().to_owned();
        let access = fixture.call(agent.request("/api/v3/agent/token", "{}", None)).await.json();
        agent.nonce = access["nonce"].as_str().unwrap().to_owned();
        let access_token = access["access_token"].as_str().unwrap().to_owned();
        let mut site = Self { fixture, address, agent, access_token, machine };
        site.beat().await;
        site
    }

    /// Sends a heartbeat, and gives back the ticket in its answer.
    async fn beat(&mut self) -> Option<(String, String)> {
        let body = r#"{"state":"discovery","inventory_digest":""}"#;
        let request = self.agent.request("/api/v3/agent/heartbeat", body, Some(&self.access_token));
        let answer = self.fixture.call(request).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        let answer = answer.json();
        self.agent.nonce = answer["nonce"].as_str().unwrap().to_owned();
        let ticket = answer.get("terminal")?;
        Some((ticket["id"].as_str().unwrap().to_owned(), ticket["secret"].as_str().unwrap().to_owned()))
    }

    fn path(&self, rest: &str) -> String {
        format!("/api/v3/machines/{}/{rest}", self.machine)
    }

    fn as_admin(&self) -> Headers {
        self.as_user("admin", &self.fixture.password)
    }

    fn as_user(&self, name: &str, password: &str) -> Headers {
        let pair =
            base64::Engine::encode(&base64::engine::general_purpose::STANDARD, format!("{name}:{password}"));
        vec![(header::AUTHORIZATION, format!("Basic {pair}"))]
    }

    async fn ask(&self, method: &str, rest: &str, body: &str) -> (StatusCode, Value) {
        let answer = self.fixture.call(self.fixture.admin(method, &self.path(rest), body)).await;
        (answer.status, answer.json())
    }

    async fn allow(&self) {
        assert_eq!(self.ask("PUT", "terminal", r#"{"Enabled":true}"#).await.0, StatusCode::OK);
    }

    async fn operator(&self) -> Side {
        let mut side = Side::open(self.address, &self.path("terminal/ws"), &self.as_admin()).await.unwrap();
        side.says(OPEN).await;
        side
    }

    async fn machine_side(&self, ticket: &(String, String)) -> Result<Side, StatusCode> {
        let headers = vec![(header::AUTHORIZATION, format!("Bearer {}", ticket.1))];
        Side::open(self.address, &format!("/api/v3/agent/terminal/{}", ticket.0), &headers).await
    }

    /// Both sides of one, after their first words.
    async fn both(&mut self) -> (Side, Side) {
        let mut operator = self.operator().await;
        assert_eq!(operator.hears().await["Type"], "waiting");
        let ticket = self.beat().await.expect("the agent hears of it");
        let mut machine = self.machine_side(&ticket).await.unwrap();
        assert_eq!(machine.hears().await["Type"], "start");
        assert_eq!(operator.hears().await["Type"], "waiting", "the agent knows");
        assert_eq!(operator.hears().await["Type"], "opened");
        (operator, machine)
    }

    /// Words of the audit log about terminals, oldest first.
    async fn audit(&self) -> Vec<String> {
        let rows = self.fixture.call(self.fixture.admin("GET", "/api/v3/audit?limit=500", "")).await.json();
        let kinds = rows.as_array().unwrap().iter().map(|row| row["Kind"].as_str().unwrap().to_owned());
        let mut kinds: Vec<String> = kinds.filter(|kind| kind.starts_with("terminal.")).collect();
        kinds.reverse();
        kinds
    }
}

#[tokio::test]
async fn terminal_carries_bytes_both_ways_and_what_was_shown_is_recorded() {
    let mut site = Site::start().await;
    site.allow().await;
    let mut operator = site.operator().await;
    assert_eq!(operator.hears().await["Type"], "waiting");
    let ticket = site.beat().await.unwrap();
    let mut machine = site.machine_side(&ticket).await.unwrap();
    let expected =
        json!({"Type": "start", "User": "admin", "Source": "127.0.0.1", "Size": {"Cols": 100, "Rows": 30}});
    assert_eq!(machine.hears().await, expected);
    assert_eq!(operator.hears().await["Type"], "waiting");
    assert_eq!(operator.hears().await, json!({"Type": "opened", "Uuid": ticket.0}));
    assert_eq!(site.beat().await, None, "whoever came with it needs it no more");

    operator.types(b"passwd\n").await;
    machine.sees(b"passwd\n").await;
    machine.types("Password: gr\u{fc}n \u{1b}[2J".as_bytes()).await;
    operator.sees("Password: gr\u{fc}n \u{1b}[2J".as_bytes()).await;
    operator.types(b"hunter2\n").await;
    machine.sees(b"hunter2\n").await;
    operator.says(r#"{"Type":"resize","Size":{"Cols":9999,"Rows":0}}"#).await;
    assert_eq!(machine.hears().await, json!({"Type": "resize", "Size": {"Cols": 500, "Rows": 1}}));
    operator.says(r#"{"Type":"later","Thing":1}"#).await;
    machine.says(r#"{"Type":"exited","Code":3}"#).await;
    assert_eq!(
        operator.hears().await,
        json!({"Type": "ended", "Reason": "exited", "Message": "the shell ended with code 3"})
    );
    assert_eq!(operator.next().await, None);

    let kept = &site.ask("GET", "terminals", "").await.1[0];
    assert_eq!(
        (&kept["Uuid"], &kept["User"], &kept["Source"]),
        (&json!(ticket.0), &json!("admin"), &json!("127.0.0.1"))
    );
    assert_eq!(
        (&kept["End"], &kept["Recorded"], &kept["Bytes"]),
        (&json!("exited"), &json!(true), &json!(20))
    );
    assert!(!kept["ClosedAt"].as_str().unwrap().is_empty());
    let path = format!("/api/v3/terminals/{}/recording", ticket.0);
    let recording = site.fixture.call(site.fixture.admin("GET", &path, "")).await;
    assert_eq!(recording.header("content-type"), "application/x-asciicast");
    let text = String::from_utf8(recording.body).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(
        (&lines[0]["version"], &lines[0]["width"], &lines[0]["height"]),
        (&json!(2), &json!(100), &json!(30))
    );
    let shown: Vec<_> =
        lines[1..].iter().map(|line| (line[1].as_str().unwrap(), line[2].as_str().unwrap())).collect();
    assert_eq!(shown, [("o", "Password: gr\u{fc}n \u{1b}[2J"), ("r", "500x1")]);
    assert!(!text.contains("hunter2"), "what is typed is not kept");
    let sealed = site.fixture.directory.path().join(format!("data/terminals/{}.cast.sealed", ticket.0));
    assert!(!std::fs::read_to_string(sealed).unwrap().contains("Password"));
    assert_eq!(
        site.audit().await,
        ["terminal.enabled", "terminal.opened", "terminal.closed", "terminal.replayed"]
    );
}

#[tokio::test]
async fn terminals_are_off_until_somebody_says_otherwise_and_then_again() {
    let mut site = Site::start().await;
    assert_eq!(site.ask("GET", "terminal", "").await.1["Enabled"], false);
    assert_eq!(site.operator().await.reason().await, "off");
    assert_eq!(site.beat().await, None, "the machine hears nothing of it");
    // No param, and no other change of the machine, switches them on.
    let params = format!("/api/v3/machines/{}/params/muster~1terminal", site.machine);
    site.fixture.call(site.fixture.admin("POST", &params, "true")).await;
    assert_eq!(site.operator().await.reason().await, "off");
    site.allow().await;
    let (status, state) = site.ask("GET", "terminal", "").await;
    assert_eq!(
        (status, &state["Enabled"], &state["EnabledBy"]),
        (StatusCode::OK, &json!(true), &json!("admin"))
    );
    let (mut operator, mut machine) = site.both().await;
    assert_eq!(site.ask("GET", "terminal", "").await.1["Open"]["User"], "admin");
    assert_eq!(site.ask("PUT", "terminal", r#"{"Enabled":false}"#).await.0, StatusCode::OK);
    assert_eq!(operator.reason().await, "off");
    assert_eq!(machine.next().await, None, "the machine's side ends with it");
    assert_eq!(site.operator().await.reason().await, "off");
    // One that was deleted takes the switch along.
    site.allow().await;
    let deleted = site.fixture.call(site.fixture.admin("DELETE", &site.path(""), "")).await;
    assert!(deleted.status.is_success() || deleted.status == StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn only_users_with_the_right_come_in() {
    let mut site = Site::start().await;
    site.allow().await;
    let make = |path: &str, body: Value| site.fixture.admin("POST", path, &body.to_string());
    let claims = json!([{"scope": "machines", "action": "get,list,update", "specific": "*"}]);
    assert_eq!(
        site.fixture.call(make("/api/v3/roles", json!({"Name": "reader", "Claims": claims}))).await.status,
        StatusCode::CREATED
    );
    assert_eq!(
        site.fixture.call(make("/api/v3/users", json!({"Name": "eve", "Roles": ["reader"]}))).await.status,
        StatusCode::CREATED
    );
    let password = json!({"Password": "correct horse battery"}).to_string();
    site.fixture.call(site.fixture.admin("PUT", "/api/v3/users/eve/password", &password)).await;
    let eve = site.as_user("eve", "correct horse battery");
    let ws = site.path("terminal/ws");
    assert_eq!(Side::open(site.address, &ws, &eve).await.err(), Some(StatusCode::FORBIDDEN));
    for (method, rest, body) in [
        ("GET", "terminal", ""),
        ("PUT", "terminal", r#"{"Enabled":false}"#),
        ("DELETE", "terminal", ""),
        ("GET", "terminals", ""),
    ] {
        let mut request = Fixture::request(method, &site.path(rest), body);
        request.headers_mut().insert(header::AUTHORIZATION, eve[0].1.parse().unwrap());
        assert_eq!(site.fixture.call(request).await.status, StatusCode::FORBIDDEN, "{method} {rest}");
    }
    // Nobody without a log-in, no token in the address, and no token of the machine's.
    assert_eq!(Side::open(site.address, &ws, &Vec::new()).await.err(), Some(StatusCode::UNAUTHORIZED));
    let named = format!("{ws}?token=admin:{}", site.fixture.password);
    assert_eq!(Side::open(site.address, &named, &Vec::new()).await.err(), Some(StatusCode::UNAUTHORIZED));
    let token = site.ask("GET", "token", "").await.1["Token"].as_str().unwrap().to_owned();
    let bearer = vec![(header::AUTHORIZATION, format!("Bearer {token}"))];
    assert_eq!(Side::open(site.address, &ws, &bearer).await.err(), Some(StatusCode::FORBIDDEN));
    assert_eq!(site.beat().await, None);
    // With the right, for this machine alone.
    let claims = json!([{"scope": "machines", "action": "terminal", "specific": site.machine}]);
    let role = json!({"Name": "reader", "Claims": claims}).to_string();
    let changed = site.fixture.call(site.fixture.admin("PUT", "/api/v3/roles/reader", &role)).await;
    assert_eq!(changed.status, StatusCode::OK, "{changed:?}");
    let mut side = Side::open(site.address, &ws, &eve).await.unwrap();
    side.says(OPEN).await;
    assert_eq!(side.hears().await["Type"], "waiting");
}

#[tokio::test]
async fn token_does_for_no_terminal_since_nobody_entered_a_password() {
    let site = Site::start().await;
    let made = site.fixture.call(site.fixture.admin("GET", "/api/v3/users/admin/token", "")).await.json();
    let bearer = vec![(header::AUTHORIZATION, format!("Bearer {}", made["Token"].as_str().unwrap()))];
    let mut request = Fixture::request("PUT", &site.path("terminal"), r#"{"Enabled":true}"#);
    request.headers_mut().insert(header::AUTHORIZATION, bearer[0].1.parse().unwrap());
    let refused = site.fixture.call(request).await;
    assert_eq!((refused.status, &refused.json()["Type"]), (StatusCode::UNAUTHORIZED, &json!("step_up")));
    site.allow().await;
    let mut side = Side::open(site.address, &site.path("terminal/ws"), &bearer).await.unwrap();
    side.says(OPEN).await;
    assert_eq!(side.reason().await, "confirm");
    assert!(site.ask("GET", "terminals", "").await.1.as_array().unwrap().is_empty(), "none was opened");
}

#[tokio::test]
async fn cookie_opens_one_from_its_own_page_and_with_its_token_only() {
    let site = Site::start().await;
    site.allow().await;
    let (cookie, csrf) = site.fixture.login().await;
    let ws = site.path("terminal/ws");
    let with = |origin: &str| vec![(header::COOKIE, cookie.clone()), (header::ORIGIN, origin.to_owned())];
    let own = format!("https://{}", site.address);
    for origin in ["https://evil.test", "null"] {
        assert_eq!(Side::open(site.address, &ws, &with(origin)).await.err(), Some(StatusCode::FORBIDDEN));
    }
    let without = vec![(header::COOKIE, cookie.clone())];
    assert_eq!(Side::open(site.address, &ws, &without).await.err(), Some(StatusCode::FORBIDDEN));
    for first in [OPEN.to_owned(), OPEN.replace("{\"Type", "{\"Csrf\":\"wrong\",\"Type")] {
        let mut side = Side::open(site.address, &ws, &with(&own)).await.unwrap();
        side.says(&first).await;
        assert_eq!(side.reason().await, "forbidden", "{first}");
    }
    let mut side = Side::open(site.address, &ws, &with(&own)).await.unwrap();
    side.says(&OPEN.replace("{\"Type", &format!("{{\"Csrf\":\"{csrf}\",\"Type"))).await;
    assert_eq!(side.hears().await["Type"], "waiting");
    // It ends with the session.
    let mut logout = Fixture::request("DELETE", "/api/v3/session", "");
    logout.headers_mut().insert(header::COOKIE, cookie.parse().unwrap());
    logout.headers_mut().insert("x-csrf-token", csrf.parse().unwrap());
    logout.headers_mut().insert(header::ORIGIN, format!("https://{}", crate::support::HOST).parse().unwrap());
    assert_eq!(site.fixture.call(logout).await.status, StatusCode::NO_CONTENT);
    assert_eq!(side.reason().await, "logged_out");
}

#[tokio::test]
async fn machine_has_one_terminal_and_its_secret_is_good_once() {
    let mut site = Site::start().await;
    site.allow().await;
    let mut operator = site.operator().await;
    assert_eq!(operator.hears().await["Type"], "waiting");
    assert_eq!(site.operator().await.reason().await, "busy");
    let ticket = site.beat().await.unwrap();
    assert_eq!(site.beat().await, Some(ticket.clone()), "an answer may be lost");
    let wrong = [
        (ticket.0.clone(), "wrong".to_owned()),
        (ticket.0.clone(), String::new()),
        (site.machine.clone(), ticket.1.clone()),
    ];
    for each in wrong {
        assert_eq!(site.machine_side(&each).await.err(), Some(StatusCode::NOT_FOUND));
    }
    let mut machine = site.machine_side(&ticket).await.unwrap();
    assert_eq!(machine.hears().await["Type"], "start");
    assert_eq!(site.machine_side(&ticket).await.err(), Some(StatusCode::NOT_FOUND));
    // Somebody else ends it.
    assert_eq!(site.ask("DELETE", "terminal", "").await.0, StatusCode::OK);
    assert_eq!(operator.reason().await, "stopped");
    assert_eq!(machine.next().await, None);
    assert_eq!(site.ask("DELETE", "terminal", "").await.0, StatusCode::CONFLICT);
}

#[tokio::test]
async fn both_ends_may_go_at_any_time() {
    let mut site = Site::start().await;
    site.allow().await;
    let (mut operator, machine) = site.both().await;
    drop(machine);
    assert_eq!(operator.reason().await, "machine_lost");
    let (operator, mut machine) = site.both().await;
    drop(operator);
    assert_eq!(machine.next().await, None);
    let (mut operator, mut machine) = site.both().await;
    machine.says(r#"{"Type":"failed","Message":"no \u001b[31mshell"}"#).await;
    let ended = operator.hears().await;
    assert_eq!(
        (&ended["Reason"], ended["Message"].as_str().unwrap().contains('\u{1b}')),
        (&json!("machine_failed"), false)
    );
    let kept = site.ask("GET", "terminals", "").await.1;
    let ends: Vec<&str> =
        kept.as_array().unwrap().iter().map(|each| each["End"].as_str().unwrap_or("open")).collect();
    assert_eq!(ends.len(), 3);
    assert!(["left", "machine_lost", "machine_failed"].iter().all(|end| ends.contains(end)), "{ends:?}");
}

#[tokio::test]
async fn flood_waits_for_who_reads_it_and_typing_does_not_wait() {
    let mut site = Site::start().await;
    site.allow().await;
    let (mut operator, mut machine) = site.both().await;
    let piece = vec![b'x'; MAX_BYTES];
    let pieces = usize::try_from(WINDOW).unwrap() / MAX_BYTES;
    let flood = tokio::spawn(async move {
        for _ in 0..4 * pieces {
            machine.types(&piece).await;
        }
        machine
    });
    for _ in 0..pieces {
        assert!(matches!(operator.next().await, Some(Message::Binary(_))));
    }
    let nothing = timeout(Duration::from_millis(300), operator.0.next()).await;
    assert!(!matches!(nothing, Ok(Some(Ok(Message::Binary(_))))), "nobody has seen anything yet");
    operator.types(b"\x03").await;
    for _ in 0..3 {
        operator.says(&format!(r#"{{"Type":"seen","Bytes":{WINDOW}}}"#)).await;
        for _ in 0..pieces {
            assert!(matches!(operator.next().await, Some(Message::Binary(_))));
        }
    }
    let mut machine = timeout(SOON, flood).await.unwrap().unwrap();
    machine.sees(b"\x03").await;
}

#[tokio::test]
async fn hostile_words_of_either_side_end_nothing_but_their_own_terminal() {
    let mut site = Site::start().await;
    site.allow().await;
    let ws = site.path("terminal/ws");
    let long = format!(r#"{{"Type":"open","Pad":"{}"}}"#, "x".repeat(4_000));
    for first in
        ["", "[]", "{}", r#"{"Type":"resize","Size":{}}"#, r#"{"Type":"open","Size":{"Cols":-1}}"#, &long]
    {
        let mut side = Side::open(site.address, &ws, &site.as_admin()).await.unwrap();
        side.says(first).await;
        assert_eq!(side.reason().await, "not_understood", "{first:.60}");
    }
    let mut side = Side::open(site.address, &ws, &site.as_admin()).await.unwrap();
    side.types(b"ls\n").await;
    assert_eq!(side.reason().await, "not_understood");
    let (mut operator, mut machine) = site.both().await;
    for text in ["", "[]", r#"{"Type":"exited","Code":"x"}"#, r#"{"Type":"start"}"#, &long] {
        machine.says(text).await;
    }
    machine.types(b"still here").await;
    operator.sees(b"still here").await;
    machine.types(&vec![0; MAX_BYTES + 1]).await;
    assert_eq!(operator.reason().await, "machine_lost", "more than a message may have");
    let (mut operator, _machine) = site.both().await;
    operator.types(&vec![0; MAX_BYTES + 1]).await;
    let mut again = site.operator().await;
    while again.hears().await["Type"] != "waiting" {
        again = site.operator().await;
    }
}
