//! Bootstrap tokens ended before their time: at once, after a kill, and when the clock jumps back
//! (`spec/security.md` 3.3, acceptance checks 14 and 15).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use protocol::agent_api::RefusalKind;
use protocol::rest::{TOKEN_LIFETIMES, Token, TokenCreated, TokenKey, TokenRevoke, TokenRevoked, TokenState};
use serde_json::json;
use tests::machine::Machine;

use crate::Site;
use crate::clock::Ahead;
use crate::tokens::refusal;

const TEN_YEARS: i64 = 315_360_000;
const YEAR: u64 = 31_536_000;
const REVOKE: &str = "/api/v3/bootstrap/tokens/revoke";

/// What a machine that never came before is told about a token; none when it is registered.
fn told(site: &mut Site, token: &str) -> Option<(u16, RefusalKind)> {
    ask(&mut site.machine(), token)
}

fn ask(machine: &mut Machine, token: &str) -> Option<(u16, RefusalKind)> {
    let answer = machine.try_register(token).unwrap();
    (answer.status != 201).then(|| refusal(&answer))
}

fn state(site: &Site, id: &str) -> TokenState {
    let tokens: Vec<Token> = site.operator.get("/api/v3/bootstrap/tokens").unwrap().expect(200).unwrap();
    tokens.into_iter().find(|token| token.id == id).unwrap().state
}

/// A token revoked in one way is dead at once, stays so after a kill and ten years back, and one
/// that was made afterwards lives through all of it.
fn holds(name: &str, revoke: impl FnOnce(&Site, &TokenCreated) -> TokenRevoked, kind: RefusalKind) {
    let mut ahead = Ahead::start(name);
    let old = ahead.site.operator.create_token(YEAR).unwrap();
    assert_eq!(told(&mut ahead.site, &old.token), None);
    let revoked = revoke(&ahead.site, &old);
    assert_eq!(revoked.ended, 1, "{revoked:?}");
    let dead = Some((401, kind));
    assert_eq!(told(&mut ahead.site, &old.token), dead);
    let new = ahead.site.operator.create_token(YEAR).unwrap();
    assert_eq!(told(&mut ahead.site, &new.token), None);
    ahead.site.server.kill().unwrap();
    ahead.advance(-TEN_YEARS);
    ahead.site.server.start_again().unwrap();
    assert_eq!(told(&mut ahead.site, &old.token), dead);
    assert_eq!(told(&mut ahead.site, &new.token), None);
    assert_eq!(
        (state(&ahead.site, &old.id), state(&ahead.site, &new.id)),
        (TokenState::Revoked, TokenState::Live)
    );
}

fn many(request: TokenRevoke) -> impl FnOnce(&Site, &TokenCreated) -> TokenRevoked {
    move |site, _| site.operator.post(REVOKE, &request).unwrap().expect(200).unwrap()
}

#[test]
fn one_revoked_token_stays_dead() {
    let one = |site: &Site, token: &TokenCreated| {
        site.operator.delete(&format!("/api/v3/bootstrap/tokens/{}", token.id)).unwrap().expect(200).unwrap()
    };
    holds("revoke-one", one, RefusalKind::TokenRevoked);
}

#[test]
fn revoked_tokens_of_a_user_stay_dead() {
    holds("revoke-user", many(TokenRevoke::User("admin".to_owned())), RefusalKind::TokenRevoked);
}

#[test]
fn revoked_tokens_of_an_epoch_stay_dead() {
    holds("revoke-epoch", many(TokenRevoke::Before("now".to_owned())), RefusalKind::TokenRevoked);
}

#[test]
fn revoked_tokens_of_a_key_stay_dead() {
    // The key is erased: nobody can tell any more what it sealed.
    holds("revoke-key", many(TokenRevoke::Kid("k1".to_owned())), RefusalKind::InvalidToken);
}

#[test]
fn a_token_that_the_server_has_no_record_of_can_be_revoked() {
    let mut site = Site::start("revoke-unrecorded");
    let (data, backup) = (site.server.data_dir().to_owned(), site.server.folder().join("backup.db"));
    site.server.stop().unwrap();
    std::fs::copy(data.join("muster.db"), &backup).unwrap();
    site.server.start_again().unwrap();
    let token = site.operator.create_token(600).unwrap();
    site.server.stop().unwrap();
    for name in ["muster.db-wal", "muster.db-shm"] {
        if data.join(name).exists() {
            std::fs::remove_file(data.join(name)).unwrap();
        }
    }
    std::fs::copy(&backup, data.join("muster.db")).unwrap();
    site.server.start_again().unwrap();
    // Losing its row neither ends it nor makes it immortal.
    assert_eq!(site.operator.get("/api/v3/bootstrap/tokens").unwrap().json::<Vec<Token>>().unwrap(), []);
    assert_eq!(told(&mut site, &token.token), None);
    let path = format!("/api/v3/bootstrap/tokens/{}", token.id);
    let revoked: TokenRevoked = site.operator.delete(&path).unwrap().expect(200).unwrap();
    assert_eq!(revoked.ended, 0);
    assert_eq!(told(&mut site, &token.token), Some((401, RefusalKind::TokenRevoked)));
}

#[test]
fn revocations_that_name_nothing_or_two_things_are_refused() {
    let site = Site::start("revoke-wrong");
    let later = "9999-01-01T00:00:00Z";
    for (body, status) in [
        (json!({}), 400),
        (json!({ "User": "admin", "Kid": "k1" }), 400),
        (json!({ "Kid": "k9" }), 404),
        (json!({ "Before": "noon" }), 422),
        (json!({ "Before": later }), 422),
        (json!({ "User": "" }), 422),
    ] {
        let answer = site.operator.post(REVOKE, &body).unwrap();
        assert_eq!(answer.status, status, "{body}: {}", answer.text());
    }
    let wrong = site.operator.delete("/api/v3/bootstrap/tokens/none").unwrap();
    assert_eq!(wrong.status, 422, "{}", wrong.text());
}

#[test]
fn a_rolled_key_opens_old_tokens_until_it_is_retired() {
    let mut site = Site::start("revoke-roll");
    let old = site.operator.create_token(YEAR).unwrap();
    let rolled: TokenKey =
        site.operator.post("/api/v3/keys/token/roll", &json!({})).unwrap().expect(200).unwrap();
    assert!(rolled.current && rolled.kid == "k2");
    let new = site.operator.create_token(YEAR).unwrap();
    site.server.kill().unwrap();
    site.server.start_again().unwrap();
    for token in [&old, &new] {
        assert_eq!(told(&mut site, &token.token), None);
    }
    let keys: Vec<TokenKey> = site.operator.get("/api/v3/keys/token").unwrap().expect(200).unwrap();
    let shown: Vec<_> = keys.iter().map(|key| (key.kid.as_str(), key.current, key.issued)).collect();
    assert_eq!(shown, [("k1", false, 1), ("k2", true, 1)]);
    let retired = many(TokenRevoke::Kid("k1".to_owned()))(&site, &old);
    assert_eq!(retired.ended, 1);
    assert_eq!(told(&mut site, &old.token), Some((401, RefusalKind::InvalidToken)));
    assert_eq!(told(&mut site, &new.token), None);
    let ring = std::fs::read_to_string(site.server.data_dir().join("keys/kids.json")).unwrap();
    assert!(!ring.contains("\"k1\"") && ring.contains("\"k2\""), "the key is not erased");
}

/// How long into the current second the clock is, in milliseconds.
fn into_the_second() -> u32 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().subsec_millis()
}

#[test]
fn every_lifetime_ends_with_its_second() {
    let mut ahead = Ahead::start("revoke-lifetimes");
    let begin = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let tokens =
        TOKEN_LIFETIMES.map(|lifetime| (lifetime, ahead.site.operator.create_token(lifetime).unwrap()));
    let issued: Vec<Token> =
        ahead.site.operator.get("/api/v3/bootstrap/tokens").unwrap().expect(200).unwrap();
    let mut at = 0;
    for (lifetime, token) in tokens {
        let first = issued.iter().find(|one| one.id == token.id).unwrap();
        let end = seconds(&first.issued_at) + lifetime;
        assert!((begin..begin + 60).contains(&seconds(&first.issued_at)));
        // Connected already, and early in a second, a call is over before the next one.
        let mut machines = [ahead.site.machine(), ahead.site.machine()];
        for machine in &mut machines {
            assert_eq!(ask(machine, "none"), Some((401, RefusalKind::InvalidToken)));
        }
        let early = || Ok((into_the_second() < 200).then_some(()));
        tests::wait::until("the beginning of a second", Duration::from_secs(5), early).unwrap();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let last_second = i64::try_from(end - 1 - now).unwrap();
        let [in_time, late] = &mut machines;
        ahead.advance(last_second - at);
        assert_eq!(ask(in_time, &token.token), None, "{lifetime}: in its last second");
        ahead.advance(1);
        at = last_second + 1;
        let expired = Some((401, RefusalKind::TokenExpired));
        assert_eq!(ask(late, &token.token), expired, "{lifetime}: in the second after");
    }
}

/// Seconds since 1970 of a time as the server writes it.
fn seconds(rfc3339: &str) -> u64 {
    let time: engine::time::Timestamp = rfc3339.parse().unwrap();
    time.as_seconds()
}
