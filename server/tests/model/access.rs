//! Who may do what: users, roles, passwords and tokens.

use crate::site::{Answer, Site, basic};
use serde_json::{Value, json};

const PASSWORD: &str = "correct horse battery";

/// Makes a user with these roles and a password; answers how the user logs in.
async fn user(site: &Site, name: &str, roles: Value) -> String {
    site.post("users", json!({"Name": name, "Roles": roles})).await.ok();
    site.put(&format!("users/{name}/password"), json!({"Password": PASSWORD})).await.ok();
    basic(name, PASSWORD)
}

async fn role(site: &Site, name: &str, claims: &[(&str, &str, &str)]) {
    let claim = |(scope, action, specific): &(&str, &str, &str)| json!({"scope": scope, "action": action, "specific": specific});
    let claims: Vec<Value> = claims.iter().map(claim).collect();
    site.post("roles", json!({"Name": name, "Claims": claims})).await.ok();
}

/// A token, as the first user gets it; as `Authorization`.
async fn token(site: &Site, path: &str) -> String {
    bearer(&site.get(path).await)
}

fn bearer(answer: &Answer) -> String {
    format!("Bearer {}", answer.ok()["Token"].as_str().unwrap())
}

async fn get(site: &Site, who: &str, path: &str) -> Answer {
    site.call_as(who, "GET", path, &Value::Null).await
}

fn set(path: &str, value: Value) -> Value {
    json!([{"op": "add", "path": path, "value": value}])
}

#[tokio::test]
async fn user_is_made_logs_in_and_may_what_the_roles_say() {
    let site = Site::start().await;
    role(&site, "reader", &[("machines", "list, get", "*"), ("info", "get", "*")]).await;
    let eve = user(&site, "eve", json!(["reader"])).await;
    let machine = site.machine(json!({"Name": "m1"})).await;
    get(&site, &eve, "machines").await.ok();
    get(&site, &eve, &site.path(&machine)).await.ok();
    let refused = site.call_as(&eve, "DELETE", &site.path(&machine), &Value::Null).await.refused(403);
    assert_eq!(refused["Type"], "AUTH");
    let right = format!("machines:delete:{}", machine["Uuid"].as_str().unwrap());
    assert!(refused["Messages"][0].as_str().unwrap().contains(&right), "{refused}");
    for path in ["users", "roles/superuser", "prefs", "stages", "stages/nothing", "jobs"] {
        assert_eq!(get(&site, &eve, path).await.refused(403)["Type"], "AUTH", "{path}");
    }
}

#[tokio::test]
async fn change_of_a_role_acts_at_once() {
    let site = Site::start().await;
    role(&site, "team", &[("stages", "list", "*")]).await;
    let eve = user(&site, "eve", json!(["team"])).await;
    get(&site, &eve, "stages").await.ok();
    let claims = json!([{"scope": "tasks", "action": "list", "specific": "*"}]);
    site.patch("roles/team", set("/Claims", claims)).await.ok();
    get(&site, &eve, "stages").await.refused(403);
    get(&site, &eve, "tasks").await.ok();
    site.patch("users/eve", set("/Roles", json!([]))).await.ok();
    get(&site, &eve, "tasks").await.refused(403);
}

#[tokio::test]
async fn claim_with_a_pointer_allows_that_part_however_it_is_written() {
    let site = Site::start().await;
    role(&site, "params", &[("machines", "get,update:/Params/rack", "*")]).await;
    let eve = user(&site, "eve", json!(["params"])).await;
    let machine = site.machine(json!({"Name": "m1", "Params": {"kept": 1}})).await;
    let path = site.path(&machine);
    let patch = |body: Value| {
        let (site, eve, path) = (&site, &eve, &path);
        async move { site.call_as(eve, "PATCH", path, &body).await }
    };
    patch(set("/Params/rack", json!("b4"))).await.ok();
    patch(json!({"Params": {"rack": "b5"}})).await.ok();
    patch(json!([{"op": "replace", "path": "/Params", "value": {"kept": 1, "rack": "b6"}}])).await.ok();
    let mut whole = site.again(&machine).await;
    whole["Params"]["rack"] = json!("b7");
    site.call_as(&eve, "PUT", &path, &whole).await.ok();
    assert_eq!(site.again(&machine).await["Params"], json!({"kept": 1, "rack": "b7"}));
    for body in [
        set("/Params/other", json!(1)),
        set("/Description", json!("x")),
        json!([{"op": "remove", "path": "/Params/kept"}]),
        json!([{"op": "add", "path": "/Params/rack", "value": 1}, {"op": "add", "path": "/Locked", "value": true}]),
        json!({"Runnable": false}),
    ] {
        assert_eq!(patch(body.clone()).await.refused(403)["Type"], "AUTH", "{body}");
    }
    whole["Name"] = json!("m2");
    site.call_as(&eve, "PUT", &path, &whole).await.refused(403);
    assert_eq!(site.again(&machine).await["Params"], json!({"kept": 1, "rack": "b7"}));
}

#[tokio::test]
async fn nobody_hands_on_more_than_they_have() {
    let site = Site::start().await;
    role(&site, "staff", &[("users,roles,tasks", "*", "*"), ("machines", "get", "*")]).await;
    let eve = user(&site, "eve", json!(["staff"])).await;
    user(&site, "boss", json!(["superuser"])).await;
    let claim = |action: &str| json!([{"scope": "machines", "action": action, "specific": "*"}]);
    let calls = [
        ("POST", "users", json!({"Name": "mallory", "Roles": ["superuser"]})),
        ("PATCH", "users/eve", set("/Roles", json!(["staff", "superuser"]))),
        ("POST", "roles", json!({"Name": "more", "Claims": claim("delete")})),
        ("PATCH", "roles/staff", set("/Claims/-", claim("*")[0].clone())),
        ("POST", "tasks", json!({"Name": "grab", "ExtraClaims": claim("*")})),
        ("POST", "tasks", json!({"Name": "grab", "ExtraRoles": ["superuser"]})),
        ("PUT", "users/boss/password", json!({"Password": PASSWORD})),
        ("GET", "users/boss/token", Value::Null),
    ];
    for (method, path, body) in calls {
        let refused = site.call_as(&eve, method, path, &body).await.refused(403);
        assert!(refused["Messages"][0].as_str().unwrap().contains("nobody grants"), "{path}: {refused}");
    }
    site.call_as(&eve, "POST", "roles", &json!({"Name": "less", "Claims": claim("get")})).await.ok();
    site.call_as(&eve, "POST", "users", &json!({"Name": "friend", "Roles": ["less"]})).await.ok();
    let friend = bearer(&get(&site, &eve, "users/friend/token").await);
    get(&site, &friend, "machines/Name:nobody").await.refused(404);
    get(&site, &friend, "users").await.refused(403);
    // Nor by what somebody is given later.
    site.patch("users/friend", set("/Roles", json!(["less", "superuser"]))).await.ok();
    get(&site, &friend, "users").await.refused(403);
}

#[tokio::test]
async fn somebody_is_always_left_who_may_do_everything() {
    let site = Site::start().await;
    for call in [site.delete("users/admin").await, site.patch("users/admin", set("/Roles", json!([]))).await]
    {
        assert!(call.refused(409)["Messages"][0].as_str().unwrap().contains("superuser"));
    }
    user(&site, "boss", json!(["superuser"])).await;
    site.delete("users/admin").await.ok();
    site.get("machines").await.refused(403);
    let boss = basic("boss", PASSWORD);
    get(&site, &boss, "machines").await.ok();
    site.call_as(&boss, "DELETE", "users/boss", &Value::Null).await.refused(409);
}

#[tokio::test]
async fn new_password_ends_everything_that_the_old_one_opened() {
    let site = Site::start().await;
    let eve = user(&site, "eve", json!(["superuser"])).await;
    let machine = site.machine(json!({"Name": "m1"})).await;
    let api = bearer(&get(&site, &eve, "users/eve/token").await);
    let own = bearer(&get(&site, &eve, &format!("{}/token", site.path(&machine))).await);
    let others = token(&site, &format!("{}/token", site.path(&machine))).await;
    for (who, path) in [(&api, "machines".to_owned()), (&own, site.path(&machine))] {
        get(&site, who, &path).await.ok();
    }
    let mut socket = site.events_of(&api, "machines.*.*").await;
    let changed =
        site.call_as(&eve, "PUT", "users/eve/password", &json!({"Password": "another one of mine"})).await;
    let shown = changed.ok();
    assert_eq!((&shown["Name"], &shown["Secret"]), (&json!("eve"), &json!("")));
    assert_eq!(socket.end().await, "the log-in has ended");
    for who in [&eve, &api, &own] {
        let refused = get(&site, who, &site.path(&machine)).await.refused(403);
        assert_eq!(refused["Type"], "AUTH");
    }
    get(&site, &others, &site.path(&machine)).await.ok();
    get(&site, &basic("eve", "another one of mine"), "machines").await.ok();
}

#[tokio::test]
async fn passwords_are_long_and_for_those_who_may() {
    let site = Site::start().await;
    let eve = user(&site, "eve", json!([])).await;
    for password in ["", "hunter2", "elevenchars", &"x".repeat(1_025)] {
        let refused = site.put("users/eve/password", json!({"Password": password})).await.refused(422);
        assert!(refused["Messages"][0].as_str().unwrap().contains("12 characters"), "{refused}");
    }
    site.put("users/nobody/password", json!({"Password": PASSWORD})).await.refused(404);
    site.put("users/eve/password", json!({"Pass": PASSWORD})).await.refused(400);
    site.call_as(&eve, "PUT", "users/admin/password", &json!({"Password": PASSWORD})).await.refused(403);
    site.call_as(&eve, "PUT", "users/eve/password", &json!({"Password": "one of one's own"})).await.ok();
}

#[tokio::test]
async fn deleted_user_is_gone_and_a_namesake_is_somebody_else() {
    let site = Site::start().await;
    let eve = user(&site, "eve", json!(["superuser"])).await;
    let machine = site.machine(json!({"Name": "m1"})).await;
    let api = bearer(&get(&site, &eve, "users/eve/token").await);
    let own = bearer(&get(&site, &eve, &format!("{}/token", site.path(&machine))).await);
    site.delete("users/eve").await.ok();
    for who in [&eve, &api, &own] {
        get(&site, who, &site.path(&machine)).await.refused(403);
    }
    site.post("users", json!({"Name": "eve", "Roles": ["superuser"]})).await.ok();
    for who in [&eve, &api, &own] {
        get(&site, who, &site.path(&machine)).await.refused(403);
    }
}

#[tokio::test]
async fn api_token_says_what_the_server_is_and_may_be_for_some_roles() {
    let site = Site::start().await;
    role(&site, "stages", &[("stages", "list", "*")]).await;
    role(&site, "tasks", &[("tasks", "list", "*")]).await;
    let eve = user(&site, "eve", json!(["stages", "tasks"])).await;
    let made = site.get("users/admin/token?ttl=600&scope=x&action=y&specific=z").await.ok();
    for key in ["address", "api_port", "ha_status", "version", "id"] {
        assert!(!made["Info"][key].is_null(), "{key}: {made}");
    }
    assert!(made["ExpiresAt"].is_string());
    let narrow = bearer(&get(&site, &eve, "users/eve/token?roles=stages").await);
    get(&site, &narrow, "stages").await.ok();
    get(&site, &narrow, "tasks").await.refused(403);
    for path in ["users/eve/token?roles=tasks", "users/eve/token?roles=superuser"] {
        get(&site, &narrow, path).await.refused(422);
    }
    let next = bearer(&get(&site, &narrow, "users/eve/token").await);
    get(&site, &next, "tasks").await.refused(403);
    site.call_as(&narrow, "PUT", "users/eve/password", &json!({"Password": PASSWORD})).await.refused(403);
}

#[tokio::test]
async fn api_tokens_are_asked_for_in_many_ways() {
    let site = Site::start().await;
    let eve = user(&site, "eve", json!([])).await;
    for (path, status) in [
        ("users/admin/token", 200),
        ("users/%7Bname%7D/token?name=admin&ttl=600", 200),
        ("users/eve/token?name=admin", 200),
        ("users/admin/token?ttl=90m", 200),
        ("users/nobody/token", 404),
        ("users/%7Bname%7D/token", 404),
        ("users/admin/token?ttl=0", 422),
        ("users/admin/token?ttl=31536001", 422),
        ("users/admin/token?ttl=never", 422),
        ("users/admin/token?ttl=soon", 400),
    ] {
        assert_eq!(site.get(path).await.status, status, "{path}");
    }
    let eves = token(&site, "users/eve/token?name=admin").await;
    get(&site, &eves, "users").await.refused(403);
    for path in ["users/admin/token", "users/nobody/token", "users/%7Bname%7D/token?name=admin"] {
        get(&site, &eve, path).await.refused(403);
    }
    get(&site, &eve, "users/eve/token").await.ok();
}

#[tokio::test]
async fn secrets_of_users_are_never_shown() {
    let site = Site::start().await;
    let mut events = site.events("users.*.*").await;
    site.post("users", json!({"Name": "eve", "Secret": "eves-own-secret"})).await.ok();
    let changed = site.patch("users/eve", set("/Secret", json!("another-secret"))).await.ok();
    let (list, one) = (site.get("users").await, site.get("users/eve").await);
    let told = [events.next().await, events.next().await];
    let shown = format!("{} {} {changed} {told:?}", list.text(), one.text());
    assert!(!shown.contains("eves-own-secret") && !shown.contains("another-secret"), "{shown}");
    assert_eq!(one.json()["Secret"], "");
    assert_eq!(told[1]["Original"]["Secret"], "");
}
