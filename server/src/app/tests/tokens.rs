//! How bootstrap tokens end before their time, the keys that seal them, and machines that come back.

use super::*;
use protocol::rest::{Token, TokenCreate, TokenRevoke, TokenState};

const DAY: u64 = 86_400;
const YEAR: u64 = 365 * DAY;

fn of(lifetime: u64) -> TokenCreate {
    TokenCreate { lifetime, ..TokenCreate::default() }
}

impl TestApp {
    async fn listed(&self, jti: &str) -> Token {
        let tokens = self.tokens(&admin(), None, None).await.unwrap();
        tokens.into_iter().find(|token| token.id == jti).unwrap()
    }

    async fn is_revoked(&self, machine: u8, token: &str) -> bool {
        match self.try_register(&Bare::number(machine), token).await {
            Ok(_) => false,
            Err(error) => {
                assert_eq!(error.kind, refused_as(RefusalKind::TokenRevoked), "{error}");
                true
            }
        }
    }

    /// The reasons of the audit rows of a kind.
    async fn told(&self, kind: AuditKind) -> Vec<String> {
        let rows = self.store.audit(0, 10_000).await.unwrap();
        rows.into_iter().filter(|entry| entry.row.kind == kind).map(|entry| entry.row.reason).collect()
    }

    /// A machine that registers, collects and sends a heartbeat. Answers its id.
    async fn on_duty(&self, machine: &Bare, token: &str) -> protocol::ids::MachineId {
        let id = self.try_register(machine, token).await.unwrap().machine.uuid;
        self.access_token(&machine.caller()).await.unwrap();
        id
    }
}

#[tokio::test]
async fn watchers_learn_of_tokens_and_of_rows_of_the_audit_log() {
    let app = TestApp::start().await;
    let mut watcher = app.hub.subscribe();
    let token = app.create_token(&admin(), of(600)).await.unwrap();
    let machine = app.on_duty(&Bare::number(1), &token.token).await;
    app.revoke_tokens(&admin(), TokenRevoke::User("admin".into())).await.unwrap();
    let seen = told(&mut watcher).await;
    let of_tokens = seen.iter().filter(|event| event.kind == "bootstrap_tokens");
    let of_tokens: Vec<_> = of_tokens.map(|event| (&*event.action, &*event.key)).collect();
    assert_eq!(of_tokens, [("create", &*token.id), ("update", &*token.id), ("update", "")]);
    let rows = seen.iter().filter(|event| event.kind == "audit");
    let rows: Vec<_> = rows.map(|event| (event.object["Kind"].as_str().unwrap(), &*event.key)).collect();
    assert_eq!(rows, [("token.issued", ""), ("token.used", &*machine.to_string()), ("token.revoked", "")]);
}

#[tokio::test]
async fn every_way_to_revoke_holds_from_the_next_request_on_and_after_a_restart() {
    let ways = [
        TokenRevoke::User("admin".into()),
        TokenRevoke::Before("now".into()),
        TokenRevoke::Before(START.to_string()),
    ];
    for way in ways {
        let app = TestApp::start().await;
        app.pass(1);
        let (old, jti) = {
            let token = app.create_token(&admin(), of(YEAR)).await.unwrap();
            (token.token, token.id)
        };
        let spared = way == TokenRevoke::Before(START.to_string());
        app.pass(1);
        let revoked = app.revoke_tokens(&admin(), way).await.unwrap();
        assert_eq!(revoked.ended, u64::from(!spared), "{revoked:?}");
        assert_eq!(app.is_revoked(1, &old).await, !spared);
        // What is made afterwards lives, in the same second too.
        let new = app.token().await.token;
        assert!(!app.is_revoked(2, &new).await);
        let TestApp { app, directory, .. } = app;
        drop(app);
        // Ten years back: the store's floor holds.
        let app =
            TestApp::start_in(directory, Clock::manual(START.minus(Duration::from_secs(3_650 * DAY)))).await;
        assert_eq!(app.is_revoked(3, &old).await, !spared);
        assert!(!app.is_revoked(4, &new).await);
        let state = if spared { TokenState::Live } else { TokenState::Revoked };
        assert_eq!(app.listed(&jti).await.state, state);
        assert_eq!(app.count(AuditKind::TokenRevoked).await, 1);
    }
}

#[tokio::test]
async fn epochs_in_one_second_each_cover_what_was_issued_before() {
    let app = TestApp::start().await;
    for number in 0..5 {
        let token = app.create_token(&admin(), of(YEAR)).await.unwrap();
        assert!(!app.is_revoked(2 * number, &token.token).await, "{number}: born dead");
        app.clock.advance(Duration::from_millis(20));
        let revoked = app.revoke_tokens(&admin(), TokenRevoke::Before("now".into())).await.unwrap();
        assert_eq!(revoked.ended, 1);
        assert!(app.is_revoked(2 * number + 1, &token.token).await, "{number}: survived");
    }
}

#[tokio::test]
async fn another_server_on_the_same_database_knows_of_every_revocation_at_once() {
    let app = TestApp::start().await;
    let other = TestApp::open(&app.directory, &app.clock).await;
    for number in 0..4_u8 {
        let token = app.create_token(&admin(), of(YEAR)).await.unwrap();
        let machine = Bare::number(number);
        let ask = async |key: u8| {
            let machine = Bare { key: KeyThumbprint([key; 32]), ..machine.clone() };
            other.register(&machine.caller(), machine.registration(&token.token)).await
        };
        ask(number).await.unwrap();
        match number {
            0 => app.revoke_token(&admin(), &token.id).await,
            1 => app.revoke_tokens(&admin(), TokenRevoke::User("admin".into())).await,
            2 => app.revoke_tokens(&admin(), TokenRevoke::Before("now".into())).await,
            _ => app.revoke_tokens(&admin(), TokenRevoke::Kid("k1".into())).await,
        }
        .unwrap();
        assert_eq!(refusal(ask(number + 100).await), refused_as(RefusalKind::TokenRevoked), "{number}");
    }
}

#[tokio::test]
async fn one_token_is_revoked_and_its_neighbour_lives() {
    let app = TestApp::start().await;
    let (one, other) = (app.token().await, app.token().await);
    let revoked = app.revoke_token(&admin(), &one.id).await.unwrap();
    assert_eq!((revoked.revoked, revoked.ended), (format!("token {}", one.id), 1));
    assert_eq!(revoked.kept_until, one.expires_at);
    assert!(app.is_revoked(1, &one.token).await && !app.is_revoked(2, &other.token).await);
    assert_eq!(app.told(AuditKind::TokenRevoked).await, [format!("token {}", one.id)]);
    let why = format!("token {}: bootstrap token was revoked: it was revoked by itself", one.id);
    assert_eq!(app.told(AuditKind::TokenRefused).await, [why]);
    // Again is fine, and so is one whose row was lost.
    app.revoke_token(&admin(), &one.id).await.unwrap();
    assert_eq!(app.revoke_token(&admin(), "AAAAAAAAAAAAAAAA").await.unwrap().ended, 0);
    for wrong in ["", "AAAA", "AAAAAAAAAAAAAAA!", &one.token] {
        let refused = app.revoke_token(&admin(), wrong).await.unwrap_err();
        assert_eq!(refused.kind, AppErrorKind::Invalid);
        assert!(!refused.to_string().contains("eyJ"), "{refused}");
    }
}

#[tokio::test]
async fn revoked_token_of_a_registered_machine_leaves_the_machine_alone() {
    let app = TestApp::start().await;
    let token = app.token().await;
    let machine = Bare::number(1);
    let id = app.on_duty(&machine, &token.token).await;
    app.revoke_token(&admin(), &token.id).await.unwrap();
    let shown = app.machine(&admin(), &id.to_string()).await.unwrap();
    app.heartbeat(&machine.actor(&shown), heartbeat(AgentState::Discovery), NO_WAIT).await.unwrap();
}

#[tokio::test]
async fn token_dies_with_its_issuer_and_with_a_change_of_password() {
    let app = TestApp::start().await;
    app.ensure_user("eve").await;
    let eve = user("eve", Claims::all());
    let token = app.create_token(&eve, of(YEAR)).await.unwrap();
    assert!(!app.is_revoked(1, &token.token).await);
    let stored = app.store.record("user", "eve").await.unwrap().unwrap();
    app.pass(1);
    let changed = format!(r#"{{"password":"","tokens_from":{}}}"#, app.now().as_millis());
    app.put_user("eve", &changed, stored.revision).await;
    assert!(app.is_revoked(2, &token.token).await);
    let fresh = app.create_token(&eve, of(YEAR)).await.unwrap();
    assert!(!app.is_revoked(3, &fresh.token).await);
    app.delete(&admin(), Kind::Users, "eve", &[]).await.unwrap();
    assert!(app.store.record("user", "eve").await.unwrap().is_none(), "the password goes with its user");
    assert!(app.is_revoked(4, &fresh.token).await);
    assert_eq!(app.listed(&fresh.id).await.state, TokenState::Revoked);
    let why = app.told(AuditKind::TokenRefused).await;
    assert!(
        why[0].ends_with("its issuer's password was changed") && why[1].ends_with("its issuer is gone"),
        "{why:?}"
    );
    // Whoever gets the name later did not issue it.
    app.pass(1);
    let namesake = json!({"Name": "eve", "Roles": ["superuser"]});
    app.create(&admin(), Kind::Users, &[], namesake).await.unwrap();
    assert!(app.is_revoked(5, &fresh.token).await);
    let changed = format!(r#"{{"password":"","tokens_from":{}}}"#, app.now().as_millis());
    app.put_user("eve", &changed, Revision(0)).await;
    assert!(app.is_revoked(6, &fresh.token).await);
}

#[tokio::test]
async fn revocation_that_makes_no_sense_is_told_with_the_remedy() {
    let app = TestApp::start().await;
    let told = async |request| {
        let error = app.revoke_tokens(&admin(), request).await.unwrap_err();
        (error.kind, error.message)
    };
    let later = START.plus(SECOND);
    for (before, message) in [
        (
            "noon",
            "Before: \"noon\" is no time; write RFC 3339 such as 2026-11-22T01:21:41Z, or now".to_owned(),
        ),
        (
            later.to_string().as_str(),
            format!("Before lies ahead: the server's clock says {START}; write now"),
        ),
    ] {
        assert_eq!(told(TokenRevoke::Before(before.into())).await, (AppErrorKind::Invalid, message));
    }
    assert_eq!(told(TokenRevoke::Kid("k9".into())).await.0, AppErrorKind::NotFound);
    assert_eq!(told(TokenRevoke::User("a\u{7}".into())).await.0, AppErrorKind::Invalid);
    let narrow = user("eve", only(&[super::super::Action::InfoRead]));
    let everything = [
        refusal(app.revoke_token(&narrow, "AAAAAAAAAAAAAAAA").await),
        refusal(app.revoke_tokens(&narrow, TokenRevoke::Before("now".into())).await),
        refusal(app.tokens(&narrow, None, None).await),
        refusal(app.token_keys(&narrow).await),
        refusal(app.roll_token_key(&narrow).await),
    ];
    assert_eq!(everything, [AppErrorKind::Forbidden; 5]);
}

#[tokio::test]
async fn list_tells_what_became_of_each_token_and_no_token() {
    let app = TestApp::start().await;
    let short = app.token().await;
    app.pass(300);
    let twice =
        TokenCreate { max_uses: Some(1), serial: vec!["SN1".into()], roles: vec!["web".into()], ..of(DAY) };
    let used_up = app.create_token(&admin(), twice).await.unwrap();
    let live = app.create_token(&admin(), of(DAY)).await.unwrap();
    app.try_register(&Bare::number(1), &used_up.token).await.unwrap();
    app.pass(300);
    let shown = app.tokens(&admin(), None, None).await.unwrap();
    let states: Vec<_> = [&short, &used_up, &live]
        .map(|token| {
            let found = shown.iter().find(|one| one.id == token.id).unwrap();
            assert!(!serde_json::to_string(found).unwrap().contains(&token.token));
            (found.state, found.uses)
        })
        .to_vec();
    assert_eq!(states, [(TokenState::Expired, 0), (TokenState::UsedUp, 1), (TokenState::Live, 0)]);
    let one = app.listed(&used_up.id).await;
    assert_eq!((one.by.as_str(), one.kid.as_str(), one.roles), ("user:admin", "k1", vec!["web".to_owned()]));
    assert_eq!((one.constraints.max_uses, one.constraints.serial), (Some(1), vec!["SN1".to_owned()]));
    assert_eq!(one.last_used_at, Some(START.plus(300 * SECOND).to_string()));
    assert!(shown[0].issued_at >= shown[2].issued_at, "newest first");
}

#[tokio::test]
async fn long_list_is_told_in_pages_and_counted_whole() {
    let app = TestApp::start().await;
    let mut made = Vec::new();
    for second in [0, 0, 1, 0, 1] {
        app.pass(second);
        made.push(app.create_token(&admin(), of(DAY)).await.unwrap().id);
    }
    let whole: Vec<_> = app.tokens(&admin(), None, None).await.unwrap();
    let (mut paged, mut after) = (Vec::new(), None);
    loop {
        let page = app.tokens(&admin(), after.as_deref(), Some(2)).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.id.clone());
        assert!(page.len() <= 2);
        paged.extend(page);
    }
    assert_eq!(paged, whole);
    made.sort();
    let mut ids: Vec<_> = paged.into_iter().map(|token| token.id).collect();
    ids.sort();
    assert_eq!(ids, made);
    for (after, limit) in [(None, Some(0)), (None, Some(501)), (Some("gone"), None)] {
        assert_eq!(refusal(app.tokens(&admin(), after, limit).await), AppErrorKind::Invalid);
    }
    let issued = app.store.tokens(None, 1).await.unwrap().remove(0);
    for number in 0..600 {
        let marks = engine::revocation::TokenMarks { jti: format!("j{number}"), ..issued.marks.clone() };
        let issued = engine::change::IssuedToken { marks, ..issued.clone() };
        app.store.commit(&Changes::new(app.now()).and(Change::IssueToken(issued))).await.unwrap();
    }
    assert_eq!(app.tokens(&admin(), None, None).await.unwrap().len(), 500);
    assert_eq!(app.revoke_tokens(&admin(), TokenRevoke::Before("now".into())).await.unwrap().ended, 605);
}

#[tokio::test]
async fn issuing_between_epochs_that_chase_each_other_is_put_off_before_tokens_are_born_too_early() {
    let app = TestApp::start().await;
    let refused = loop {
        match app.create_token(&admin(), of(DAY)).await {
            Ok(token) => assert!(!app.is_revoked(1, &token.token).await),
            Err(error) => break error,
        }
        app.revoke_tokens(&admin(), TokenRevoke::Before("now".into())).await.unwrap();
    };
    assert_eq!((refused.kind, refused.retry_after), (AppErrorKind::Unavailable, Some(6)));
    app.pass(6);
    let token = app.token().await.token;
    assert!(!app.is_revoked(2, &token).await);
}

#[tokio::test]
async fn rolled_key_opens_old_tokens_until_the_last_is_over_and_is_erased_then() {
    let app = TestApp::start().await;
    let old = app.create_token(&admin(), of(7 * DAY)).await.unwrap().token;
    let rolled = app.roll_token_key(&admin()).await.unwrap();
    assert_eq!((rolled.kid.as_str(), rolled.current, rolled.issued), ("k2", true, 0));
    let new = app.create_token(&admin(), of(DAY)).await.unwrap();
    assert_eq!(app.listed(&new.id).await.kid, "k2");
    app.try_register(&Bare::number(1), &old).await.unwrap();
    app.try_register(&Bare::number(2), &new.token).await.unwrap();
    app.pass(7 * DAY - 1);
    app.clean_up().await.unwrap();
    let app = app.killed_and_started().await;
    app.try_register(&Bare::number(3), &old).await.unwrap();
    app.pass(1);
    app.clean_up().await.unwrap();
    let late = app.try_register(&Bare::number(4), &old).await;
    assert_eq!(refusal(late), refused_as(RefusalKind::InvalidToken));
    let kept: Vec<_> = app.token_keys(&admin()).await.unwrap().into_iter().map(|key| key.kid).collect();
    assert_eq!(kept, ["k2"]);
    assert_eq!(
        app.told(AuditKind::KeyRotated).await,
        ["token key k1 gives way to the next: as asked", "token key k1 erased: every token of it is over"]
    );
}

#[tokio::test]
async fn key_is_rolled_by_itself_after_ninety_days_or_when_it_sealed_enough() {
    let app = TestApp::start().await;
    let kid = async |app: &TestApp| {
        let jti = app.token().await.id;
        app.listed(&jti).await.kid
    };
    app.pass(90 * DAY - 1);
    assert_eq!(kid(&app).await, "k1");
    app.pass(1);
    assert_eq!(kid(&app).await, "k2");
    // As many tokens as a key may seal, without sealing them.
    let url = format!("sqlite://{}", app.directory.path().join("muster.db").display());
    let database = sqlx::AnyPool::connect(&url).await.unwrap();
    let set = async |issued: i64| {
        let sql = "UPDATE token_key SET issued = $1 WHERE kid = 'k2'";
        sqlx::query(sql).bind(issued).execute(&database).await.unwrap();
    };
    set((1 << 24) - 1).await;
    assert_eq!(kid(&app).await, "k2");
    assert_eq!(kid(&app).await, "k3");
    assert_eq!(app.count(AuditKind::KeyRotated).await, 2);
}

#[tokio::test]
async fn revoked_key_is_erased_at_once_and_followed_when_it_was_current() {
    let app = TestApp::start().await;
    let old = app.create_token(&admin(), of(YEAR)).await.unwrap();
    let revoked = app.revoke_tokens(&admin(), TokenRevoke::Kid("k1".into())).await.unwrap();
    assert_eq!((revoked.revoked.as_str(), revoked.ended), ("all tokens of key k1", 1));
    let refused = app.try_register(&Bare::number(1), &old.token).await;
    assert_eq!(refusal(refused), refused_as(RefusalKind::InvalidToken));
    assert_eq!(app.listed(&old.id).await.state, TokenState::Revoked);
    let new = app.token().await;
    assert_eq!(app.listed(&new.id).await.kid, "k2");
    let app = app.killed_and_started().await;
    assert!(!app.is_revoked(2, &new.token).await);
    let again = app.try_register(&Bare::number(3), &old.token).await;
    assert_eq!(refusal(again), refused_as(RefusalKind::InvalidToken));
}

#[tokio::test]
async fn key_that_was_revoked_when_the_power_went_is_erased_by_the_next_clean_up() {
    let app = TestApp::start().await;
    let token = app.token().await.token;
    let revocation = engine::revocation::Revocation::new(
        engine::revocation::Scope::Key("k1".into()),
        app.now(),
        app.now(),
    );
    // On disk, but the ring was not written any more.
    app.store.commit(&revocation.decide(&engine::change::Cause::system(app.now()))).await.unwrap();
    let app = app.killed_and_started().await;
    assert!(app.is_revoked(1, &token).await);
    app.clean_up().await.unwrap();
    let kept: Vec<_> = app.token_keys(&admin()).await.unwrap().into_iter().map(|key| key.kid).collect();
    assert_eq!(kept, ["k2"]);
    assert!(app.keys.open_token(&token).is_err());
}

#[tokio::test]
async fn machine_that_an_operator_merged_is_the_operators_from_then_on() {
    let app = TestApp::start().await;
    let token = app.token_for(of(YEAR)).await;
    let machine = Bare::number(1);
    let id = app.on_duty(&machine, &token).await;
    app.pass(60);
    let merged = Bare { key: KeyThumbprint([50; 32]), ..machine.clone() };
    let pending = app.wait_with_code(&merged).await;
    let request = approval(&pending, &app.look_up(&pending).await);
    app.approve(
        &admin(),
        pending.id,
        ApproveRequest { merge: Some(id), fingerprint_confirmed: true, ..request },
    )
    .await
    .unwrap();
    app.access_token(&merged.caller()).await.unwrap();
    app.pass(60);
    let stranger = machine.reset();
    let refused = app.try_register(&stranger, &token).await;
    assert_eq!(refusal(refused), refused_as(RefusalKind::ConstraintFailed));
}

#[tokio::test]
async fn key_ring_from_a_backup_does_not_bring_revoked_tokens_back() {
    let app = TestApp::start().await;
    let old = app.create_token(&admin(), of(YEAR)).await.unwrap().token;
    let ring = app.directory.path().join("keys/kids.json");
    let backup = std::fs::read(&ring).unwrap();
    app.revoke_tokens(&admin(), TokenRevoke::Kid("k1".into())).await.unwrap();
    crate::keys::files::write(&ring, &backup, 0o600).unwrap();
    let app = app.killed_and_started().await;
    assert!(app.is_revoked(1, &old).await);
    // The key of the backup seals nothing any more.
    let new = app.token().await;
    assert_eq!(app.listed(&new.id).await.kid, "k2");
    assert!(!app.is_revoked(2, &new.token).await);
}

#[tokio::test]
async fn machine_that_comes_back_with_its_token_keeps_its_identity() {
    let app = TestApp::start().await;
    let token = app.create_token(&admin(), of(YEAR)).await.unwrap();
    let machine = Bare::number(1);
    let first = app.on_duty(&machine, &token.token).await;
    app.pass(60);
    let reset = machine.reset();
    assert_eq!(app.on_duty(&reset, &token.token).await, first);
    assert_eq!(app.told(AuditKind::MachineRekeyed).await, [format!("came back with token {}", token.id)]);
    assert_eq!(app.listed(&token.id).await.uses, 1);
    // The old key is nobody's.
    let old = app.access_token(&machine.caller()).await;
    assert_eq!(refusal(old), refused_as(RefusalKind::AccessDenied));
    assert_eq!(app.machines(&admin()).await.unwrap().len(), 1);
}

#[tokio::test]
async fn used_up_token_still_brings_its_own_machine_back() {
    let app = TestApp::start().await;
    let token = app.token_for(TokenCreate { max_uses: Some(1), ..TokenCreate::default() }).await;
    let first = app.on_duty(&Bare::number(1), &token).await;
    app.pass(60);
    assert_eq!(app.on_duty(&Bare::number(1).reset(), &token).await, first);
    let another = app.try_register(&Bare::number(2), &token).await;
    assert_eq!(refusal(another), refused_as(RefusalKind::ConstraintFailed));
}

#[tokio::test]
async fn machine_that_comes_back_too_soon_waits_until_its_old_self_counts_as_gone() {
    let app = TestApp::start().await;
    let token = app.token().await.token;
    let machine = Bare::number(1);
    let first = app.on_duty(&machine, &token).await;
    app.pass(25);
    let early = app.try_register(&machine.reset(), &token).await.unwrap_err();
    assert_eq!((early.kind, early.retry_after), (refused_as(RefusalKind::SlowDown), Some(35)));
    assert!(early.message.ends_with("which was heard 25 s ago; retry in 35 s"), "{early}");
    app.pass(35);
    assert_eq!(app.on_duty(&machine.reset(), &token).await, first);
    // One that said goodbye is gone at once.
    let shown = app.machine(&admin(), &first.to_string()).await.unwrap();
    let actor = machine.reset().actor(&shown);
    app.heartbeat(&actor, heartbeat(AgentState::Stopping), NO_WAIT).await.unwrap();
    assert_eq!(app.on_duty(&machine, &token).await, first);
}

#[tokio::test]
async fn of_two_that_come_back_at_once_one_does() {
    let app = TestApp::start().await;
    let token = app.token().await.token;
    let machine = Bare::number(1);
    let first = app.on_duty(&machine, &token).await;
    app.pass(60);
    let (one, other) = (machine.reset(), machine.reset().reset());
    let back = app.try_register(&one, &token).await.unwrap();
    assert_eq!(back.machine.uuid, first);
    assert_eq!(refusal(app.try_register(&other, &token).await), refused_as(RefusalKind::SlowDown));
    app.access_token(&one.caller()).await.unwrap();
    app.pass(60);
    let shown = app.machine(&admin(), &first.to_string()).await.unwrap();
    app.heartbeat(&one.actor(&shown), heartbeat(AgentState::Discovery), NO_WAIT).await.unwrap();
    assert_eq!(refusal(app.try_register(&other, &token).await), refused_as(RefusalKind::ConstraintFailed));
}

#[tokio::test]
async fn machine_whose_likeness_speaks_meanwhile_is_another_one() {
    let app = TestApp::start().await;
    let token = app.token().await.token;
    let machine = Bare::number(1);
    let first = app.on_duty(&machine, &token).await;
    let shown = app.machine(&admin(), &first.to_string()).await.unwrap();
    app.pass(20);
    let twin = machine.reset();
    assert_eq!(refusal(app.try_register(&twin, &token).await), refused_as(RefusalKind::SlowDown));
    app.heartbeat(&machine.actor(&shown), heartbeat(AgentState::Discovery), NO_WAIT).await.unwrap();
    app.pass(40);
    let refused = app.try_register(&twin, &token).await.unwrap_err();
    assert_eq!(refused.kind, refused_as(RefusalKind::ConstraintFailed));
    assert!(refused.message.ends_with("so an operator must approve it"), "{refused}");
    // It shows a code; an operator sees whom it looks like, and that one is not to be merged now.
    let preview = app.look_up(&app.wait_with_code(&twin).await).await;
    assert_eq!((preview.matches[0].uuid, preview.matches[0].online), (first, true));
    assert!(preview.matches[0].score >= 100);
}

#[tokio::test]
async fn machine_that_another_server_hears_is_nobody_elses() {
    let app = TestApp::start().await;
    let other = TestApp::open(&app.directory, &app.clock).await;
    let token = app.token_for(of(YEAR)).await;
    let machine = Bare::number(1);
    let id = app.on_duty(&machine, &token).await;
    let shown = app.machine(&admin(), &id.to_string()).await.unwrap();
    for _ in 0..4 {
        app.pass(20);
        app.heartbeat(&machine.actor(&shown), heartbeat(AgentState::Discovery), NO_WAIT).await.unwrap();
        app.sweep().await.unwrap();
    }
    let twin = machine.reset();
    let come_back = async || other.register(&twin.caller(), twin.registration(&token)).await;
    assert_eq!(refusal(come_back().await), refused_as(RefusalKind::SlowDown));
    app.pass(60);
    assert_eq!(come_back().await.unwrap().machine.uuid, id);
}

#[tokio::test]
async fn any_other_likeness_is_refused_and_offered_for_a_merge() {
    let app = TestApp::start().await;
    let (token, another) = (app.token().await, app.token().await);
    let machine = Bare::number(1);
    let first = app.on_duty(&machine, &token.token).await;
    app.pass(120);
    let refused = app.try_register(&machine.reset(), &another.token).await;
    assert_eq!(refusal(refused), refused_as(RefusalKind::ConstraintFailed));
    let preview = app.look_up(&app.wait_with_code(&machine.reset()).await).await;
    let found = &preview.matches[0];
    // What the dashboard preselects for a merge.
    assert!(found.uuid == first && found.score >= 100 && !found.online, "{found:?}");
    // A board that tells nothing never comes back by itself, whatever its network card says.
    let mut junk = Bare::number(2);
    junk.inventory.serial = "To be filled by O.E.M.".into();
    app.on_duty(&junk, &token.token).await;
    app.pass(120);
    let refused = app.try_register(&junk.reset(), &token.token).await;
    assert_eq!(refusal(refused), refused_as(RefusalKind::ConstraintFailed));
}

#[tokio::test]
async fn machine_rebooted_twenty_times_is_one_machine() {
    let app = TestApp::start().await;
    let token = app.create_token(&admin(), of(YEAR)).await.unwrap();
    let mut machine = Bare::number(1);
    let mut ids = std::collections::BTreeSet::new();
    for boot in 0..20 {
        machine.key = KeyThumbprint([boot; 32]);
        ids.insert(app.on_duty(&machine, &token.token).await);
        app.pass(60);
    }
    assert_eq!(ids.len(), 1);
    assert_eq!(app.listed(&token.id).await.uses, 1);
    assert_eq!(app.count(AuditKind::MachineRekeyed).await, 19);
}

#[tokio::test]
async fn unusual_use_of_a_token_is_audited() {
    let app = TestApp::start().await;
    let token = app.token().await;
    app.try_register(&Bare::number(1), &token.token).await.unwrap();
    let elsewhere = Bare { source: IpAddr::from([192, 0, 2, 7]), ..Bare::number(2) };
    app.try_register(&elsewhere, &token.token).await.unwrap();
    assert_eq!(
        app.told(AuditKind::RateLimitTripped).await,
        [format!("token {} was used from 192.0.2.0/24, for the first time", token.id)]
    );
}

#[tokio::test]
async fn refusals_of_one_token_do_not_fill_the_audit_log() {
    let app = TestApp::start().await;
    let token = app.token().await.token;
    app.pass(600);
    for number in 0..250_u8 {
        let late = app.try_register(&Bare::number(number), &token).await;
        assert_eq!(refusal(late), refused_as(RefusalKind::TokenExpired));
    }
    assert_eq!(app.count(AuditKind::TokenRefused).await, 200);
}

#[tokio::test]
async fn revocations_are_forgotten_when_they_cover_nothing_any_more() {
    let app = TestApp::start().await;
    let token = app.token().await;
    app.revoke_token(&admin(), &token.id).await.unwrap();
    app.revoke_tokens(&admin(), TokenRevoke::User("admin".into())).await.unwrap();
    let tokens = app.store.tokens(None, 9).await.unwrap();
    for (passed, kept) in [(600, 2), (1, 1), (YEAR, 0)] {
        app.pass(passed);
        app.clean_up().await.unwrap();
        assert_eq!(app.store.revocations_among(&tokens).await.unwrap().len(), kept, "{passed}");
    }
}
