//! The websocket with a real client: acknowledged commands, events after commits, origins.

use crate::support::{Fixture, HOST, logged, start};
use axum::http::{StatusCode, header};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

type Socket = WebSocketStream<TcpStream>;

/// Serves the surface on a plain socket: TLS is the listener's affair.
async fn listen(fixture: &Fixture) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = fixture.router.clone();
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

async fn connect(
    address: std::net::SocketAddr,
    headers: &[(header::HeaderName, String)],
) -> Result<Socket, StatusCode> {
    let mut request = format!("ws://{address}/api/v3/ws").into_client_request().unwrap();
    for (name, value) in headers {
        request.headers_mut().insert(name.clone(), value.parse().unwrap());
    }
    let stream = TcpStream::connect(address).await.unwrap();
    match client_async(request, stream).await {
        Ok((socket, _)) => Ok(socket),
        Err(Error::Http(answer)) => Err(answer.status()),
        Err(error) => panic!("{error}"),
    }
}

async fn bearer(fixture: &Fixture) -> (header::HeaderName, String) {
    let made = fixture.call(fixture.admin("GET", "/api/v3/users/admin/token", "")).await.json();
    (header::AUTHORIZATION, format!("Bearer {}", made["Token"].as_str().unwrap()))
}

async fn next(socket: &mut Socket) -> Value {
    loop {
        if let Message::Text(text) = socket.next().await.unwrap().unwrap() {
            return serde_json::from_str(&text).unwrap();
        }
    }
}

async fn say(socket: &mut Socket, command: &str) -> Value {
    socket.send(Message::text(command)).await.unwrap();
    next(socket).await
}

#[tokio::test]
async fn commands_are_acknowledged_and_events_follow() {
    let fixture = start().await;
    let address = listen(&fixture).await;
    let mut socket = connect(address, &[bearer(&fixture).await]).await.unwrap();
    let ack = say(&mut socket, "register machines.*.*").await;
    assert_eq!((&ack["Type"], &ack["Action"]), (&json!("websocket"), &json!("register")));
    assert_eq!(say(&mut socket, "hello").await["Action"], "error");
    let mut machine = crate::support::Machine::new(&fixture, 1).await;
    let token = fixture.call(fixture.admin("POST", "/api/v3/bootstrap/tokens", r#"{"Lifetime":600}"#)).await;
    let body = json!({"token": token.json()["Token"], "inventory": {}}).to_string();
    let registered = fixture.call(machine.request("/api/v3/bootstrap/register", &body, None)).await;
    let event = next(&mut socket).await;
    assert_eq!((&event["Type"], &event["Action"]), (&json!("machines"), &json!("create")));
    assert_eq!(event["Key"], registered.json()["machine"]["Uuid"]);
    assert_eq!(event["Object"]["ProvisionState"], "Discovery mode");
    assert_eq!(say(&mut socket, "deregister machines.*.*").await["Action"], "deregister");
}

#[tokio::test]
async fn cookie_opens_a_socket_from_this_servers_pages_only() {
    let fixture = start().await;
    let address = listen(&fixture).await;
    let (cookie, _) = fixture.login().await;
    let with = |origin: Option<String>| {
        let mut headers = vec![(header::COOKIE, cookie.clone())];
        headers.extend(origin.map(|origin| (header::ORIGIN, origin)));
        headers
    };
    assert!(connect(address, &with(Some(format!("https://{address}")))).await.is_ok());
    for origin in [None, Some("https://evil.test".to_owned()), Some("null".to_owned())] {
        assert_eq!(connect(address, &with(origin)).await.unwrap_err(), StatusCode::FORBIDDEN);
    }
    assert_eq!(connect(address, &[]).await.unwrap_err(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn logging_out_closes_its_sockets_at_once() {
    let fixture = start().await;
    let address = listen(&fixture).await;
    let (cookie, csrf) = fixture.login().await;
    let own = format!("https://{address}");
    let headers = [(header::COOKIE, cookie.clone()), (header::ORIGIN, own)];
    let mut socket = connect(address, &headers).await.unwrap();
    say(&mut socket, "register machines.*.*").await;
    let mut logout = Fixture::request("DELETE", "/api/v3/session", "");
    let headers = logout.headers_mut();
    headers.insert(header::COOKIE, cookie.parse().unwrap());
    headers.insert("x-csrf-token", csrf.parse().unwrap());
    headers.insert(header::ORIGIN, format!("https://{HOST}").parse().unwrap());
    assert_eq!(fixture.call(logout).await.status, StatusCode::NO_CONTENT);
    // Well before the next ping.
    let reason = tokio::time::timeout(Duration::from_secs(10), async {
        loop {
            if let Message::Close(frame) = socket.next().await.unwrap().unwrap() {
                return frame.unwrap().reason.to_string();
            }
        }
    });
    assert_eq!(reason.await.expect("closed at once"), "the log-in has ended");
}

#[tokio::test]
async fn tokens_in_the_address_are_not_logged() {
    let fixture = start().await;
    let address = listen(&fixture).await;
    let made = fixture.call(fixture.admin("GET", "/api/v3/users/admin/token", "")).await.json();
    let token = made["Token"].as_str().unwrap();
    for query in [format!("?token={token}"), format!("?Token=admin:{}", fixture.password)] {
        let mut request = format!("ws://{address}/api/v3/ws{query}").into_client_request().unwrap();
        request.headers_mut().remove(header::ORIGIN);
        let stream = TcpStream::connect(address).await.unwrap();
        let (mut socket, _) = client_async(request, stream).await.unwrap();
        say(&mut socket, "register machines.*.*").await;
    }
    let log = logged();
    // What the client itself logs is the client's.
    let of_server: Vec<_> =
        log.lines().filter(|line| !line.contains("tungstenite::handshake::client")).collect();
    for secret in [token, fixture.password.as_str()] {
        let told: Vec<_> = of_server.iter().filter(|line| line.contains(secret)).collect();
        assert!(told.is_empty(), "{told:?}");
    }
}

#[tokio::test]
async fn overlong_command_ends_the_connection() {
    let fixture = start().await;
    let address = listen(&fixture).await;
    let mut socket = connect(address, &[bearer(&fixture).await]).await.unwrap();
    socket.send(Message::text("x".repeat(5_000))).await.unwrap();
    let ended = loop {
        match socket.next().await {
            None | Some(Err(_) | Ok(Message::Close(_))) => break true,
            Some(Ok(_)) => {}
        }
    };
    assert!(ended);
}
