//! Refusals: their bodies, and requests that nobody sane sends.

use crate::site::{Site, replace, request};
use axum::http::header;
use serde_json::json;

#[tokio::test]
async fn bodies_that_are_no_such_json_are_400() {
    let site = Site::start().await;
    let deep = format!("{{\"Name\":\"x\",\"Params\":{}", "[".repeat(1_000_000));
    let wide = format!("{{\"Name\":\"x\",\"Tasks\":[{}\"a\"]}}", "\"a\",".repeat(200_000));
    let cases: [(&str, &[u8]); 11] = [
        ("", b""),
        ("broken", b"{\"Name\": "),
        ("twice", b"{\"Name\": \"a1\", \"Name\": \"b1\"}"),
        ("twice in other letters", b"{\"Name\": \"a1\", \"name\": \"b1\"}"),
        ("twice below", b"{\"Name\": \"a1\", \"Params\": {\"x\": 1, \"x\": 2}}"),
        ("no text", b"{\"Name\": \"\xff\xfe\"}"),
        ("no pair", b"{\"Name\": \"\\ud800\"}"),
        ("a list", b"[]"),
        ("a word", b"\"alpha\""),
        ("deep", deep.as_bytes()),
        ("wide", wide.as_bytes()),
    ];
    for (what, body) in cases {
        let answer = site.send(request("POST", "machines", body.to_vec())).await;
        answer.refused(400);
        assert_eq!(site.get("machines").await.ok(), json!([]), "{what}");
    }
}

#[tokio::test]
async fn bodies_have_limits_and_a_type() {
    let site = Site::start().await;
    let large = format!("{{\"Name\":\"alpha\",\"Description\":\"{}\"}}", "x".repeat(10 * 1_024 * 1_024));
    site.send(request("POST", "machines", large)).await.refused(413);
    for (kind, status) in
        [("text/plain", 415), ("application/octet-stream", 415), ("application/json; charset=utf-8", 201)]
    {
        let mut request = request("POST", "machines", r#"{"Name": "alpha"}"#);
        request.headers_mut().insert(header::CONTENT_TYPE, kind.parse().unwrap());
        assert_eq!(site.send(request).await.status, status, "{kind}");
    }
}

#[tokio::test]
async fn bodies_nobody_asked_for_are_not_looked_at() {
    let site = Site::start().await;
    let machine = site.machine(json!({"Name": "alpha"})).await;
    let path = site.path(&machine);
    for (method, body) in [("GET", "{}"), ("GET", "nonsense"), ("DELETE", "{}")] {
        assert_eq!(site.send(request(method, &path, body)).await.status, 200, "{method} {body}");
    }
}

#[tokio::test]
async fn names_do_not_leave_their_collection() {
    let site = Site::start().await;
    for name in
        ["../x", "a/b", "a\\b", "a[0]", "a{b}", "", "x", ".hidden", "a\u{0}b", "a\nb", &"n".repeat(10_000)]
    {
        let refused = site.post("machines", json!({"Name": name})).await.refused(422);
        assert_eq!(
            (&refused["Type"], &refused["Model"]),
            (&json!("ValidationError"), &json!("machines")),
            "{name:?}"
        );
        let status = site.post("stages", json!({"Name": name})).await.status;
        assert!(status == 422 || (name.is_empty() && status == 400), "{name:?}: {status}");
    }
    for path in
        ["templates/..%2f..%2f..%2fetc%2fpasswd", "params/../../../etc/passwd", "meta/machines/..%2f..%2f"]
    {
        site.get(path).await.refused(404);
    }
}

#[tokio::test]
async fn all_problems_come_at_once() {
    let site = Site::start().await;
    let wrong = json!({"Name": "alpha", "BootEnv": "no-env", "Profiles": ["no-profile", "global", "global"], "Address": "word"});
    let refused = site.post("machines", wrong).await.refused(422);
    assert!(refused["Messages"].as_array().unwrap().len() >= 4, "{refused}");
}

#[tokio::test]
async fn patches_fit_or_change_nothing() {
    let site = Site::start().await;
    let machine = site.machine(json!({"Name": "alpha"})).await;
    let path = site.path(&machine);
    let id = machine["Uuid"].clone();
    let stale = json!([
        {"op": "replace", "path": "/Description", "value": "new"},
        {"op": "test", "path": "/Name", "value": "beta"},
    ]);
    let refused = site.patch(&path, stale).await.refused(409);
    assert_eq!(
        (&refused["Type"], &refused["Key"], &refused["Model"]),
        (&json!("PATCH"), &id, &json!("machines"))
    );
    site.patch(&path, json!([{"op": "replace", "path": "/Nothing", "value": 1}])).await.refused(409);
    site.patch(&path, json!([{"op": "remove", "path": "/Tasks/4"}])).await.refused(409);
    assert_eq!(site.again(&machine).await, machine);
    for wrong in [json!("x"), json!([{"op": "increase", "path": "/a"}]), json!([{"path": "/a"}]), json!([1])]
    {
        site.patch(&path, wrong).await.refused(400);
    }
    // As drpcli's careful mode does it: a test of all that was read, then the change.
    let careful = json!([
        {"op": "test", "path": "", "from": "", "value": machine},
        {"op": "replace", "path": "/Description", "from": "", "value": "new"},
    ]);
    assert_eq!(site.patch(&path, careful).await.ok()["Description"], "new");
    let copies =
        serde_json::Value::Array(vec![json!({"op": "copy", "from": "", "path": "/Params/x"}); 1_000]);
    site.patch(&path, copies).await.refused(422);
}

#[tokio::test]
async fn uuid_cannot_be_changed_and_server_fields_are_ignored() {
    let site = Site::start().await;
    let machine = site.machine(json!({"Name": "alpha"})).await;
    let other = json!({"Uuid": "11111111-2222-4333-8444-555555555555"});
    site.set(&machine, other).await.refused(422);
    let ignored = json!({"JobState": "failed", "Available": false, "Errors": ["x"], "CreatedBy": "me", "CurrentJob": "x", "ReadOnly": true});
    let same = site.set(&machine, ignored).await.ok();
    for field in ["JobState", "Available", "Errors", "CreatedBy", "CurrentJob", "ReadOnly"] {
        assert_eq!(same[field], machine[field], "{field}");
    }
}

#[tokio::test]
async fn locked_machine_refuses_users_by_every_door() {
    let site = Site::start().await;
    let machine = site.machine(json!({"Name": "alpha"})).await;
    let path = site.path(&machine);
    site.set(&machine, json!({"Locked": true, "Description": "and this"})).await.ok();
    assert_eq!(site.set(&machine, json!({"Address": "10.0.0.1"})).await.refused(423)["Type"], "PATCH");
    assert_eq!(site.delete(&path).await.refused(423)["Type"], "DELETE");
    assert_eq!(site.post(&format!("{path}/params/k"), json!(1)).await.refused(423)["Type"], "POST");
    let mut whole = site.again(&machine).await;
    whole["Description"] = "no".into();
    assert_eq!(site.put(&path, whole).await.refused(423)["Type"], "PUT");
    let id = machine["Uuid"].as_str().unwrap();
    let label = json!([{"op": "add", "path": "/a", "value": "b"}]);
    site.patch(&format!("meta/machines/{id}"), label).await.refused(423);
    site.patch(&format!("{path}/start"), replace(&json!({}))).await.refused(423);
    let open = site.set(&machine, json!({"Locked": false, "Address": "10.0.0.1"})).await.ok();
    assert_eq!((&open["Locked"], &open["Address"]), (&json!(false), &json!("10.0.0.1")));
}

#[tokio::test]
async fn no_content_says_json_all_the_same() {
    let site = Site::start().await;
    let machine = site.machine(json!({"Name": "alpha"})).await;
    let nothing = site.next_job(&machine).await;
    assert_eq!((nothing.status, nothing.header("content-type")), (204, "application/json"));
}
