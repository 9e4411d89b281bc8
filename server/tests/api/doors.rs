//! Every door of the routes table, tried from outside. The tests read the table itself, so a
//! new route is tried without anybody thinking of it.

use crate::support::{Fixture, HOST, Machine, options, start};
use axum::http::{StatusCode, header};
use server::{Door, RouteInfo, routes};

/// The table's path with something in place of its parameters.
fn path(route: &RouteInfo) -> String {
    let value = |name: &str| match name {
        "name" => "admin",
        "file" => "none",
        "prefix" => "machines",
        "move" => "addMachines",
        _ => "11111111-2222-3333-4444-555555555555",
    };
    let part = |part: &'static str| match part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) {
        Some(name) => value(name.trim_start_matches('*')),
        None => part,
    };
    route.path.split('/').map(part).collect::<Vec<_>>().join("/")
}

fn behind(doors: &[Door]) -> Vec<RouteInfo> {
    let behind: Vec<RouteInfo> = routes().into_iter().filter(|route| doors.contains(&route.door)).collect();
    assert!(!behind.is_empty());
    behind
}

#[tokio::test]
async fn operators_routes_ask_strangers_to_log_in() {
    let fixture = start().await;
    for route in behind(&[Door::Operator]) {
        let answer = fixture.call(Fixture::request(route.method, &path(&route), "{}")).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{route:?}");
        assert_eq!(answer.json()["Code"], 401, "{route:?}");
        assert_eq!(answer.json()["Type"], "AUTH", "{route:?}");
    }
}

#[tokio::test]
async fn operators_routes_refuse_wrong_credentials_of_every_kind() {
    let fixture = start().await;
    for credential in [
        "Bearer mst_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "Bearer eyJhbGciOiJub25lIn0.e30.",
        "Basic bm9ib2R5OnBhc3N3b3Jk",
        "Basic !!!",
        "Negotiate x",
        "Bearer",
    ] {
        let mut request = Fixture::request("GET", "/api/v3/machines", "");
        request.headers_mut().insert(header::AUTHORIZATION, credential.parse().unwrap());
        let answer = fixture.call(request).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{credential}");
        assert_eq!(answer.json()["Type"], "AUTH", "{credential}");
    }
    for route in behind(&[Door::Operator]) {
        let mut request = Fixture::request(route.method, &path(&route), "{}");
        request.headers_mut().insert(header::COOKIE, "__Host-muster_session=stolen".parse().unwrap());
        assert_eq!(fixture.call(request).await.status, StatusCode::UNAUTHORIZED, "{route:?}");
    }
}

#[tokio::test]
async fn operators_routes_are_closed_to_machines() {
    let fixture = start().await;
    for route in behind(&[Door::Operator]) {
        let mut request = Fixture::request(route.method, &path(&route), "{}");
        request.headers_mut().insert(header::AUTHORIZATION, "DPoP AAAA".parse().unwrap());
        assert_eq!(fixture.call(request).await.status, StatusCode::FORBIDDEN, "{route:?}");
    }
}

#[tokio::test]
async fn changes_in_a_session_need_its_token_and_its_own_page() {
    let fixture = start().await;
    let (cookie, csrf) = fixture.login().await;
    let own = format!("https://{HOST}");
    let attempts = [
        (None, Some(own.as_str())),
        (Some("wrong"), Some(own.as_str())),
        (Some(csrf.as_str()), None),
        (Some(csrf.as_str()), Some("https://evil.test")),
        (Some(csrf.as_str()), Some("http://muster.test:8092")),
        (Some(csrf.as_str()), Some("null")),
    ];
    for route in behind(&[Door::Operator]).iter().filter(|route| route.method != "GET") {
        for (token, origin) in attempts {
            let mut request = Fixture::request(route.method, &path(route), "{}");
            let headers = request.headers_mut();
            headers.insert(header::COOKIE, cookie.parse().unwrap());
            token.and_then(|token| headers.insert("x-csrf-token", token.parse().unwrap()));
            origin.and_then(|origin| headers.insert(header::ORIGIN, origin.parse().unwrap()));
            let answer = fixture.call(request).await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{route:?} {token:?} {origin:?}");
        }
    }
    let mut request = Fixture::request("DELETE", "/api/v3/session", "");
    let headers = request.headers_mut();
    headers.insert(header::COOKIE, cookie.parse().unwrap());
    headers.insert("x-csrf-token", csrf.parse().unwrap());
    headers.insert(header::ORIGIN, own.parse().unwrap());
    assert_eq!(fixture.call(request).await.status, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn machines_routes_need_a_proof_and_give_a_nonce_for_it() {
    let fixture = start().await;
    for route in behind(&[Door::Machine, Door::Agent]) {
        let answer = fixture.call(Fixture::request(route.method, &path(&route), "{}")).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{route:?}");
        assert_eq!(answer.json()["error"], "use_nonce", "{route:?}");
        assert_eq!(answer.json()["nonce"], answer.header("dpop-nonce"), "{route:?}");
        assert!(!answer.header("dpop-nonce").is_empty(), "{route:?}");
        // Being an operator proves nothing about a machine.
        let as_admin = fixture.call(fixture.admin(route.method, &path(&route), "{}")).await;
        assert_eq!(as_admin.status, StatusCode::UNAUTHORIZED, "{route:?}");
    }
}

#[tokio::test]
async fn agents_routes_need_an_access_token_beside_the_proof() {
    let fixture = start().await;
    let mut machine = Machine::new(&fixture, 1).await;
    for route in behind(&[Door::Agent]) {
        let answer = fixture.call(machine.request(route.path, "{}", None)).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{route:?}");
        assert_eq!(answer.json()["error"], "invalid_access_token", "{route:?}");
        let answer = fixture.call(machine.request(route.path, "{}", Some("made-up"))).await;
        assert_eq!(answer.json()["error"], "invalid_access_token", "{route:?}");
    }
}

#[tokio::test]
async fn public_routes_answer_everybody_and_none_shows_a_secret() {
    let fixture = start().await;
    let keys = fixture.directory.path().join("data/keys");
    let id = std::fs::read_to_string(keys.join("server-id")).unwrap();
    for route in behind(&[Door::Public]).iter().filter(|route| route.method == "GET") {
        let answer = fixture.call(Fixture::request("GET", &path(route), "")).await;
        assert_ne!(answer.status, StatusCode::UNAUTHORIZED, "{route:?}");
        let text = String::from_utf8_lossy(&answer.body);
        // The script takes away what it brought, by the server's id, which is in the certificate anyway.
        let names_server = route.path == "/install.sh";
        assert!(!text.contains(&fixture.password), "{route:?}");
        assert!(names_server || !text.contains(&id), "{route:?}");
    }
}

#[tokio::test]
async fn what_is_no_route_is_told_in_json_with_every_header() {
    let fixture = start().await;
    let long = format!("/healthz?{}", "a".repeat(4_096));
    let cases = [
        ("GET", "/api/v3/nothing", 404),
        ("POST", "/", 405),
        ("PUT", "/api/v3/machines", 405),
        ("GET", "/api/v3/leases", 404),
        ("GET", "/api/v3/machines/x/y/z", 404),
        ("GET", "/media/", 404),
        ("GET", "/assets/missing.js", 404),
        ("POST", "/somewhere", 404),
        ("GET", long.as_str(), 414),
    ];
    for (method, path, code) in cases {
        let answer = fixture.call(Fixture::request(method, path, "")).await;
        assert_eq!(answer.json()["Code"], code, "{method} {path}");
        assert_eq!(answer.status.as_u16(), code, "{method} {path}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert!(answer.header("content-security-policy").contains("frame-ancestors 'none'"));
        assert!(!answer.header("x-request-id").is_empty());
    }
}

#[tokio::test]
async fn header_fields_are_counted_whatever_brought_them() {
    let fixture = start().await;
    for (count, status) in [(63, StatusCode::OK), (64, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE)] {
        let mut request = Fixture::request("GET", "/healthz", "");
        for _ in 0..count {
            request.headers_mut().append("x-many", "a".parse().unwrap());
        }
        assert_eq!(fixture.call(request).await.status, status, "{count} beside the host");
    }
}

#[tokio::test]
async fn server_that_lost_its_keys_does_not_make_others() {
    let Fixture { router, server, directory, .. } = start().await;
    drop(router);
    server.run(std::future::ready(())).await;
    std::fs::remove_dir_all(directory.path().join("data/keys")).unwrap();
    let error = server::start(options(directory.path())).await.unwrap_err();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.starts_with("master.key is missing"), "{cause}");
    assert!(!directory.path().join("data/keys").exists());
}

#[tokio::test]
async fn head_is_get_without_a_body() {
    let fixture = start().await;
    let head = fixture.call(Fixture::request("HEAD", "/healthz", "")).await;
    assert_eq!((head.status, head.body.len(), head.header("content-length")), (StatusCode::OK, 0, "3"));
}

#[test]
fn every_api_route_is_in_the_document() {
    let document: serde_json::Value = serde_json::from_str(&server::openapi_json()).unwrap();
    for route in routes().iter().filter(|route| route.path.starts_with("/api/")) {
        let path = route.path.replace("{*", "{");
        let operation = &document["paths"][&path][route.method.to_ascii_lowercase()];
        assert!(operation["summary"].is_string(), "{route:?}");
        assert_eq!(operation["security"].is_array(), route.door != Door::Public, "{route:?}");
    }
    let text = document.to_string();
    for reference in text.split("#/components/schemas/").skip(1) {
        let name = reference.split('"').next().unwrap();
        assert!(document["components"]["schemas"][name].is_object(), "{name} is referred to and missing");
    }
}

#[test]
fn committed_document_is_this_builds() {
    // At run time: clones that share a target directory share this program.
    let path = std::env::var("CARGO_MANIFEST_DIR").unwrap() + "/../docs/openapi.json";
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    let same = committed.trim_end() == server::openapi_json().trim_end();
    assert!(same, "docs/openapi.json is out of date: run `make docs`");
}
