//! The client against real TLS servers in this process.

use super::super::proxy::tests::proxy;
use super::super::tls::ExtraCa;
use super::super::tls::tests::Authority;
use super::*;
use hyper::server::conn::http1 as server;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use protocol::agent_api::{AgentState, EnrollmentRequest, HeartbeatRequest, Origin};
use protocol::inventory::Inventory;
use protocol::proof::ReceivedProof;
use ring::signature::{ED25519, UnparsedPublicKey};
use std::convert::Infallible;
use std::ops::RangeInclusive;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::net::TcpListener;
use tokio::sync::Notify;

/// What a server saw of one request.
#[derive(Debug, Clone)]
struct Seen {
    path: String,
    headers: hyper::HeaderMap,
    body: Bytes,
    /// None on an anonymous call.
    proof: Option<ReceivedProof>,
}

impl Seen {
    fn proof(&self) -> &ReceivedProof {
        self.proof.as_ref().unwrap()
    }
}

/// What a request is answered; an answer of status 204 is held for ever.
type Script = fn(&Seen) -> Response<Full<Bytes>>;

/// A server on a loopback port: what it saw, and how many connections got past TLS.
struct Server {
    url: ServerUrl,
    seen: Arc<Mutex<Vec<Seen>>>,
    shaken: Arc<AtomicUsize>,
    failed: Arc<AtomicUsize>,
    names: Arc<Mutex<Vec<Option<String>>>>,
    /// Requests after which a connection is closed.
    per_connection: Arc<AtomicUsize>,
    /// Told of each request.
    arrived: Arc<Notify>,
}

fn reply(status: u16, body: &str) -> Response<Full<Bytes>> {
    Response::builder().status(status).body(Full::new(Bytes::copy_from_slice(body.as_bytes()))).unwrap()
}

impl Server {
    async fn start(ca: &Authority, years: RangeInclusive<i32>, script: Script) -> Self {
        Self::start_as(ca, &["dc1.agent.internal", "127.0.0.1"], years, script).await
    }

    async fn start_as(ca: &Authority, names: &[&str], years: RangeInclusive<i32>, script: Script) -> Self {
        let acceptor = ca.acceptor(names, years);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let this = Self {
            url: format!("https://127.0.0.1:{port}").parse().unwrap(),
            seen: Arc::default(),
            shaken: Arc::default(),
            failed: Arc::default(),
            names: Arc::default(),
            per_connection: Arc::new(AtomicUsize::new(usize::MAX)),
            arrived: Arc::default(),
        };
        let (seen, shaken, failed) = (this.seen.clone(), this.shaken.clone(), this.failed.clone());
        let (names, per_connection) = (this.names.clone(), this.per_connection.clone());
        let arrived = this.arrived.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let stream = match acceptor.accept(stream).await {
                    Ok(stream) => stream,
                    Err(_) => {
                        failed.fetch_add(1, Ordering::SeqCst);
                        continue;
                    }
                };
                shaken.fetch_add(1, Ordering::SeqCst);
                names.lock().unwrap().push(stream.get_ref().1.server_name().map(str::to_owned));
                let (seen, served) = (seen.clone(), AtomicUsize::new(0));
                let (per_connection, arrived) = (per_connection.clone(), arrived.clone());
                let service = service_fn(move |request: Request<Incoming>| {
                    let last =
                        served.fetch_add(1, Ordering::SeqCst) + 1 >= per_connection.load(Ordering::SeqCst);
                    let (seen, arrived) = (seen.clone(), arrived.clone());
                    async move {
                        let (head, body) = request.into_parts();
                        let body = body.collect().await.unwrap().to_bytes();
                        let proof = head.headers.get(PROOF_HEADER).map(|proof| proof.to_str().unwrap());
                        let proof = proof.map(|proof| protocol::proof::parse(proof).unwrap());
                        let entry =
                            Seen { path: head.uri.path().to_owned(), headers: head.headers, body, proof };
                        let mut response = script(&entry);
                        seen.lock().unwrap().push(entry);
                        arrived.notify_one();
                        if response.status() == StatusCode::NO_CONTENT {
                            std::future::pending::<()>().await;
                        }
                        if last {
                            response.headers_mut().insert("connection", "close".parse().unwrap());
                        }
                        Ok::<_, Infallible>(response)
                    }
                });
                tokio::spawn(server::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        this
    }

    fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

fn client(pins: Vec<SpkiPin>) -> Client {
    client_of(Trust { pins, extra: None }, None)
}

fn client_of(trust: Trust, proxy: Option<&str>) -> Client {
    let (identity, _) = Identity::establish(None).unwrap();
    let (_, network) = watch::channel(Status::default());
    let (_, proxy) = watch::channel(proxy.map(|url| url.parse().unwrap()));
    Client::new(Arc::new(identity), trust, proxy, network)
}

fn enroll() -> Call {
    Call::Enroll(EnrollmentRequest { inventory: Inventory::default(), origin: Origin::Iso, image_id: None })
}

fn heartbeat() -> Call {
    let request = HeartbeatRequest {
        state: AgentState::Discovery,
        inventory_digest: "d".to_owned(),
        ..HeartbeatRequest::goodbye()
    };
    Call::Heartbeat { request, wait: Duration::from_secs(20) }
}

const PENDING: &str = r#"{"status":"authorization_pending","id":"4c4c4544-0058-4b10-8032-b7c04f4d3333","code":"K7P-3XB","code_expires_in":600,"interval":5,"nonce":"n2","server_time":1800000000}"#;

/// Answers as a server does that insists on its nonce.
fn strict_about_nonces(seen: &Seen) -> Response<Full<Bytes>> {
    let mut response = if seen.proof().claims.nonce.is_empty() {
        reply(401, r#"{"error":"use_nonce","message":"use this nonce","nonce":"n1"}"#)
    } else if seen.path.ends_with("/token") {
        reply(200, r#"{"access_token":"at-1","expires_in":900,"nonce":"n3"}"#)
    } else if seen.path.ends_with("/heartbeat") {
        reply(200, r#"{"interval":20,"nonce":"n4"}"#)
    } else {
        reply(201, PENDING)
    };
    if seen.proof().claims.nonce.is_empty() {
        response.headers_mut().insert(NONCE_HEADER, "n1".parse().unwrap());
    }
    response
}

#[tokio::test]
async fn calls_are_signed_over_the_servers_nonce() {
    let ca = Authority::new();
    let server = Server::start(&ca, 2020..=2090, strict_about_nonces).await;
    let mut client = client(vec![SpkiPin([0; 32]), ca.pin()]);
    let peer = client.connect(&server.url, ClockTrust::Set).await.unwrap();
    assert_eq!(peer.server_id, "dc1");
    let answer = client.send(enroll()).await.unwrap();
    assert!(matches!(answer, Answer::Enrollment(EnrollmentAnswer::AuthorizationPending(pending))
        if pending.code.unwrap().to_string() == "K7P-3XB"));
    client.send(Call::AccessToken { nonce: Some("enrol".to_owned()) }).await.unwrap();
    client.send(heartbeat()).await.unwrap();
    let seen = server.seen();
    let nonces: Vec<&str> = seen.iter().map(|entry| entry.proof().claims.nonce.as_str()).collect();
    assert_eq!(nonces, ["", "n1", "enrol", "n3"]);
    for entry in &seen {
        UnparsedPublicKey::new(&ED25519, entry.proof().public_key)
            .verify(&entry.proof().signing_input, &entry.proof().signature)
            .unwrap();
        assert_eq!(entry.proof().claims.htu, format!("https://dc1.agent.internal{}", entry.path));
        assert_eq!(
            entry.proof().claims.body_sha256,
            protocol::token::base64url(&crate::identity::sha256(&entry.body))
        );
        assert_eq!(entry.headers.get(PROTOCOL_HEADER).unwrap(), "1");
    }
    let beat = seen.last().unwrap();
    assert_eq!(beat.headers.get(AUTHORIZATION).unwrap(), "DPoP at-1");
    assert_eq!(beat.headers.get("prefer").unwrap(), "wait=20");
    assert!(beat.proof().claims.ath.is_some());
    assert!(seen.first().unwrap().headers.get(AUTHORIZATION).is_none());
    assert_eq!(
        *server.names.lock().unwrap(),
        [Some("agent.internal".to_owned())],
        "one name for every server"
    );
}

#[tokio::test]
async fn an_impostor_receives_no_application_byte() {
    let (ours, evil) = (Authority::new(), Authority::new());
    let server = Server::start(&evil, 2020..=2090, strict_about_nonces).await;
    let mut client = client(vec![ours.pin()]);
    for clock in [ClockTrust::Doubtful, ClockTrust::Set] {
        let error = client.connect(&server.url, clock).await.unwrap_err();
        assert_eq!(error, ConnectError::Pin { got: Some(evil.pin()), authority: None });
    }
    assert!(matches!(client.send(enroll()).await, Err(CallError::Connection(_))));
    assert_eq!(server.shaken.load(Ordering::SeqCst), 0, "the handshake never ends");
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn a_connection_closed_while_idle_is_made_again() {
    let ca = Authority::new();
    let server = Server::start(&ca, 2020..=2090, strict_about_nonces).await;
    server.per_connection.store(1, Ordering::SeqCst);
    let mut client = client(vec![ca.pin()]);
    client.connect(&server.url, ClockTrust::Set).await.unwrap();
    client.send(enroll()).await.unwrap();
    client.send(enroll()).await.unwrap();
    assert_eq!(server.seen().len(), 3);
    assert_eq!(server.shaken.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn a_held_call_that_is_given_up_does_not_hold_the_next() {
    let ca = Authority::new();
    let script: Script = |seen| if seen.path.ends_with("/poll") { reply(204, "") } else { reply(200, "{}") };
    let server = Server::start(&ca, 2020..=2090, script).await;
    let mut client = client(vec![ca.pin()]);
    client.connect(&server.url, ClockTrust::Set).await.unwrap();
    let id = "4c4c4544-0058-4b10-8032-b7c04f4d3333".parse().unwrap();
    tokio::select! {
        answer = client.send(Call::Poll { id, wait: Duration::from_secs(25) }) => panic!("{answer:?}"),
        () = server.arrived.notified() => {}
    }
    assert_eq!(client.send(Call::Cancel(id)).await, Ok(Answer::Cancelled));
}

#[tokio::test]
async fn a_certificate_outside_its_time_is_accepted_only_under_a_doubtful_clock() {
    let ca = Authority::new();
    let server = Server::start(&ca, 2001..=2002, strict_about_nonces).await;
    let mut client = client(vec![ca.pin()]);
    let doubtful = client.connect(&server.url, ClockTrust::Doubtful).await.unwrap();
    let problem = doubtful.time_problem.unwrap();
    assert!(problem.starts_with("it was valid until 2002-12-31"), "{problem}");
    let strict = client.connect(&server.url, ClockTrust::Set).await;
    assert_eq!(strict, Err(ConnectError::CertificateTime(problem)));
}

#[tokio::test]
async fn a_connection_made_again_is_forgiven_nothing_new() {
    let ca = Authority::new();
    let server = Server::start(&ca, 2020..=2021, strict_about_nonces).await;
    let mut client = client(vec![ca.pin()]);
    client.connect(&server.url, ClockTrust::Doubtful).await.unwrap();
    client.send(enroll()).await.unwrap();
    // As if the certificate had been in its time when the connection was first made.
    client.open.as_mut().unwrap().peer.time_problem = None;
    server.per_connection.store(0, Ordering::SeqCst);
    client.send(heartbeat()).await.unwrap();
    let error = client.send(heartbeat()).await.unwrap_err();
    assert!(matches!(error, CallError::Connection(ConnectError::CertificateTime(_))), "{error:?}");
}

#[tokio::test]
async fn a_name_is_not_needed_and_nobody_home_is_said_plainly() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let url: ServerUrl = format!("https://{address}").parse().unwrap();
    let error = client(vec![SpkiPin([0; 32])]).connect(&url, ClockTrust::Set).await.unwrap_err();
    assert_eq!(error.to_string(), format!("{address} refuses the connection"));
    let url: ServerUrl = "https://muster.example".parse().unwrap();
    let error = client(vec![SpkiPin([0; 32])]).connect(&url, ClockTrust::Set).await.unwrap_err();
    assert!(matches!(error, ConnectError::Name { host, .. } if host == "muster.example"));
}

#[tokio::test]
async fn refusals_keep_their_word_and_strangers_keep_their_status() {
    let ca = Authority::new();
    let script: Script = |seen| match seen.path.as_str() {
        agent_api::ENROLLMENTS_PATH => {
            reply(403, "{\"error\":\"access_denied\",\"message\":\"denied\\u001b[2J\",\"retry_after\":600}")
        }
        agent_api::REGISTER_PATH => reply(503, "<html>backend is away</html>"),
        agent_api::TOKEN_PATH => reply(200, "{}"),
        _ => reply(200, &"x".repeat(MAX_ANSWER + 1)),
    };
    let server = Server::start(&ca, 2020..=2090, script).await;
    let mut client = client(vec![ca.pin()]);
    client.connect(&server.url, ClockTrust::Set).await.unwrap();
    let Err(CallError::Refused(denied)) = client.send(enroll()).await else { panic!("not refused") };
    assert_eq!((denied.error, denied.retry_after), (RefusalKind::AccessDenied, Some(600)));
    assert_eq!(denied.message, "denied[2J", "no escape sequence reaches the console");
    let register = Call::Register(agent_api::RegisterRequest {
        token: "t".to_owned(),
        nonce: String::new(),
        statement: String::new(),
        inventory: Inventory::default(),
        origin: Origin::Iso,
    });
    let Err(CallError::Refused(away)) = client.send(register).await else { panic!("not refused") };
    assert_eq!(away.error, RefusalKind::TemporarilyUnavailable);
    let token = client.send(Call::AccessToken { nonce: None }).await.unwrap_err();
    assert!(matches!(token, CallError::Malformed(_)), "{token}");
    let huge = client.send(heartbeat()).await.unwrap_err();
    assert_eq!(huge.to_string(), "answer not understood: HTTP 200 OK, length limit exceeded");
}

#[tokio::test]
async fn time_is_asked_for_by_nobody_and_answered_before_anything_is_said() {
    let ca = Authority::new();
    let script: Script = |seen| match &seen.proof {
        None => reply(401, r#"{"error":"use_nonce","message":"x","nonce":"n1","server_time":1800000000}"#),
        Some(_) => strict_about_nonces(seen),
    };
    let server = Server::start(&ca, 2001..=2002, script).await;
    let mut client = client(vec![ca.pin()]);
    client.connect(&server.url, ClockTrust::Doubtful).await.unwrap();
    assert_eq!(client.send(Call::Time).await, Ok(Answer::Time(1_800_000_000)));
    let seen = server.seen();
    let [only] = seen.as_slice() else { panic!("{seen:?}") };
    assert!(only.body.is_empty() && only.proof.is_none());
    let told: Vec<&str> = only.headers.keys().map(hyper::header::HeaderName::as_str).collect();
    assert!(!told.contains(&"authorization") && !told.contains(&"dpop"), "{told:?}");
}

#[tokio::test]
async fn server_that_does_not_tell_the_time_is_named() {
    let ca = Authority::new();
    let script: Script = |_| reply(401, r#"{"error":"invalid_proof","message":"x","nonce":"n1"}"#);
    let server = Server::start(&ca, 2020..=2090, script).await;
    let mut client = client(vec![ca.pin()]);
    client.connect(&server.url, ClockTrust::Doubtful).await.unwrap();
    let error = client.send(Call::Time).await.unwrap_err();
    assert_eq!(error.to_string(), "answer not understood: it does not tell the time; update the server");
}

#[tokio::test]
async fn through_a_proxy_the_pin_decides_all_the_same() {
    let (ca, evil) = (Authority::new(), Authority::new());
    let server = Server::start(&ca, 2020..=2090, strict_about_nonces).await;
    let (at, asked) = proxy(b"HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\n").await;
    let url = format!("http://ann:s3cret@{at}");
    let trust = |pin| Trust { pins: vec![pin], extra: None };
    let mut machine = client_of(trust(ca.pin()), Some(&url));
    assert_eq!(machine.connect(&server.url, ClockTrust::Set).await.unwrap().server_id, "dc1");
    machine.send(enroll()).await.unwrap();
    let head = asked.lock().unwrap().first().unwrap().clone();
    assert!(head.starts_with(&format!("CONNECT {} HTTP/1.1\r\n", server.url.authority())), "{head}");
    assert!(!head.to_lowercase().contains("dpop"), "nothing of the machine's is said to the proxy");
    let error = client_of(trust(evil.pin()), Some(&url)).connect(&server.url, ClockTrust::Set).await;
    assert_eq!(error, Err(ConnectError::Pin { got: Some(ca.pin()), authority: None }));
}

#[tokio::test]
async fn proxy_that_refuses_is_named_without_its_password() {
    let (at, _) = proxy(b"HTTP/1.1 403 Forbidden\r\n\r\n").await;
    let mut machine = client_of(Trust::default(), Some(&format!("http://ann:s3cret@{at}")));
    // No name server is known here: the proxy is the one to look the name up.
    let url = "https://muster.example:8092".parse().unwrap();
    let error = machine.connect(&url, ClockTrust::Set).await.unwrap_err();
    let told = format!("http://ann:[redacted]@{at} refuses the way to muster.example:8092: 403 Forbidden");
    assert_eq!(error, ConnectError::Proxy(told));
}

#[tokio::test]
async fn server_behind_a_proxy_that_ends_tls_is_called_by_the_name_that_was_dialled() {
    let corporate = Authority::new();
    let server = Server::start_as(&corporate, &["127.0.0.1"], 2020..=2090, strict_about_nonces).await;
    let pem = protocol::config::CaCertificate::try_from(corporate.pem()).unwrap();
    let extra = ExtraCa::new(&[pem], Some("muster-4k2p")).unwrap();
    let mut machine = client_of(Trust { pins: vec![SpkiPin([1; 32])], extra }, None);
    let peer = machine.connect(&server.url, ClockTrust::Doubtful).await.unwrap();
    assert_eq!((peer.server_id.as_str(), peer.authority.as_deref()), ("muster-4k2p", Some("Corp Root")));
    machine.send(enroll()).await.unwrap();
    let seen = server.seen();
    let last = seen.last().unwrap();
    assert_eq!(last.headers.get(HOST).unwrap().to_str().unwrap(), server.url.authority());
    assert_eq!(last.proof().claims.sid, "muster-4k2p", "the proof is for the server behind it");
    let without = client(vec![SpkiPin([1; 32])]).connect(&server.url, ClockTrust::Doubtful).await;
    assert_eq!(without, Err(ConnectError::Pin { got: Some(corporate.pin()), authority: None }));
}

#[tokio::test]
async fn machine_on_duty_follows_its_server_to_the_next_authority() {
    let (first, next) = (Authority::new(), Authority::new());
    let old = Server::start(&first, 2020..=2090, strict_about_nonces).await;
    let rolled = Server::start(&next, 2020..=2090, strict_about_nonces).await;
    let mut machine = client(vec![first.pin()]);
    let impostor = Err(ConnectError::Pin { got: Some(next.pin()), authority: None });
    assert_eq!(machine.connect(&rolled.url, ClockTrust::Set).await, impostor);
    machine.connect(&old.url, ClockTrust::Set).await.unwrap();
    machine.follow(&[next.pin(), first.pin()]);
    assert_eq!(machine.trust.pins, [first.pin(), next.pin()]);
    machine.connect(&rolled.url, ClockTrust::Set).await.unwrap();
    machine.follow(&[]);
    machine.connect(&rolled.url, ClockTrust::Set).await.unwrap();
    // Lists of one server after another do not pile up.
    machine.follow(&[SpkiPin([7; 32])]);
    assert_eq!(machine.trust.pins, [first.pin(), SpkiPin([7; 32])]);
}
