//! Events: who is told what, in which order, and until when.

use crate::site::{Site, basic};
use axum::http::header;
use serde_json::{Value, json};
use std::sync::Arc;

const PASSWORD: &str = "correct horse battery";
const ENDED: &str = "the log-in has ended";

async fn user(site: &Site, name: &str, claims: Value) -> String {
    site.post("roles", json!({"Name": name, "Claims": claims})).await.ok();
    site.post("users", json!({"Name": name, "Roles": [name]})).await.ok();
    site.put(&format!("users/{name}/password"), json!({"Password": PASSWORD})).await.ok();
    basic(name, PASSWORD)
}

fn what(event: &Value) -> (&str, &str, &str) {
    let text = |name: &str| event[name].as_str().unwrap();
    (text("Type"), text("Action"), text("Key"))
}

#[tokio::test]
async fn event_shows_what_is_and_what_was_without_secrets() {
    let site = Site::start().await;
    let mut events = site.events("machines,stages.*.*").await;
    let machine = site.machine(json!({"Name": "m1", "Secret": "of-the-machine"})).await;
    site.set(&machine, json!({"Description": "after"})).await.ok();
    site.delete(&site.path(&machine)).await.ok();
    site.post("stages", json!({"Name": "s1"})).await.ok();
    site.patch("stages/s1", json!({"Description": "after"})).await.ok();
    site.delete("stages/s1").await.ok();
    let id = machine["Uuid"].as_str().unwrap();
    for (kind, key) in [("machines", id), ("stages", "s1")] {
        let created = events.next().await;
        assert_eq!(what(&created), (kind, "create", key));
        assert!(created["Original"].is_null());
        let updated = events.next().await;
        assert_eq!(what(&updated), (kind, "update", key));
        assert_eq!(
            (&updated["Object"]["Description"], &updated["Original"]["Description"]),
            (&json!("after"), &json!(""))
        );
        assert_eq!(updated["Principal"], "user:admin");
        let deleted = events.next().await;
        assert_eq!(what(&deleted), (kind, "delete", key));
        assert_eq!(deleted["Object"]["Description"], "after");
        for event in [created, updated, deleted] {
            assert!(!event.to_string().contains("of-the-machine"), "{event}");
        }
    }
}

#[tokio::test]
async fn changes_at_once_are_told_in_the_order_of_their_commits_and_can_be_read() {
    const CHANGES: i64 = 200;
    let site = Arc::new(Site::swift().await);
    let machine = site.machine(json!({"Name": "m1", "Params": {"n": 0}})).await;
    let path = site.path(&machine);
    let mut events = site.events("machines.update.*").await;
    let writers: Vec<_> = (0..CHANGES)
        .map(|number| {
            let (site, path) = (Arc::clone(&site), format!("{path}/params/p{number}"));
            tokio::spawn(async move {
                site.post(&path, json!(number)).await.ok();
            })
        })
        .collect();
    let (mut before, mut modified) = (machine["Params"].clone(), String::new());
    for count in 1..=CHANGES {
        let event = events.next().await;
        let (object, original) = (&event["Object"], &event["Original"]);
        assert_eq!(original["Params"], before, "each begins where the one before it ended");
        before = object["Params"].clone();
        assert_eq!(before.as_object().unwrap().len() as i64, count + 1);
        let at = object["LastModifiedAt"].as_str().unwrap();
        assert!(at >= modified.as_str(), "{at} {modified}");
        at.clone_into(&mut modified);
        if count % 20 == 0 {
            let read = site.get(&format!("{path}/params")).await.ok();
            for (name, value) in before.as_object().unwrap() {
                assert_eq!(&read[name], value, "what was told can be read");
            }
        }
    }
    for writer in writers {
        writer.await.unwrap();
    }
}

#[tokio::test]
async fn nobody_is_told_what_they_may_not_read() {
    let site = Site::start().await;
    let claims = json!([
        {"scope": "events", "action": "watch", "specific": "*"},
        {"scope": "stages", "action": "get", "specific": "mine"},
    ]);
    let eve = user(&site, "eve", claims).await;
    let mut events = site.events_of(&eve, "*.*.*").await;
    site.machine(json!({"Name": "m1"})).await;
    site.post("stages", json!({"Name": "theirs"})).await.ok();
    site.post("stages", json!({"Name": "mine"})).await.ok();
    assert_eq!(what(&events.next().await), ("stages", "create", "mine"));
    // Other rights count from now on, also for who listens already.
    let claims = json!([
        {"scope": "events", "action": "watch", "specific": "*"},
        {"scope": "tasks", "action": "get", "specific": "*"},
    ]);
    site.patch("roles/eve", json!({"Claims": claims})).await.ok();
    // The connection has heard of it once it answers what it is asked after.
    for round in 0.. {
        site.post("tasks", json!({"Name": format!("t{round}")})).await.ok();
        if events.say("register jobs.*.*").await["Type"] == "tasks" {
            break;
        }
        assert!(round < 100, "the new right does not count");
    }
}

#[tokio::test]
async fn machines_token_hears_of_its_machine_and_its_jobs() {
    let site = Site::start().await;
    site.make("tasks", json!([{"Name": "work"}])).await;
    let own = site.machine(json!({"Name": "m1", "Tasks": ["work"]})).await;
    let other = site.machine(json!({"Name": "m2", "Tasks": ["work"]})).await;
    let made = site.get(&format!("{}/token", site.path(&own))).await.ok();
    let token = format!("Bearer {}", made["Token"].as_str().unwrap());
    let mut events = site.events_of(&token, "*.*.*").await;
    site.set(&other, json!({"Description": "x"})).await.ok();
    site.next_job(&other).await.ok();
    site.post("users", json!({"Name": "eve"})).await.ok();
    let job = site.next_job(&own).await.ok();
    let heard = [events.next().await, events.next().await];
    let mut kinds: Vec<_> = heard.iter().map(|event| (event["Type"].clone(), event["Key"].clone())).collect();
    kinds.sort_by_key(|(kind, _)| kind.to_string());
    assert_eq!(kinds, [(json!("jobs"), job["Uuid"].clone()), (json!("machines"), own["Uuid"].clone())]);
}

#[tokio::test]
async fn query_may_say_who_listens_and_is_not_logged() {
    let site = Site::start().await;
    user(&site, "eve", json!([{"scope": "events", "action": "watch", "specific": "*"}])).await;
    let made = site.get("users/eve/token").await.ok();
    let machine = site.machine(json!({"Name": "m1"})).await;
    let own = site.get(&format!("{}/token", site.path(&machine))).await.ok();
    let encoded = PASSWORD.replace(' ', "%20");
    for query in [
        format!("?token={}", made["Token"].as_str().unwrap()),
        format!("?Token={}", own["Token"].as_str().unwrap()),
        format!("?token=eve:{encoded}"),
        format!("?token=eve%3A{encoded}"),
    ] {
        let mut socket = site.socket(&query, &[]).await.unwrap();
        assert_eq!(socket.say("register *.*.*").await["Type"], "websocket", "{query}");
    }
    for query in ["?token=eve:wrong", "?token=mst_AAAA", "?token=mmt_AAAA", "?token=x", "?token="] {
        assert_eq!(site.socket(query, &[]).await.err(), Some(403), "{query}");
    }
    assert_eq!(site.socket("", &[]).await.err(), Some(401));
}

#[tokio::test]
async fn events_of_ones_own_are_told_and_none_of_the_servers_is_made() {
    let site = Site::start().await;
    let mut events = site.events("*.*.*").await;
    let event = json!({
        "Time": "2001-01-01T00:00:00Z", "Type": "site", "Action": "ping", "Key": "rack.b4",
        "Principal": "system", "Object": {"door": "open"},
    });
    assert_eq!(site.post("events", event).await.status, 204);
    let heard = events.next().await;
    assert_eq!(what(&heard), ("site", "ping", "rack.b4"));
    assert_eq!((&heard["Principal"], &heard["Object"]), (&json!("user:admin"), &json!({"door": "open"})));
    assert_ne!(heard["Time"], "2001-01-01T00:00:00Z");
    for kind in [
        "machines",
        "jobs",
        "users",
        "websocket",
        "enrollments",
        "machine_jobs",
        "",
        "a.b",
        "a b",
        &"x".repeat(65),
    ] {
        site.post("events", json!({"Type": kind, "Action": "update", "Key": "k"})).await.refused(422);
    }
    site.post("events", json!({"Type": "site", "Action": "", "Key": "k"})).await.refused(422);
    let long = json!({"Type": "site", "Action": "ping", "Key": "k", "Object": "x".repeat(70_000)});
    site.post("events", long).await.refused(413);
    let eve = user(&site, "eve", json!([])).await;
    let event = json!({"Type": "site", "Action": "ping", "Key": "k"});
    site.call_as(&eve, "POST", "events", &event).await.refused(403);
}

#[tokio::test]
async fn slow_listener_holds_nobody_and_reads_everything_again() {
    const EVENTS: usize = 900;
    let site = Site::swift().await;
    let mut slow = site.events("site.*.*").await;
    let mut quick = site.events("site.*.*").await;
    let object = json!("x".repeat(60_000));
    for number in 0..EVENTS {
        let event = json!({"Type": "site", "Action": "ping", "Key": number.to_string(), "Object": object});
        assert_eq!(site.post("events", event).await.status, 204);
        assert_eq!(quick.next().await["Key"], number.to_string());
    }
    let mut heard = 0;
    loop {
        let event = slow.next().await;
        if event["Type"] == "websocket" {
            assert_eq!(event["Action"], "resync");
            break;
        }
        assert_eq!(event["Key"], heard.to_string(), "in order up to the gap");
        heard += 1;
    }
    assert!(heard < EVENTS, "it lost some, and was told so");
    let last = json!({"Type": "site", "Action": "ping", "Key": "after"});
    assert_eq!(site.post("events", last).await.status, 204);
    assert_eq!(slow.next().await["Key"], "after");
}

#[tokio::test]
async fn listening_ends_with_the_log_in() {
    let site = Site::start().await;
    let watch = || json!([{"scope": "events", "action": "watch", "specific": "*"}]);
    let eve = user(&site, "eve", watch()).await;
    let mut by_password = site.events_of(&eve, "*.*.*").await;
    let made = site.call_as(&eve, "GET", "users/eve/token", &Value::Null).await.ok();
    let token = format!("Bearer {}", made["Token"].as_str().unwrap());
    let mut by_token = site.events_of(&token, "*.*.*").await;
    site.delete("users/eve").await.ok();
    assert_eq!((by_password.end().await, by_token.end().await), (ENDED.to_owned(), ENDED.to_owned()));

    user(&site, "adam", watch()).await;
    let login = site.post("session", json!({"Username": "adam", "Password": PASSWORD})).await;
    let cookie = login.header("set-cookie").split(';').next().unwrap().to_owned();
    let csrf = login.ok()["CsrfToken"].as_str().unwrap().to_owned();
    let of_session = token_of_session(&site, &cookie, &csrf).await;
    let mut by_token = site.events_of(&of_session, "*.*.*").await;
    let mut logout = crate::site::request("DELETE", "session", "");
    let headers = logout.headers_mut();
    headers.insert(header::COOKIE, cookie.parse().unwrap());
    headers.insert("x-csrf-token", csrf.parse().unwrap());
    headers.insert(header::ORIGIN, "https://muster.test:8092".parse().unwrap());
    assert_eq!(site.send_as_it_is(logout).await.status, 204);
    assert_eq!(by_token.end().await, ENDED);
}

/// An API token that a session made; as `Authorization`.
async fn token_of_session(site: &Site, cookie: &str, csrf: &str) -> String {
    let mut request = crate::site::request("GET", "users/adam/token", "");
    request.headers_mut().insert(header::COOKIE, cookie.parse().unwrap());
    // A token is handed out to the dashboard alone, like a change.
    request.headers_mut().insert("x-csrf-token", csrf.parse().unwrap());
    let made = site.send_as_it_is(request).await.ok();
    format!("Bearer {}", made["Token"].as_str().unwrap())
}
