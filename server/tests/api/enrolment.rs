//! The code exchange and bootstrap tokens over HTTP, and that no secret reaches the log.

use crate::support::{Fixture, Machine, logged, start};
use axum::body::Body;
use axum::http::{StatusCode, header};
use futures_util::stream;
use serde_json::{Value, json};
use tower::ServiceExt;

const ENROLLMENTS: &str = "/api/v3/bootstrap/enrollments";

fn inventory(serial: &str) -> Value {
    json!({"Serial": serial, "Vendor": "Acme", "Links": [{"Name": "eth0", "Mac": "52:54:00:12:34:56"}]})
}

/// Asks to be registered; the answer's body.
async fn ask(fixture: &Fixture, machine: &mut Machine) -> Value {
    let body = json!({"inventory": inventory("7XK21M3"), "origin": "iso"}).to_string();
    let answer = fixture.call(machine.request(ENROLLMENTS, &body, None)).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
    answer.json()
}

#[tokio::test]
async fn machine_is_registered_by_its_code_and_beats() {
    let fixture = start().await;
    let mut machine = Machine::new(&fixture, 1).await;
    let pending = ask(&fixture, &mut machine).await;
    let lookup = json!({"code": pending["code"]}).to_string();
    let preview = fixture.call(fixture.admin("POST", "/api/v3/bootstrap/lookup", &lookup)).await.json();
    let path = format!("{ENROLLMENTS}/{}/approve", pending["id"].as_str().unwrap());
    let approve = json!({"code": pending["code"], "fingerprint": preview["fingerprint"]}).to_string();
    let approved = fixture.call(fixture.admin("POST", &path, &approve)).await;
    assert_eq!(approved.status, StatusCode::OK, "{approved:?}");
    let token = fixture.call(machine.request("/api/v3/agent/token", "{}", None)).await.json();
    let token = token["access_token"].as_str().unwrap();
    let beat = json!({"state": "discovery", "inventory_digest": ""}).to_string();
    let answer = fixture.call(machine.request("/api/v3/agent/heartbeat", &beat, Some(token))).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    let machines = fixture.call(fixture.admin("GET", "/api/v3/machines", "")).await.json();
    assert_eq!(machines[0]["Online"], true);
    assert_eq!(machines[0]["ProvisionState"], "Discovery mode");
}

#[tokio::test]
async fn bootstrap_token_registers_and_a_damaged_one_is_not_ours() {
    let fixture = start().await;
    let made = fixture.call(fixture.admin("POST", "/api/v3/bootstrap/tokens", r#"{"Lifetime":600}"#)).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    let token = made.json()["Token"].as_str().unwrap().to_owned();
    let mut machine = Machine::new(&fixture, 2).await;
    let body = |token: &str| json!({"token": token, "inventory": inventory("A1")}).to_string();
    for forged in [&token[..token.len() - 4], "a.b.c.d.e", ""] {
        let answer = fixture.call(machine.request("/api/v3/bootstrap/register", &body(forged), None)).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{answer:?}");
        assert_eq!(answer.json()["error"], "invalid_token");
    }
    let answer = fixture.call(machine.request("/api/v3/bootstrap/register", &body(&token), None)).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
}

/// A registered machine with its access token.
async fn on_duty(fixture: &Fixture, seed: u8) -> (Machine, Value, String) {
    let made = fixture.call(fixture.admin("POST", "/api/v3/bootstrap/tokens", r#"{"Lifetime":600}"#)).await;
    let mut machine = Machine::new(fixture, seed).await;
    let links = json!([{"Name": "eth0", "Mac": format!("52:54:00:00:00:{seed:02x}")}]);
    let body = json!({"token": made.json()["Token"], "inventory": {"Links": links}}).to_string();
    let approved = fixture.call(machine.request("/api/v3/bootstrap/register", &body, None)).await.json();
    let token = fixture.call(machine.request("/api/v3/agent/token", "{}", None)).await.json();
    (machine, approved["machine"].clone(), token["access_token"].as_str().unwrap().to_owned())
}

/// The body by which `heir` vouches for taking over from the key with this thumbprint.
fn succession(heir: &mut Machine, thumbprint: &str) -> String {
    let proof = heir.request("/api/v3/agent/key", thumbprint, None);
    json!({"successor": proof.headers()["dpop"].to_str().unwrap()}).to_string()
}

#[tokio::test]
async fn a_machine_hands_its_identity_to_a_new_key() {
    let fixture = start().await;
    let (mut machine, known, token) = on_duty(&fixture, 1).await;
    let (other, _, _) = on_duty(&fixture, 2).await;
    let mut heir = Machine::new(&fixture, 9).await;
    let for_another = succession(&mut heir, &other.thumbprint());
    for body in [for_another.as_str(), r#"{"successor":"a.b.c"}"#] {
        let answer = fixture.call(machine.request("/api/v3/agent/key", body, Some(&token))).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{answer:?}");
        assert_eq!(answer.json()["error"], "invalid_proof");
    }
    let body = succession(&mut heir, &machine.thumbprint());
    let answer = fixture.call(machine.request("/api/v3/agent/key", &body, Some(&token))).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    assert_eq!(answer.json()["machine"], known);
    let beat = json!({"state": "discovery", "inventory_digest": ""}).to_string();
    let old = fixture.call(machine.request("/api/v3/agent/heartbeat", &beat, Some(&token))).await;
    assert_eq!(old.status, StatusCode::FORBIDDEN, "the old key is nobody's: {old:?}");
    let token = fixture.call(heir.request("/api/v3/agent/token", "{}", None)).await.json();
    let token = token["access_token"].as_str().unwrap();
    let new = fixture.call(heir.request("/api/v3/agent/heartbeat", &beat, Some(token))).await;
    assert_eq!(new.status, StatusCode::OK, "{new:?}");
}

#[tokio::test]
async fn bodies_that_are_not_proven_have_bounded_room() {
    let fixture = start().await;
    let mut machine = Machine::new(&fixture, 3).await;
    let mut endless = Vec::new();
    for _ in 0..256 {
        let request = machine.request("/api/v3/agent/token", "{}", None);
        let silent = Body::from_stream(stream::pending::<std::io::Result<Vec<u8>>>());
        let mut call = Box::pin(fixture.router.clone().oneshot(request.map(|_| silent)));
        tokio::select! {
            biased;
            answer = &mut call => panic!("answered before its body: {answer:?}"),
            () = std::future::ready(()) => endless.push(call),
        }
    }
    let refused = fixture.call(machine.request("/api/v3/agent/token", "{}", None)).await;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE, "{refused:?}");
    assert!(!refused.header(header::RETRY_AFTER).is_empty());
    // What is refused by its head takes no room, its body is thrown away as it comes.
    let unsigned = fixture.call(Fixture::request("POST", "/api/v3/agent/token", "{}")).await;
    assert_eq!(unsigned.json()["error"], "use_nonce");
    endless.clear();
    let known = fixture.call(machine.request("/api/v3/agent/token", "{}", None)).await;
    assert_ne!(known.status, StatusCode::SERVICE_UNAVAILABLE, "{known:?}");
}

#[tokio::test]
async fn machines_that_speak_another_protocol_are_told_what_to_do() {
    let fixture = start().await;
    let mut machine = Machine::new(&fixture, 3).await;
    for version in ["2", "0", "one"] {
        let mut request = machine.request(ENROLLMENTS, "{}", None);
        request.headers_mut().insert(protocol::PROTOCOL_HEADER, version.parse().unwrap());
        let answer = fixture.call(request).await;
        assert_eq!(answer.status, StatusCode::UPGRADE_REQUIRED);
        assert_eq!(answer.json()["error"], "unsupported_protocol");
    }
}

#[tokio::test]
async fn bodies_of_machines_are_bounded() {
    let fixture = start().await;
    let mut machine = Machine::new(&fixture, 4).await;
    let deep = format!("{}{}", "[".repeat(40), "]".repeat(40));
    for (body, status, word) in [
        ("x".repeat(65 * 1_024), StatusCode::PAYLOAD_TOO_LARGE, "too_large"),
        (deep, StatusCode::BAD_REQUEST, "invalid_request"),
        ("{}".to_owned(), StatusCode::BAD_REQUEST, "invalid_request"),
    ] {
        let answer = fixture.call(machine.request(ENROLLMENTS, &body, None)).await;
        assert_eq!((answer.status, answer.json()["error"].as_str()), (status, Some(word)));
    }
}

#[tokio::test]
async fn only_a_registered_machine_sends_a_whole_inventory() {
    let fixture = start().await;
    let mut machine = Machine::new(&fixture, 6).await;
    let functions = vec![json!({"Address": "0000:3b:00.0", "Driver": "x".repeat(300)}); 384];
    let long = json!({"Pci": functions});
    let beat = json!({"state": "discovery", "inventory_digest": "d", "observed": long}).to_string();
    assert!(beat.len() > 64 * 1_024);
    let stranger = fixture.call(machine.request("/api/v3/agent/heartbeat", &beat, None)).await;
    assert_eq!(stranger.status, StatusCode::PAYLOAD_TOO_LARGE, "{stranger:?}");
    let made =
        fixture.call(fixture.admin("POST", "/api/v3/bootstrap/tokens", r#"{"Lifetime":600}"#)).await.json();
    let body = json!({"token": made["Token"], "inventory": inventory("C3")}).to_string();
    fixture.call(machine.request("/api/v3/bootstrap/register", &body, None)).await;
    let token = fixture.call(machine.request("/api/v3/agent/token", "{}", None)).await.json();
    let token = token["access_token"].as_str().unwrap();
    let answer = fixture.call(machine.request("/api/v3/agent/heartbeat", &beat, Some(token))).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    let machines = fixture.call(fixture.admin("GET", "/api/v3/machines", "")).await.json();
    assert_eq!(
        (&machines[0]["Inventory"]["Pci"], &machines[0]["Inventory"]["Abridged"]),
        (&json!([]), &json!(true))
    );
    let path = format!("/api/v3/machines/{}", machines[0]["Uuid"].as_str().unwrap());
    let machine = fixture.call(fixture.admin("GET", &path, "")).await.json();
    assert_eq!(machine["Inventory"]["Pci"].as_array().unwrap().len(), 384);
    assert_eq!(machine["Inventory"]["Pci"][0]["Driver"], "x".repeat(56), "cleaned at the border");
}

#[tokio::test]
async fn no_secret_reaches_the_log() {
    let fixture = start().await;
    let (cookie, csrf) = fixture.login().await;
    let api_token = fixture.call(fixture.admin("GET", "/api/v3/users/admin/token", "")).await.json();
    let made =
        fixture.call(fixture.admin("POST", "/api/v3/bootstrap/tokens", r#"{"Lifetime":600}"#)).await.json();
    let token = made["Token"].as_str().unwrap();
    let mut machine = Machine::new(&fixture, 5).await;
    let body = json!({"token": token, "inventory": inventory("B2")}).to_string();
    fixture.call(machine.request("/api/v3/bootstrap/register", &body, None)).await;
    let access = fixture.call(machine.request("/api/v3/agent/token", "{}", None)).await.json();
    fixture.call(Fixture::request("GET", &format!("/x/{token}?token={token}"), "")).await;
    let log = logged();
    assert!(log.contains("/api/v3/bootstrap/register"), "the log was captured");
    let secret = cookie.split_once('=').unwrap().1;
    for secret in [
        fixture.password.as_str(),
        secret,
        &csrf,
        api_token["Token"].as_str().unwrap().trim_start_matches("mst_"),
        &token[60..100],
        access["access_token"].as_str().unwrap(),
    ] {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
}
