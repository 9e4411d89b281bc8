//! What a machine tells of itself may be anything: it is cleaned and cut when it arrives, whatever
//! door it comes by, and whatever is made of it.

use crate::support::{Fixture, Machine, start};
use axum::http::StatusCode;
use serde_json::{Value, json};

const MARKUP: &str = "<img src=x onerror=alert(1)>";
const LONGEST: usize = 256;

/// Markup, escapes of terminals, what turns reading round, and more than anybody reads.
fn hostile() -> [String; 4] {
    [
        format!("{MARKUP}\u{0}\u{7f}\u{85}"),
        "\u{1b}[31mred\u{1b}[2J\u{1b}]0;owned\u{7}\r\n".to_owned(),
        "safe\u{202e}gnp.exe\u{2066}\u{200f}\u{feff}".to_owned(),
        // 30 kB: what an inventory may just hold.
        "A\u{e9}\u{4e2d}".repeat(5_000),
    ]
}

/// An inventory in which every text is this one.
fn inventory(text: &str) -> Value {
    json!({
        "Vendor": text, "Product": text, "Serial": text, "BoardSerial": text, "SystemUuid": text,
        "Firmware": text, "Arch": text, "Kernel": text, "HostName": text,
        "Cpu": {"Model": text, "Threads": 1, "Cores": 1, "Sockets": 1},
        "Disks": [{"Name": text, "Model": text, "Serial": text, "Wwn": text, "ById": [text], "Path": text,
                   "Transport": text, "Contents": {"Table": text, "Label": text, "Filesystem": text, "Error": text,
                   "Partitions": [{"Label": text, "Filesystem": text}]}}],
        "Links": [{"Name": text, "Mac": "52:54:00:12:34:56", "Driver": text, "Addresses": [text],
                   "Lldp": {"ChassisId": text, "PortId": text, "PortDescription": text, "SystemName": text,
                            "SystemDescription": text, "ManagementAddress": text}}],
        "MemoryModules": [{"Slot": text, "Kind": text, "Manufacturer": text, "PartNumber": text, "Serial": text}],
        "Pci": [{"Address": text, "Vendor": text, "Device": text, "Class": text, "Driver": text}],
        "Tpm": {"Present": true, "Version": text},
        "Bmc": {"Present": true, "Address": text, "AddressV6": text, "Mac": text},
    })
}

/// Every text in an answer is short printable ASCII.
fn check(value: &Value, at: &str) {
    match value {
        Value::String(text) => {
            assert!(text.len() <= LONGEST, "{at} has {} bytes", text.len());
            let odd = text.chars().find(|c| !(c.is_ascii_graphic() || *c == ' '));
            assert_eq!(odd, None, "{at}: {text:?}");
        }
        Value::Array(list) => {
            list.iter().enumerate().for_each(|(index, item)| check(item, &format!("{at}/{index}")));
        }
        Value::Object(map) => map.iter().for_each(|(name, item)| check(item, &format!("{at}/{name}"))),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// What the part of an inventory holds at this field: the markup, as the text that it is.
fn is_kept_as_text(inventory: &Value, text: &str) {
    if text.starts_with(MARKUP) {
        assert_eq!(inventory["Serial"], MARKUP);
    }
}

#[tokio::test]
async fn hostile_inventory_is_cleaned_at_the_door_of_tokens() {
    for (seed, text) in (10..).zip(hostile()) {
        let fixture = start().await;
        let made =
            fixture.call(fixture.admin("POST", "/api/v3/bootstrap/tokens", r#"{"Lifetime":600}"#)).await;
        let mut machine = Machine::new(&fixture, seed).await;
        let body = json!({"token": made.json()["Token"], "inventory": sized(&text)}).to_string();
        let answer = fixture.call(machine.request("/api/v3/bootstrap/register", &body, None)).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
        let machines = fixture.call(fixture.admin("GET", "/api/v3/machines", "")).await.json();
        let path = format!("/api/v3/machines/{}", machines[0]["Uuid"].as_str().unwrap());
        let shown = fixture.call(fixture.admin("GET", &path, "")).await.json();
        check(&machines, "machines");
        check(&shown, "machine");
        is_kept_as_text(&shown["Inventory"], &text);
        let audit = fixture.call(fixture.admin("GET", "/api/v3/audit", "")).await.json();
        check(&audit, "audit");
        beats_with_the_same(&fixture, &mut machine, &text).await;
    }
}

/// The agent tells of its hardware again with a heartbeat.
async fn beats_with_the_same(fixture: &Fixture, machine: &mut Machine, text: &str) {
    let token = fixture.call(machine.request("/api/v3/agent/token", "{}", None)).await.json();
    let token = token["access_token"].as_str().unwrap();
    let beat = json!({"state": "discovery", "inventory_digest": "new", "inventory": sized(text)}).to_string();
    let answer = fixture.call(machine.request("/api/v3/agent/heartbeat", &beat, Some(token))).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    let machines = fixture.call(fixture.admin("GET", "/api/v3/machines", "")).await.json();
    let path = format!("/api/v3/machines/{}", machines[0]["Uuid"].as_str().unwrap());
    check(&fixture.call(fixture.admin("GET", &path, "")).await.json(), "after a heartbeat");
}

/// What is very long stands in one place only: a body has its bounds, too.
fn sized(text: &str) -> Value {
    if text.len() < 1_024 {
        return inventory(text);
    }
    json!({"Serial": text, "Links": [{"Name": "eth0", "Mac": "52:54:00:12:34:56"}]})
}

#[tokio::test]
async fn hostile_inventory_is_cleaned_at_the_door_of_codes() {
    for (seed, text) in (20..).zip(hostile()) {
        let fixture = start().await;
        let mut machine = Machine::new(&fixture, seed).await;
        let body = json!({"inventory": sized(&text), "origin": "iso"}).to_string();
        let answer = fixture.call(machine.request("/api/v3/bootstrap/enrollments", &body, None)).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
        let pending = answer.json();
        let waiting = fixture.call(fixture.admin("GET", "/api/v3/bootstrap/enrollments", "")).await.json();
        check(&waiting, "waiting machines");
        is_kept_as_text(&waiting[0]["inventory"], &text);
        let lookup = json!({"code": pending["code"]}).to_string();
        let preview = fixture.call(fixture.admin("POST", "/api/v3/bootstrap/lookup", &lookup)).await.json();
        check(&preview, "preview");
        let path = format!("/api/v3/bootstrap/enrollments/{}/approve", pending["id"].as_str().unwrap());
        let approve = json!({
            "code": pending["code"], "fingerprint": preview["fingerprint"], "fingerprint_confirmed": true,
        });
        let approved = fixture.call(fixture.admin("POST", &path, &approve.to_string())).await;
        assert_eq!(approved.status, StatusCode::OK, "{approved:?}");
        check(&approved.json(), "approved");
    }
}

#[tokio::test]
async fn more_than_a_call_may_hold_is_not_read() {
    let fixture = start().await;
    let mut machine = Machine::new(&fixture, 30).await;
    let body = json!({"inventory": {"Serial": "A".repeat(65_536)}, "origin": "iso"}).to_string();
    let answer = fixture.call(machine.request("/api/v3/bootstrap/enrollments", &body, None)).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE, "{answer:?}");
    let waiting = fixture.call(fixture.admin("GET", "/api/v3/bootstrap/enrollments", "")).await.json();
    assert_eq!(waiting, json!([]));
}

#[tokio::test]
async fn names_are_no_place_for_such_texts() {
    let fixture = start().await;
    for name in hostile() {
        let body = json!({"Name": name}).to_string();
        let answer = fixture.call(fixture.admin("POST", "/api/v3/machines", &body)).await;
        assert!(answer.status.is_client_error(), "{name:?}: {answer:?}");
        let told = String::from_utf8(answer.body).unwrap();
        assert!(told.len() < 2_048, "a refusal does not repeat it all: {} bytes", told.len());
    }
    let login = json!({"Username": hostile()[1], "Password": "x"}).to_string();
    let answer = fixture.call(Fixture::request("POST", "/api/v3/session", &login)).await;
    assert!(answer.status.is_client_error());
    let audit = fixture.call(fixture.admin("GET", "/api/v3/audit?kind=session.refused", "")).await.json();
    assert_eq!(audit[0]["Principal"], "user:[31mred[2J]0;owned", "the name without its escapes");
    check(&audit, "audit");
}
