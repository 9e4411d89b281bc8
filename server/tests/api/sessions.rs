//! Logging in: sessions, API tokens, HTTP Basic, and what is kept of them.

use crate::support::{Fixture, HOST, options, start};
use axum::http::{StatusCode, header};
use serde_json::json;

fn with_bearer(path: &str, token: &str) -> axum::http::Request<axum::body::Body> {
    let mut request = Fixture::request("GET", path, "");
    request.headers_mut().insert(header::AUTHORIZATION, format!("Bearer {token}").parse().unwrap());
    request
}

fn with_cookie(path: &str, cookie: &str) -> axum::http::Request<axum::body::Body> {
    let mut request = Fixture::request("GET", path, "");
    request.headers_mut().insert(header::COOKIE, cookie.parse().unwrap());
    request
}

#[tokio::test]
async fn cookie_is_for_this_server_and_no_script() {
    let fixture = start().await;
    let body = json!({"Username": "admin", "Password": fixture.password}).to_string();
    let answer = fixture.call(Fixture::request("POST", "/api/v3/session", &body)).await;
    let cookie = answer.header(header::SET_COOKIE);
    assert!(cookie.starts_with("__Host-muster_session="), "{cookie}");
    for attribute in ["Secure", "HttpOnly", "SameSite=Strict", "Path=/"] {
        assert!(cookie.contains(attribute), "{cookie}");
    }
}

#[tokio::test]
async fn session_says_who_it_is_until_it_is_ended() {
    let fixture = start().await;
    let (cookie, csrf) = fixture.login().await;
    let shown = fixture.call(with_cookie("/api/v3/session", &format!("a=b; {cookie}; c=d"))).await;
    assert_eq!(shown.json()["Username"], "admin");
    assert_eq!(shown.json()["CsrfToken"], csrf);
    let mut logout = Fixture::request("DELETE", "/api/v3/session", "{}");
    let headers = logout.headers_mut();
    headers.insert(header::COOKIE, cookie.parse().unwrap());
    headers.insert("x-csrf-token", csrf.parse().unwrap());
    headers.insert(header::ORIGIN, format!("https://{}", HOST).parse().unwrap());
    assert_eq!(fixture.call(logout).await.status, StatusCode::NO_CONTENT);
    assert_eq!(fixture.call(with_cookie("/api/v3/session", &cookie)).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn api_token_works_and_makes_none_that_outlives_it() {
    let fixture = start().await;
    let made = fixture.call(fixture.admin("GET", "/api/v3/users/admin/token?ttl=600", "")).await;
    let token = made.json()["Token"].as_str().unwrap().to_owned();
    assert!(token.starts_with("mst_"), "{token}");
    assert_eq!(fixture.call(with_bearer("/api/v3/machines", &token)).await.status, StatusCode::OK);
    let next = fixture.call(with_bearer("/api/v3/users/admin/token?ttl=31536000", &token)).await;
    assert_eq!(next.json()["ExpiresAt"], made.json()["ExpiresAt"]);
}

#[tokio::test]
async fn api_tokens_of_a_session_end_with_it() {
    let fixture = start().await;
    let (cookie, csrf) = fixture.login().await;
    let path = "/api/v3/users/admin/token";
    let token = |made: &crate::support::Answer| made.json()["Token"].as_str().unwrap().to_owned();
    let mut request = with_cookie(path, &cookie);
    request.headers_mut().insert("x-csrf-token", csrf.parse().unwrap());
    let first = token(&fixture.call(request).await);
    let second = token(&fixture.call(with_bearer(path, &first)).await);
    let own = token(&fixture.call(fixture.admin("GET", path, "")).await);
    for token in [&first, &second] {
        assert_eq!(fixture.call(with_bearer("/api/v3/machines", token)).await.status, StatusCode::OK);
    }
    let mut logout = Fixture::request("DELETE", "/api/v3/session", "");
    let headers = logout.headers_mut();
    headers.insert(header::COOKIE, cookie.parse().unwrap());
    headers.insert("x-csrf-token", csrf.parse().unwrap());
    headers.insert(header::ORIGIN, format!("https://{HOST}").parse().unwrap());
    assert_eq!(fixture.call(logout).await.status, StatusCode::NO_CONTENT);
    for token in [&first, &second] {
        let answer = fixture.call(with_bearer("/api/v3/machines", token)).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN);
    }
    assert_eq!(fixture.call(with_bearer("/api/v3/machines", &own)).await.status, StatusCode::OK);
}

#[tokio::test]
async fn another_sites_page_makes_no_api_token() {
    let fixture = start().await;
    let (cookie, _) = fixture.login().await;
    let mut request = with_cookie("/api/v3/users/admin/token", &cookie);
    request.headers_mut().insert(header::ORIGIN, "https://evil.test".parse().unwrap());
    assert_eq!(fixture.call(request).await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn two_authorizations_are_none() {
    let fixture = start().await;
    let mut request = fixture.admin("GET", "/api/v3/machines", "");
    let first = request.headers()[header::AUTHORIZATION].clone();
    request.headers_mut().append(header::AUTHORIZATION, first);
    assert_eq!(fixture.call(request).await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn api_tokens_are_for_users_and_bounded() {
    let fixture = start().await;
    for (path, status) in [
        ("/api/v3/users/somebody/token", StatusCode::NOT_FOUND),
        ("/api/v3/users/admin/token?ttl=0", StatusCode::UNPROCESSABLE_ENTITY),
        ("/api/v3/users/admin/token?ttl=31536001", StatusCode::UNPROCESSABLE_ENTITY),
        ("/api/v3/users/admin/token?ttl=soon", StatusCode::BAD_REQUEST),
        ("/api/v3/users/admin/token", StatusCode::OK),
    ] {
        assert_eq!(fixture.call(fixture.admin("GET", path, "")).await.status, status, "{path}");
    }
}

#[tokio::test]
async fn ten_wrong_passwords_close_the_account_for_their_source_only() {
    let fixture = start().await;
    let wrong = json!({"Username": "admin", "Password": "guess"}).to_string();
    for _ in 0..10 {
        let answer = fixture.call(Fixture::request("POST", "/api/v3/session", &wrong)).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    }
    let answer = fixture.call(Fixture::request("POST", "/api/v3/session", &wrong)).await;
    assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS);
    assert!(answer.header(header::RETRY_AFTER).parse::<u64>().unwrap() > 0);
    // Another account from the same source is another bucket.
    let other = json!({"Username": "nobody", "Password": "guess"}).to_string();
    let answer = fixture.call(Fixture::request("POST", "/api/v3/session", &other)).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn source_that_tries_many_names_is_held_back_too() {
    let fixture = start().await;
    let mut refused = 0;
    for number in 0..52 {
        let body = json!({"Username": format!("user{number}"), "Password": "guess"}).to_string();
        let answer = fixture.call(Fixture::request("POST", "/api/v3/session", &body)).await;
        refused += u32::from(answer.status == StatusCode::TOO_MANY_REQUESTS);
    }
    assert!((1..=2).contains(&refused), "{refused}");
}

#[tokio::test]
async fn unknown_name_and_wrong_password_are_answered_alike() {
    let fixture = start().await;
    let mut answers = Vec::new();
    for (name, password) in
        [("admin", "guess"), ("nobody", "guess"), ("", ""), ("nobody", fixture.password.as_str())]
    {
        let body = json!({"Username": name, "Password": password}).to_string();
        let answer = fixture.call(Fixture::request("POST", "/api/v3/session", &body)).await;
        answers.push((answer.status, answer.json()));
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:?}");
}

#[tokio::test]
async fn who_shows_nothing_is_asked_and_who_shows_something_wrong_is_refused() {
    let fixture = start().await;
    let path = "/api/v3/machines";
    let nothing = fixture.call(Fixture::request("GET", path, "")).await;
    let ended = fixture.call(with_cookie(path, "__Host-muster_session=ended")).await;
    for answer in [&nothing, &ended] {
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    }
    let mut wrong = Fixture::request("GET", path, "");
    wrong.headers_mut().insert(header::AUTHORIZATION, "Basic YWRtaW46d3Jvbmc=".parse().unwrap());
    for request in [wrong, with_bearer(path, "mst_ended")] {
        let refused = fixture.call(request).await;
        let body = refused.json();
        assert_eq!(refused.status, StatusCode::FORBIDDEN);
        assert_eq!((&body["Type"], &body["Model"]), (&json!("AUTH"), &json!("users")));
    }
}

#[tokio::test]
async fn another_sites_page_cannot_log_in_or_change_anything() {
    let fixture = start().await;
    let body = json!({"Username": "admin", "Password": fixture.password}).to_string();
    let mut request = Fixture::request("POST", "/api/v3/session", &body);
    request.headers_mut().insert(header::ORIGIN, "https://evil.test".parse().unwrap());
    assert_eq!(fixture.call(request).await.status, StatusCode::FORBIDDEN);
    // Nor use a name and password that a browser remembers.
    let mut request = fixture.admin("POST", "/api/v3/bootstrap/tokens", r#"{"Lifetime":600}"#);
    request.headers_mut().insert(header::ORIGIN, "https://evil.test".parse().unwrap());
    assert_eq!(fixture.call(request).await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn log_in_survives_a_restart_and_the_database_holds_no_secret() {
    let directory = tempfile::tempdir().unwrap();
    let server = server::start(options(directory.path())).await.unwrap();
    let password = std::fs::read_to_string(directory.path().join("data/admin-password")).unwrap();
    let password = password.trim().to_owned();
    let fixture = Fixture { router: server.router(), server, directory, password };
    let (cookie, _) = fixture.login().await;
    let made = fixture.call(fixture.admin("GET", "/api/v3/users/admin/token", "")).await;
    let token = made.json()["Token"].as_str().unwrap().to_owned();
    let Fixture { router, server, directory, password } = fixture;
    drop(router);
    server.run(std::future::ready(())).await;
    let mut audited = false;
    for entry in std::fs::read_dir(directory.path().join("data")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| !extension.to_string_lossy().starts_with("db")) {
            continue;
        }
        let bytes = std::fs::read(&path).unwrap();
        audited |= bytes.windows(15).any(|window| window == b"apitoken.issued");
        let secret = cookie.split_once('=').unwrap().1;
        for secret in [password.as_str(), token.trim_start_matches("mst_"), secret] {
            let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "{}", path.display());
        }
    }
    assert!(audited, "making an API token leaves a row in the audit log");
    let server = server::start(options(directory.path())).await.unwrap();
    assert_eq!(server.first_password_file(), None);
    let fixture = Fixture { router: server.router(), server, directory, password };
    assert_eq!(fixture.call(with_cookie("/api/v3/session", &cookie)).await.status, StatusCode::OK);
    assert_eq!(fixture.call(with_bearer("/api/v3/machines", &token)).await.status, StatusCode::OK);
}

#[tokio::test]
async fn bodies_of_a_log_in_are_bounded() {
    let fixture = start().await;
    let long = json!({"Username": "admin", "Password": "x".repeat(5_000)}).to_string();
    for (body, status) in [
        (long.as_str(), StatusCode::PAYLOAD_TOO_LARGE),
        ("{", StatusCode::BAD_REQUEST),
        ("{\"Username\":\"a\",\"Username\":\"b\",\"Password\":\"c\"}", StatusCode::BAD_REQUEST),
    ] {
        let answer = fixture.call(Fixture::request("POST", "/api/v3/session", body)).await;
        assert_eq!(answer.status, status, "{body:.40}");
    }
}
