//! The audit log as people read it.

use crate::site::{Site, basic};
use serde_json::{Value, json};

const PASSWORD: &str = "correct horse battery";

/// A user who may do this alone; answers how the user logs in.
async fn user(site: &Site, name: &str, claims: Value) -> String {
    site.post("roles", json!({"Name": name, "Claims": claims})).await.ok();
    site.post("users", json!({"Name": name, "Roles": [name]})).await.ok();
    site.put(&format!("users/{name}/password"), json!({"Password": PASSWORD})).await.ok();
    basic(name, PASSWORD)
}

fn kinds(rows: &Value) -> Vec<&str> {
    rows.as_array().unwrap().iter().map(|row| row["Kind"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn rows_of_a_machine_outlive_it_and_say_who_did_what() {
    let site = Site::start().await;
    let machine = site.machine(json!({"Name": "db-07"})).await;
    site.machine(json!({"Name": "other"})).await;
    site.delete(&site.path(&machine)).await.ok();
    let id = machine["Uuid"].as_str().unwrap();
    let rows = site.get(&format!("audit?machine={id}")).await.ok();
    assert_eq!(kinds(&rows), ["machine.deleted", "machine.created"], "newest first");
    let deleted = &rows[0];
    assert_eq!((&deleted["Principal"], &deleted["Machine"]), (&json!("user:admin"), &json!(id)));
    assert!(deleted["Time"].as_str().is_some_and(|time| time.ends_with('Z')), "{deleted}");
    assert_eq!(deleted["Reason"].as_str().map(|reason| reason.contains("db-07")), Some(true), "{deleted}");
    assert!(!deleted["Request"].as_str().unwrap().is_empty());
    // Upper case is the same id.
    let same = site.get(&format!("audit?machine={}", id.to_uppercase())).await.ok();
    assert_eq!(same, rows);
}

#[tokio::test]
async fn log_is_read_in_parts_by_kind_and_by_user() {
    let site = Site::start().await;
    let eve = user(&site, "eve", json!([{"scope": "machines", "action": "*", "specific": "*"}])).await;
    for number in 0..5 {
        site.machine(json!({"Name": format!("m-{number}")})).await;
    }
    site.call_as(&eve, "POST", "machines", &json!({"Name": "hers"})).await.ok();
    let (mut seen, mut after) = (Vec::new(), String::new());
    loop {
        let part = site.get(&format!("audit?kind=machine.created,machine.deleted&limit=2{after}")).await.ok();
        let part = part.as_array().unwrap().clone();
        let Some(last) = part.last() else { break };
        assert!(part.len() <= 2);
        after = format!("&after={}", last["Number"]);
        seen.extend(part.iter().map(|row| row["Number"].as_i64().unwrap()));
    }
    assert_eq!(seen.len(), 6);
    assert!(seen.is_sorted_by(|a, b| a > b), "{seen:?}");
    assert_eq!(kinds(&site.get("audit?user=eve").await.ok()), ["machine.created"]);
    assert_eq!(kinds(&site.get("audit?user=user:eve&kind=machine.deleted").await.ok()), [""; 0]);
    let all = site.get("audit?limit=500").await.ok();
    assert!(kinds(&all).contains(&"user.password") && kinds(&all).contains(&"access.changed"), "{all}");
    assert!(!all.to_string().contains(PASSWORD));
}

#[tokio::test]
async fn query_that_means_nothing_is_refused_in_words() {
    let site = Site::start().await;
    for (query, words) in [
        ("kind=machine.exploded", "no kind of audit row"),
        ("machine=db-07", "must be a UUID"),
        ("after=x", "a row's Number"),
        ("limit=0", "from 1 to 500"),
        ("limit=501", "from 1 to 500"),
        ("colour=red", "by machine, kind and user"),
    ] {
        let body = site.get(&format!("audit?{query}")).await.refused(406);
        assert!(body["Messages"][0].as_str().unwrap().contains(words), "{query}: {body}");
    }
}

#[tokio::test]
async fn log_is_for_those_who_may_see_it() {
    let site = Site::start().await;
    let machine = site.machine(json!({"Name": "db-07"})).await;
    let id = machine["Uuid"].as_str().unwrap();
    let eve = user(&site, "eve", json!([{"scope": "machines", "action": "*", "specific": "*"}])).await;
    let one = user(&site, "one", json!([{"scope": "audit", "action": "list", "specific": id}])).await;
    let all = user(&site, "all", json!([{"scope": "audit", "action": "list", "specific": "*"}])).await;
    let of_one = format!("audit?machine={id}");
    for (who, path, status) in [
        (&eve, "audit", 403),
        (&eve, of_one.as_str(), 403),
        (&one, "audit", 403),
        (&one, of_one.as_str(), 200),
        (&all, "audit", 200),
        (&all, of_one.as_str(), 200),
    ] {
        assert_eq!(site.call_as(who, "GET", path, &Value::Null).await.status, status, "{path}");
    }
    let token = site.get(&format!("machines/{id}/token")).await.ok();
    let machine = format!("Bearer {}", token["Token"].as_str().unwrap());
    assert_eq!(site.call_as(&machine, "GET", &of_one, &Value::Null).await.status, 403, "not even its own");
}
