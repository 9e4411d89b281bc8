//! Log-ins while they last: the password entered once more, lists, lasting tokens, and their end.

use crate::support::{Answer, Fixture, HOST, start};
use axum::http::{StatusCode, header};
use serde_json::{Value, json};

const LOGINS: &str = "/api/v3/users/admin/logins";
const TOKEN: &str = "/api/v3/users/admin/token";

/// A call of the dashboard in a session.
async fn in_session(
    fixture: &Fixture,
    session: &(String, String),
    method: &str,
    path: &str,
    body: &Value,
) -> Answer {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let mut request = Fixture::request(method, path, &body);
    let headers = request.headers_mut();
    headers.insert(header::COOKIE, session.0.parse().unwrap());
    headers.insert("x-csrf-token", session.1.parse().unwrap());
    if method != "GET" {
        headers.insert(header::ORIGIN, format!("https://{HOST}").parse().unwrap());
    }
    fixture.call(request).await
}

async fn with_token(fixture: &Fixture, method: &str, path: &str, token: &str, body: &Value) -> Answer {
    let mut request = Fixture::request(method, path, &body.to_string());
    request.headers_mut().insert(header::AUTHORIZATION, format!("Bearer {token}").parse().unwrap());
    fixture.call(request).await
}

#[tokio::test]
async fn password_is_confirmed_in_a_session_and_a_wrong_one_does_not_end_it() {
    let fixture = start().await;
    let session = fixture.login().await;
    let confirm = |password: &str| json!({ "Password": password });
    let path = "/api/v3/session/confirm";
    let wrong = in_session(&fixture, &session, "POST", path, &confirm("guess")).await;
    assert_eq!(wrong.status, StatusCode::FORBIDDEN);
    assert_eq!(wrong.json()["Messages"], json!(["the password is wrong"]));
    let right = in_session(&fixture, &session, "POST", path, &confirm(&fixture.password)).await;
    assert_eq!(right.status, StatusCode::NO_CONTENT);
    assert_eq!(in_session(&fixture, &session, "GET", LOGINS, &Value::Null).await.status, StatusCode::OK);
    // Only a session is confirmed.
    let body = confirm(&fixture.password);
    let basic = fixture.call(fixture.admin("POST", path, &body.to_string())).await;
    assert_eq!(basic.status, StatusCode::FORBIDDEN);
    let made = in_session(&fixture, &session, "POST", TOKEN, &json!({})).await;
    let token = made.json()["Token"].as_str().unwrap().to_owned();
    let by_token = with_token(&fixture, "POST", path, &token, &body).await;
    assert_eq!(by_token.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn wrong_passwords_of_a_confirmation_are_counted_like_those_of_a_log_in() {
    let fixture = start().await;
    let session = fixture.login().await;
    let guess = json!({ "Password": "guess" });
    for _ in 0..10 {
        let answer = in_session(&fixture, &session, "POST", "/api/v3/session/confirm", &guess).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN);
    }
    let answer = in_session(&fixture, &session, "POST", "/api/v3/session/confirm", &guess).await;
    assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS);
}

#[tokio::test]
async fn lasting_token_outlives_its_session_and_is_not_made_by_a_token() {
    let fixture = start().await;
    let session = fixture.login().await;
    let lasting = json!({"Ttl": "30d", "Description": "backup script", "Lasting": true});
    let made = in_session(&fixture, &session, "POST", TOKEN, &lasting).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    let token = made.json()["Token"].as_str().unwrap().to_owned();
    let passing = in_session(&fixture, &session, "POST", TOKEN, &json!({"Ttl": "30d"})).await;
    let passing = passing.json();
    assert!(passing["ExpiresAt"].as_str() < made.json()["ExpiresAt"].as_str(), "{passing}");
    let by_token = with_token(&fixture, "POST", TOKEN, &token, &lasting).await;
    assert_eq!(by_token.status, StatusCode::UNAUTHORIZED);
    assert_eq!(by_token.json()["Type"], "step_up");
    in_session(&fixture, &session, "DELETE", "/api/v3/session", &Value::Null).await;
    assert_eq!(with_token(&fixture, "GET", LOGINS, &token, &Value::Null).await.status, StatusCode::OK);
    let ended = passing["Token"].as_str().unwrap();
    let answer = with_token(&fixture, "GET", LOGINS, ended, &Value::Null).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn list_tells_all_but_the_secrets_and_ends_what_is_named() {
    let fixture = start().await;
    let session = fixture.login().await;
    let other = fixture.login().await;
    let long = "\u{fc}".repeat(190);
    let description = format!("f\u{fc}r\u{1b}[2J {long}");
    let wish = json!({"Ttl": "1d", "Description": description, "Lasting": true});
    let made = in_session(&fixture, &session, "POST", TOKEN, &wish).await;
    let token = made.json()["Token"].as_str().unwrap().to_owned();
    let listed = in_session(&fixture, &session, "GET", LOGINS, &Value::Null).await;
    let text = String::from_utf8(listed.body.clone()).unwrap();
    for secret in [&token["mst_".len()..], session.0.split_once('=').unwrap().1] {
        assert!(!text.contains(secret));
    }
    let listed = listed.json();
    let rows = listed.as_array().unwrap();
    let of = |kind: &str| rows.iter().filter(|row| row["Kind"] == kind).collect::<Vec<_>>();
    assert_eq!((of("session").len(), of("api-token").len()), (2, 1), "{listed}");
    let current: Vec<_> = rows.iter().filter(|row| row["Current"] == true).collect();
    assert_eq!(current.len(), 1);
    assert_eq!(current[0]["Kind"], "session");
    let row = of("api-token")[0];
    assert_eq!(row["Description"], format!("f\u{fc}r[2J {long}"));
    assert_eq!((&row["LastUsedAt"], &row["OfSession"]), (&Value::Null, &json!(false)));
    assert_eq!(with_token(&fixture, "GET", LOGINS, &token, &Value::Null).await.status, StatusCode::OK);
    let path = format!("{LOGINS}/{}", row["Id"].as_str().unwrap());
    let ended = in_session(&fixture, &session, "DELETE", &path, &Value::Null).await;
    assert_eq!(ended.status, StatusCode::OK);
    assert!(ended.json()["LastUsedAt"].is_string(), "{:?}", ended.json());
    let void = with_token(&fixture, "GET", LOGINS, &token, &Value::Null).await;
    assert_eq!(void.status, StatusCode::FORBIDDEN);
    let again = in_session(&fixture, &session, "DELETE", &path, &Value::Null).await;
    assert_eq!(again.status, StatusCode::NOT_FOUND);
    let stranger = of("session").into_iter().find(|row| row["Current"] == false).unwrap();
    let path = format!("{LOGINS}/{}", stranger["Id"].as_str().unwrap());
    assert_eq!(in_session(&fixture, &session, "DELETE", &path, &Value::Null).await.status, StatusCode::OK);
    let answer = in_session(&fixture, &other, "GET", LOGINS, &Value::Null).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn somebody_elses_log_ins_are_for_those_who_may() {
    let fixture = start().await;
    let eve = json!({"Name": "eve", "Roles": []}).to_string();
    fixture.call(fixture.admin("POST", "/api/v3/users", &eve)).await;
    let made = fixture.call(fixture.admin("GET", "/api/v3/users/eve/token", "")).await;
    let token = made.json()["Token"].as_str().unwrap().to_owned();
    for (path, status) in [
        ("/api/v3/users/eve/logins", StatusCode::OK),
        (LOGINS, StatusCode::FORBIDDEN),
        ("/api/v3/users/nobody/logins", StatusCode::FORBIDDEN),
    ] {
        let answer = with_token(&fixture, "GET", path, &token, &Value::Null).await;
        assert_eq!(answer.status, status, "{path}");
    }
    let path = "/api/v3/users/nobody/logins";
    assert_eq!(fixture.call(fixture.admin("GET", path, "")).await.status, StatusCode::NOT_FOUND);
    assert_eq!(fixture.call(fixture.admin("GET", LOGINS, "")).await.status, StatusCode::OK);
}

#[tokio::test]
async fn stolen_cookie_alone_makes_no_token_by_get_either() {
    let fixture = start().await;
    let (cookie, _) = fixture.login().await;
    for path in [TOKEN, "/api/v3/machines/11111111-2222-3333-4444-555555555555/token"] {
        let mut request = Fixture::request("GET", path, "");
        request.headers_mut().insert(header::COOKIE, cookie.parse().unwrap());
        assert_eq!(fixture.call(request).await.status, StatusCode::FORBIDDEN, "{path}");
    }
}

#[tokio::test]
async fn pages_may_not_be_framed_and_run_nothing_inline() {
    let fixture = start().await;
    for path in ["/", "/machines", "/healthz"] {
        let answer = fixture.call(Fixture::request("GET", path, "")).await;
        let policy = answer.header("content-security-policy");
        assert!(policy.contains("default-src 'none'"), "{path}: {policy}");
        assert!(policy.contains("frame-ancestors 'none'"), "{path}: {policy}");
        assert!(!policy.contains("unsafe") && !policy.contains('*') && !policy.contains("http"), "{policy}");
        assert_eq!(answer.header("x-frame-options"), "DENY", "{path}");
        assert_eq!(answer.header("referrer-policy"), "no-referrer", "{path}");
    }
}
