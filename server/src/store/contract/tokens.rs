//! The store's promises about bootstrap tokens.

use super::{START, after, conflict};
use crate::store::postgres::Postgres;
use crate::store::schema::{Engine, MIGRATIONS, migrate};
use crate::store::{Conflict, Store, pool_of, sqlite_url};
use engine::admission::{Constraints, Placement, Terms};
use engine::change::{Change, Changes, IssuedToken, KeyUse, TokenUse};
use engine::revocation::{Revocation, Scope, TokenMarks};
use engine::time::Timestamp;
use sqlx::any::install_default_drivers;

fn marks(jti: &str) -> TokenMarks {
    TokenMarks { jti: jti.into(), by: "user:admin".into(), kid: "k1".into(), issued_at: START }
}

fn issued(jti: &str) -> IssuedToken {
    let constraints = Constraints { max: Some(2), ..Constraints::default() };
    let placement = Placement { roles: vec!["web".into()], mesh_network: String::new() };
    IssuedToken {
        marks: marks(jti),
        expires_at: after(600),
        terms: Terms { constraints, placement, needs_approval: false },
        uses: 0,
        last_used_at: None,
    }
}

fn used(token: TokenMarks, by: TokenUse, at: Timestamp) -> Changes {
    Changes::new(at).and(Change::UseToken { token, by })
}

fn new_machine(max: Option<u32>) -> TokenUse {
    TokenUse::NewMachine { max }
}

async fn issue(store: &Store, token: IssuedToken) {
    store.commit(&Changes::new(START).and(Change::IssueToken(token))).await.unwrap();
}

async fn revoke(store: &Store, scope: Scope, not_before: Timestamp) -> Revocation {
    let revocation = Revocation::new(scope, not_before, after(100));
    store.commit(&Changes::new(after(100)).and(Change::Revoke(revocation.clone()))).await.unwrap();
    revocation
}

pub(super) async fn token_registers_no_more_than_it_may(store: Store) {
    issue(&store, issued("j")).await;
    assert_eq!(store.token("j").await.unwrap(), Some(issued("j")));
    for second in [1, 2] {
        store.commit(&used(marks("j"), new_machine(Some(2)), after(second))).await.unwrap();
    }
    let third = used(marks("j"), new_machine(Some(2)), after(3));
    assert_eq!(conflict(store.commit(&third).await), Some(Conflict::UsedUp));
    store.commit(&used(marks("j"), TokenUse::KnownMachine, after(4))).await.unwrap();
    let kept = IssuedToken { uses: 2, last_used_at: Some(after(4)), ..issued("j") };
    assert_eq!(store.tokens(None, 9).await.unwrap(), [kept]);
    store.commit(&used(marks("j"), new_machine(None), after(5))).await.unwrap();
    assert_eq!(store.token("j").await.unwrap().unwrap().uses, 3);
    store.commit(&used(marks("row was lost"), new_machine(None), after(5))).await.unwrap();
    let uncounted = used(marks("row was lost"), new_machine(Some(9)), after(5));
    assert_eq!(conflict(store.commit(&uncounted).await), Some(Conflict::UsedUp));
}

pub(super) async fn racing_machines_never_use_a_token_too_often(store: Store) {
    issue(&store, issued("j")).await;
    let races: Vec<_> = (0..20)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(
                async move { store.commit(&used(marks("j"), new_machine(Some(7)), START)).await.is_ok() },
            )
        })
        .collect();
    let mut winners = 0;
    for race in races {
        winners += u32::from(race.await.unwrap());
    }
    assert_eq!((winners, store.token("j").await.unwrap().unwrap().uses), (7, 7));
}

pub(super) async fn revocation_ends_what_it_covers_whoever_uses_it(store: Store) {
    let scopes =
        [Scope::Token("j".into()), Scope::User("user:admin".into()), Scope::Server, Scope::Key("k1".into())];
    let mut kept = Vec::new();
    for (number, scope) in scopes.into_iter().enumerate() {
        // Of another user and key than those revoked before, and issued later.
        let own = TokenMarks {
            jti: if matches!(scope, Scope::Token(_)) { "j".into() } else { format!("j{number}") },
            by: if matches!(scope, Scope::User(_)) { "user:admin".into() } else { format!("user:{number}") },
            kid: if matches!(scope, Scope::Key(_)) { "k1".into() } else { format!("k{}", number + 10) },
            issued_at: if matches!(scope, Scope::Key(_)) { after(60) } else { START },
        };
        for by in [new_machine(None), TokenUse::KnownMachine] {
            store.commit(&used(own.clone(), by, after(1))).await.unwrap();
        }
        kept.push(revoke(&store, scope, after(50)).await);
        assert_eq!(
            store.revocations_about(&own).await.unwrap().iter().filter(|one| one.covers(&own)).count(),
            1
        );
        for by in [new_machine(None), new_machine(Some(9)), TokenUse::KnownMachine] {
            assert_eq!(
                conflict(store.commit(&used(own.clone(), by, after(1))).await),
                Some(Conflict::Revoked)
            );
        }
    }
    let mut stored = store.revocations_among(&[issued("i"), issued("j")]).await.unwrap();
    stored.sort_by_key(|one| kept.iter().position(|known| known.scope == one.scope));
    assert_eq!(stored, kept);
}

pub(super) async fn revocation_never_gives_back_what_another_took(store: Store) {
    let later = revoke(&store, Scope::Server, after(50)).await;
    revoke(&store, Scope::Server, after(20)).await;
    assert_eq!(store.revocations_among(&[]).await.unwrap(), std::slice::from_ref(&later));
    let forget = |at| Changes::new(at).and(Change::ForgetRevocations(at));
    store.commit(&forget(later.until)).await.unwrap();
    assert_eq!(store.revocations_among(&[]).await.unwrap().len(), 1);
    store.commit(&forget(later.until.plus(std::time::Duration::from_millis(1)))).await.unwrap();
    assert_eq!(store.revocations_among(&[]).await.unwrap(), []);
}

pub(super) async fn latest_token_is_the_one_that_begins_last(store: Store) {
    assert_eq!(store.latest_token().await.unwrap(), None);
    for (jti, second) in [("a", 5), ("b", 9), ("c", 7)] {
        let marks = TokenMarks { issued_at: after(second), ..marks(jti) };
        issue(&store, IssuedToken { marks, ..issued(jti) }).await;
    }
    assert_eq!(store.latest_token().await.unwrap(), Some(after(9)));
}

pub(super) async fn keys_know_how_much_they_sealed(store: Store) {
    for (jti, kid, end) in [("a", "k1", 900), ("b", "k1", 600), ("c", "k2", 700)] {
        let marks = TokenMarks { kid: kid.into(), ..marks(jti) };
        issue(&store, IssuedToken { marks, expires_at: after(end), ..issued(jti) }).await;
    }
    // Tokens that are over still count.
    store.commit(&Changes::new(START).and(Change::ForgetTokens(after(10_000)))).await.unwrap();
    assert_eq!(store.tokens(None, 9).await.unwrap(), []);
    let mut uses = store.key_uses().await.unwrap();
    uses.sort_by(|one, other| one.kid.cmp(&other.kid));
    let use_of = |kid: &str, issued, end| KeyUse { kid: kid.into(), issued, last_expires_at: after(end) };
    assert_eq!(uses, [use_of("k1", 2, 900), use_of("k2", 1, 700)]);
}

pub(super) async fn tokens_are_read_in_parts_newest_first(store: Store) {
    for (jti, second) in [("b", 5), ("a", 5), ("c", 9), ("d", 1)] {
        let marks = TokenMarks { issued_at: after(second), ..marks(jti) };
        issue(&store, IssuedToken { marks, ..issued(jti) }).await;
    }
    let (mut read, mut last) = (Vec::new(), None);
    loop {
        let part = store.tokens(last.as_ref(), 1).await.unwrap();
        let Some(token) = part.into_iter().next() else { break };
        read.push(token.marks.jti.clone());
        last = Some(token.marks);
    }
    assert_eq!(read, ["c", "a", "b", "d"]);
}

#[tokio::test]
async fn tokens_of_the_first_release_survive_the_migration() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("muster.db");
    install_default_drivers();
    let (sqlite, postgres) = (sqlite_url(&path).unwrap(), Postgres::start());
    let database = postgres.database("first_release");
    fill_as_the_first_release(&sqlite).await;
    tokens_survived(&Store::sqlite(&path).await.unwrap()).await;
    fill_as_the_first_release(&database).await;
    let store = Store::postgres(&database).await.unwrap();
    tokens_survived(&store).await;
    store.close().await;
}

async fn fill_as_the_first_release(url: &str) {
    let old = pool_of(1).connect(url).await.unwrap();
    migrate(&old, Engine::Sqlite, &MIGRATIONS[..1]).await.unwrap();
    for (jti, end) in [("a", 600), ("b", 86_400)] {
        sqlx::query("INSERT INTO bootstrap_token (jti, issued_by, issued_at, expires_at, uses) VALUES ($1, 'user:admin', $2, $3, 4)")
            .bind(jti)
            .bind(START.as_millis())
            .bind(after(end).as_millis())
            .execute(&old)
            .await
            .unwrap();
    }
    old.close().await;
}

async fn tokens_survived(store: &Store) {
    let kept = IssuedToken { expires_at: after(86_400), terms: Terms::default(), uses: 4, ..issued("b") };
    assert_eq!(store.token("b").await.unwrap(), Some(kept));
    let sealed = KeyUse { kid: "k1".into(), issued: 2, last_expires_at: after(86_400) };
    assert_eq!(store.key_uses().await.unwrap(), [sealed]);
    store.commit(&used(marks("a"), new_machine(Some(5)), after(1))).await.unwrap();
}
