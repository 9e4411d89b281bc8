//! Users of older servers, and what is left of a log-in.

use super::super::auth::Proof;
use super::super::{ApiTokenWish, LoggedIn, LoginOrigin};
use super::*;
use protocol::rest::LoginRequest;
use serde_json::Value;

const HERE: LoginOrigin<'_> =
    LoginOrigin { source: IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), request_id: "r" };

#[tokio::test]
async fn user_of_an_older_server_becomes_an_object_and_the_first_may_do_everything() {
    let directory = tempfile::tempdir().unwrap();
    let clock = Clock::manual(START);
    let app = TestApp::open(&directory, &clock).await;
    for name in ["admin", "eve"] {
        let record = Record {
            kind: "user".into(),
            key: name.into(),
            body: r#"{"password":""}"#.into(),
            revision: Revision(0),
        };
        app.store.commit(&Changes::new(START).and(Change::PutRecord(record))).await.unwrap();
    }
    assert!(app.user_actor("admin", None, HERE).is_none());
    assert_eq!(app.ensure_admin(directory.path()).await.unwrap(), None, "nobody gets another password");
    let admin = app.user_actor("admin", None, HERE).unwrap();
    assert!(admin.may("roles", "delete", "anything").is_ok());
    let eve = app.user_actor("eve", None, HERE).unwrap();
    assert!(eve.may("info", "get", "").is_err());
    // A second start changes nothing.
    let before = app.content().revision;
    app.ensure_admin(directory.path()).await.unwrap();
    assert_eq!(app.content().revision, before);
}

#[tokio::test]
async fn first_user_who_was_deleted_does_not_come_back() {
    let app = TestApp::start().await;
    app.ensure_user("boss").await;
    app.delete(&user("boss", Claims::all()), Kind::Users, "admin", &[]).await.unwrap();
    let app = app.killed_and_started_without_admin().await;
    assert_eq!(app.ensure_admin(app.directory.path()).await.unwrap(), None);
    assert!(!app.content().users.has("admin") && app.content().users.has("boss"));
}

#[tokio::test]
async fn machine_token_ends_with_its_time() {
    let app = TestApp::start().await;
    let registered = app.registered(&Bare::number(1)).await;
    let stored = app.store.machine(registered.uuid).await.unwrap().unwrap();
    let token = app.machine_token(&stored, 60 * SECOND).unwrap();
    app.pass(59);
    let login = app.by_token(&token, HERE).await.unwrap();
    assert_eq!(login.actor.principal(), format!("machine:{}", registered.uuid));
    assert!(app.still(&login, HERE).await.unwrap().is_some());
    app.pass(1);
    assert!(app.still(&login, HERE).await.unwrap().is_none());
    assert_eq!(refusal(app.by_token(&token, HERE).await), AppErrorKind::Unauthenticated);
}

#[tokio::test]
async fn machine_token_that_makes_the_next_one_lasts_no_longer_than_usual() {
    let app = TestApp::start().await;
    let registered = app.registered(&Bare::number(1)).await;
    let stored = app.store.machine(registered.uuid).await.unwrap().unwrap();
    let token = app.machine_token(&stored, 60 * SECOND).unwrap();
    let login = app.by_token(&token, HERE).await.unwrap();
    let key = registered.uuid.to_string();
    let next = app.create_machine_token(&login.actor, &key, Some("never")).await.unwrap();
    app.pass(3_599);
    assert!(app.by_token(&next.token, HERE).await.is_ok());
    app.pass(1);
    assert!(app.by_token(&next.token, HERE).await.is_err());
    let of_admin = app.create_machine_token(&admin(), &key, Some("never")).await.unwrap();
    app.pass(2 * 365 * 86_400);
    assert!(app.by_token(&of_admin.token, HERE).await.is_ok());
}

#[tokio::test]
async fn session_ends_when_nothing_is_asked_in_it_and_with_its_day() {
    let app = TestApp::start().await;
    let secret = logged_in(&app).await;
    for _ in 0..6 {
        app.pass(2 * 3_600 - 61);
        assert!(app.by_session(&secret, HERE).await.is_ok());
    }
    // Used all the time, and over all the same.
    app.pass(600);
    assert_eq!(refusal(app.by_session(&secret, HERE).await), AppErrorKind::Unauthenticated);
    let secret = logged_in(&app).await;
    app.pass(2 * 3_600);
    assert_eq!(refusal(app.by_session(&secret, HERE).await), AppErrorKind::Unauthenticated);
}

#[tokio::test]
async fn watchers_learn_that_a_log_in_began_was_used_and_ended() {
    let app = TestApp::start().await;
    let mut watcher = app.hub.subscribe();
    let secret = logged_in(&app).await;
    app.pass(61);
    app.by_session(&secret, HERE).await.unwrap();
    app.logout(&secret).await.unwrap();
    app.logout(&secret).await.unwrap();
    let seen = told(&mut watcher).await.into_iter().filter(|event| event.kind == "logins");
    let seen: Vec<_> = seen.map(|event| (event.action, event.key, event.object)).collect();
    let event = |action: &str| (action.to_owned(), "admin".to_owned(), Value::Null);
    assert_eq!(seen, ["create", "save", "delete"].map(event));
}

#[tokio::test]
async fn password_counts_as_entered_for_five_minutes() {
    let app = TestApp::start().await;
    let five = 300 * SECOND;
    let secret = logged_in(&app).await;
    let login = app.by_session(&secret, HERE).await.unwrap();
    assert!(app.confirmed_within(&login, five).is_ok());
    app.pass(300);
    let login = app.by_session(&secret, HERE).await.unwrap();
    assert_eq!(refusal(app.confirmed_within(&login, five)), AppErrorKind::StepUp);
    assert_eq!(refusal(app.confirm(&login, "guess", HERE).await), AppErrorKind::Forbidden);
    app.confirm(&login, PASSWORD, HERE).await.unwrap();
    let login = app.by_session(&secret, HERE).await.unwrap();
    assert!(app.confirmed_within(&login, five).is_ok());
    // Neither the tokens of a session nor others.
    let wish = ApiTokenWish { user: "admin", ..ApiTokenWish::default() };
    let token = app.create_api_token(&login, wish).await.unwrap().token;
    let by_token = app.by_token(&token, HERE).await.unwrap();
    assert_eq!(refusal(app.confirmed_within(&by_token, five)), AppErrorKind::StepUp);
    assert_eq!(refusal(app.confirm(&by_token, PASSWORD, HERE).await), AppErrorKind::Forbidden);
    let by_password = app.by_password("admin", PASSWORD, HERE).await.unwrap();
    assert!(app.confirmed_within(&by_password, five).is_ok());
}

const PASSWORD: &str = "correct horse battery";

/// The secret of a session of `admin`, who has a password from then on.
async fn logged_in(app: &TestApp) -> String {
    let admin = app.user_actor("admin", None, HERE).unwrap();
    let caller = LoggedIn {
        actor: admin,
        expires_at: None,
        confirmed_at: None,
        key: None,
        proof: Proof::User { stamp: app.stamp("admin").unwrap(), session: None, roles: None },
    };
    app.set_password(&caller, "admin", PASSWORD.to_owned()).await.unwrap();
    let request = LoginRequest { username: "admin".into(), password: PASSWORD.into() };
    app.login(request, HERE).await.unwrap().secret
}
