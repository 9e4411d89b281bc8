//! Forged and damaged bootstrap tokens: one answer for all, and quickly.

use super::*;
use proptest::prelude::*;
use protocol::token::{base64url, from_base64url};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use serde_json::{Value, json};

const NOW: u64 = 1_800_000_000;
const ID: &str = "abcdefghij";

struct Fixture {
    keys: TokenKeys,
    key: [u8; KEY_LEN],
}

fn fixture() -> Fixture {
    let directory = tempfile::tempdir().unwrap();
    let master = MasterKey::new([4; 32]);
    let keys = TokenKeys::open(&directory.path().join("kids.json"), &master, NOW).unwrap();
    let key = *keys.ring().keys.get("k1").unwrap();
    Fixture { keys, key }
}

fn claims() -> BootstrapClaims {
    serde_json::from_value(whole()).unwrap()
}

fn whole() -> Value {
    json!({"iss": ID, "aud": "reg", "jti": "AAAAAAAAAAAAAAAA", "iat": NOW, "exp": NOW + 600, "by": "admin"})
}

impl Fixture {
    fn sealed(&self) -> String {
        self.keys.seal(&claims()).unwrap().token.reveal().to_owned()
    }

    fn open(&self, text: &str) -> Result<BootstrapClaims, OpenError> {
        self.keys.open_token(text).map(|opened| opened.claims)
    }

    /// A token that our real key encrypts, under a header of the attacker's choice.
    fn with_header(&self, header: &str, payload: &[u8]) -> String {
        let header = base64url(header.as_bytes());
        let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &self.key).unwrap());
        let mut sealed = payload.to_vec();
        let nonce = Nonce::assume_unique_for_key([7; NONCE_LEN]);
        key.seal_in_place_append_tag(nonce, Aad::from(header.as_bytes()), &mut sealed).unwrap();
        let (content, tag) = sealed.split_at(payload.len());
        format!("{header}..{}.{}.{}", base64url(&[7; NONCE_LEN]), base64url(content), base64url(tag))
    }

    fn with_claims(&self, claims: &Value) -> String {
        let header = format!("{HEADER_START}k1{HEADER_END}");
        self.with_header(&header, &serde_json::to_vec(claims).unwrap())
    }
}

#[test]
fn sealed_token_opens_and_its_header_is_ours_to_the_byte() {
    let fixture = fixture();
    let token = fixture.sealed();
    assert_eq!(fixture.open(&token).unwrap().jti, "AAAAAAAAAAAAAAAA");
    let header = token.parse::<BootstrapToken>().unwrap().header();
    assert_eq!(header, br#"{"alg":"dir","enc":"A256GCM","kid":"k1","typ":"bst+jwt"}"#);
    assert!(token.len() < 400, "{} characters", token.len());
}

#[test]
fn header_made_by_hand_opens_too_so_the_forgeries_below_fail_for_their_own_reason() {
    let fixture = fixture();
    assert_eq!(fixture.open(&fixture.with_claims(&whole())), Ok(claims()));
}

#[test]
fn ring_survives_a_restart_and_needs_its_master() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("kids.json");
    let token = TokenKeys::open(&path, &MasterKey::new([4; 32]), NOW).unwrap().seal(&claims()).unwrap().token;
    let again = TokenKeys::open(&path, &MasterKey::new([4; 32]), NOW).unwrap();
    assert!(again.open_token(token.reveal()).is_ok());
    assert!(TokenKeys::open(&path, &MasterKey::new([5; 32]), NOW).is_err());
    let stored = std::fs::read_to_string(&path).unwrap();
    assert!(!stored.contains(&base64url(again.ring().keys.get("k1").unwrap())));
}

#[test]
fn rolled_key_opens_what_it_sealed_until_it_is_erased() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("kids.json");
    let open = || TokenKeys::open(&path, &MasterKey::new([4; 32]), NOW).unwrap();
    let keys = open();
    let old = keys.seal(&claims()).unwrap();
    let later = Timestamp::from_seconds(NOW + 5);
    assert!(keys.roll("k1", later).unwrap());
    assert!(!keys.roll("k1", later).unwrap(), "another roll was faster");
    let new = keys.seal(&claims()).unwrap();
    assert_eq!((old.kid.as_str(), new.kid.as_str()), ("k1", "k2"));
    for keys in [&keys, &open()] {
        for sealed in [&old, &new] {
            assert_eq!(keys.open_token(sealed.token.reveal()).unwrap().kid, sealed.kid);
        }
        let states: Vec<_> =
            keys.states().into_iter().map(|key| (key.kid, key.current, key.rolled_at)).collect();
        assert_eq!(states, [("k1".to_owned(), false, Some(later)), ("k2".to_owned(), true, None)]);
    }
    assert!(keys.erase("k1").unwrap());
    assert!(!keys.erase("k1").unwrap() && !keys.erase("k2").unwrap() && !keys.erase("k9").unwrap());
    for keys in [&keys, &open()] {
        assert_eq!(keys.open_token(old.token.reveal()).unwrap_err(), OpenError);
        assert!(keys.open_token(new.token.reveal()).is_ok());
    }
}

#[test]
fn key_id_is_never_used_twice() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("kids.json");
    let open = || TokenKeys::open(&path, &MasterKey::new([4; 32]), NOW).unwrap();
    let keys = open();
    let at = Timestamp::from_seconds(NOW);
    keys.roll("k1", at).unwrap();
    keys.roll("k2", at).unwrap();
    keys.erase("k2").unwrap();
    keys.erase("k1").unwrap();
    open().roll("k3", at).unwrap();
    assert_eq!(open().current(), "k4");
    // A ring of the first release, which knew no numbers.
    let mut ring: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    ring.as_object_mut().unwrap().remove("last");
    files::write(&path, ring.to_string().as_bytes(), 0o600).unwrap();
    open().roll("k4", at).unwrap();
    assert_eq!(open().current(), "k5");
}

#[test]
fn ring_is_the_old_one_or_the_new_one_when_a_roll_fails() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("kids.json");
    let keys = TokenKeys::open(&path, &MasterKey::new([4; 32]), NOW).unwrap();
    let before = std::fs::read(&path).unwrap();
    // Nothing can be written beside it: the name of the new file is taken by a folder.
    let obstacle = directory.path().join(".kids.json.new");
    std::fs::create_dir(&obstacle).unwrap();
    std::fs::write(obstacle.join("x"), "").unwrap();
    assert!(keys.roll("k1", Timestamp::from_seconds(NOW)).is_err());
    assert_eq!((keys.current().as_str(), std::fs::read(&path).unwrap()), ("k1", before));
    assert!(keys.seal(&claims()).is_ok());
}

#[test]
fn ring_does_not_grow_without_end() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("kids.json");
    let keys = TokenKeys::open(&path, &MasterKey::new([4; 32]), NOW).unwrap();
    let key = keys.ring().stored.keys[0].clone();
    keys.ring.write().unwrap().stored.keys = vec![key; MAX_KEYS];
    let refused = keys.roll("k1", Timestamp::from_seconds(NOW)).unwrap_err();
    assert!(matches!(refused, KeysError::TooManyTokenKeys), "{refused}");
    let stored = serde_json::to_vec_pretty(&keys.ring().stored).unwrap();
    assert!(stored.len() < 256 * 1_024, "{} bytes", stored.len());
}

#[test]
fn every_shortened_or_lengthened_tag_is_refused() {
    let fixture = fixture();
    let token = fixture.sealed();
    let (head, tag) = token.rsplit_once('.').unwrap();
    let tag = from_base64url(tag).unwrap();
    for length in 0..tag.len() {
        let forged = format!("{head}.{}", base64url(&tag[..length]));
        assert_eq!(fixture.open(&forged).unwrap_err(), OpenError, "tag of {length} bytes");
    }
    let longer = format!("{head}.{}", base64url(&[tag.as_slice(), &[0]].concat()));
    assert_eq!(fixture.open(&longer).unwrap_err(), OpenError);
}

#[test]
fn token_changed_or_cut_at_any_character_is_refused() {
    let fixture = fixture();
    let token = fixture.sealed();
    for at in 0..token.len() {
        let mut forged = token.clone().into_bytes();
        forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
        let forged = String::from_utf8(forged).unwrap();
        assert_eq!(fixture.open(&forged).unwrap_err(), OpenError, "character {at}");
        assert_eq!(fixture.open(&token[..at]).unwrap_err(), OpenError, "cut at {at}");
    }
}

#[test]
fn headers_other_than_ours_are_refused_even_when_our_key_encrypted_them() {
    let fixture = fixture();
    let payload = serde_json::to_vec(&whole()).unwrap();
    let headers = [
        r#"{"alg":"none","enc":"A256GCM","kid":"k1","typ":"bst+jwt"}"#,
        r#"{"alg":"A256KW","enc":"A256GCM","kid":"k1","typ":"bst+jwt"}"#,
        r#"{"alg":"A256GCMKW","enc":"A256GCM","kid":"k1","typ":"bst+jwt"}"#,
        r#"{"alg":"ECDH-ES","enc":"A256GCM","kid":"k1","typ":"bst+jwt"}"#,
        r#"{"alg":"HS256","enc":"A256GCM","kid":"k1","typ":"bst+jwt"}"#,
        r#"{"alg":"PBES2-HS512+A256KW","enc":"A256GCM","kid":"k1","p2c":2000000000,"p2s":"AAAA","typ":"bst+jwt"}"#,
        r#"{"alg":"dir","enc":"A128GCM","kid":"k1","typ":"bst+jwt"}"#,
        r#"{"alg":"dir","enc":"A256CBC-HS512","kid":"k1","typ":"bst+jwt"}"#,
        r#"{"alg":"dir","enc":"A256GCM","kid":"k2","typ":"bst+jwt"}"#,
        r#"{"alg":"dir","enc":"A256GCM","kid":"","typ":"bst+jwt"}"#,
        r#"{"alg":"dir","enc":"A256GCM","typ":"bst+jwt"}"#,
        r#"{"alg":"dir","enc":"A256GCM","kid":"k1"}"#,
        r#"{"alg":"dir","enc":"A256GCM","kid":"k1","typ":"JWT"}"#,
        r#"{"alg":"dir","enc":"A256GCM","kid":"k1","typ":"bst+jwt","zip":"DEF"}"#,
        r#"{"alg":"dir","enc":"A256GCM","kid":"k1","typ":"bst+jwt","crit":["b64"],"b64":false}"#,
        r#"{"alg":"dir","enc":"A256GCM","kid":"k1","kid":"k1","typ":"bst+jwt"}"#,
        r#"{"alg":"none","alg":"dir","enc":"A256GCM","kid":"k1","typ":"bst+jwt"}"#,
        r#"{"alg":"dir","enc":"A256GCM","kid":"k1","typ":"bst+jwt","jku":"https://evil"}"#,
        r#"{"alg":"dir","enc":"A256GCM","kid":"k1","typ":"bst+jwt","epk":{}}"#,
        r#" {"alg":"dir","enc":"A256GCM","kid":"k1","typ":"bst+jwt"}"#,
        "{}",
        "not json",
    ];
    for header in headers {
        let forged = fixture.with_header(header, &payload);
        assert_eq!(fixture.open(&forged).unwrap_err(), OpenError, "{header}");
    }
}

#[test]
fn bomb_is_refused_before_it_is_inflated() {
    let fixture = fixture();
    let header = r#"{"alg":"dir","enc":"A256GCM","kid":"k1","typ":"bst+jwt","zip":"DEF"}"#;
    let bomb = fixture.with_header(header, &vec![0; 200_000]);
    assert_eq!(fixture.open(&bomb).unwrap_err(), OpenError);
    // The second wall: josekit itself no longer knows how to inflate.
    assert!(fixture.keys.context.get_compression("DEF").is_none());
}

#[test]
fn wrong_number_of_parts_is_refused() {
    let fixture = fixture();
    let token = fixture.sealed();
    let second_part = token.replacen("..", ".AAAA.", 1);
    let signed = "eyJhbGciOiJub25lIn0.e30.".to_owned();
    for forged in
        [format!("{token}.AAAA"), format!("{token}."), second_part, signed, String::new(), "....".into()]
    {
        assert_eq!(fixture.open(&forged).unwrap_err(), OpenError, "{forged}");
    }
}

#[test]
fn authentic_token_without_a_required_claim_is_refused() {
    let fixture = fixture();
    for name in ["jti", "iat", "exp", "iss", "aud", "by"] {
        let mut claims = whole();
        claims.as_object_mut().unwrap().remove(name);
        assert_eq!(fixture.open(&fixture.with_claims(&claims)).unwrap_err(), OpenError, "{name}");
    }
    for (name, value) in
        [("exp", json!("never")), ("exp", json!(-1)), ("exp", json!(null)), ("aud", json!(["reg"]))]
    {
        let mut claims = whole();
        claims[name] = value.clone();
        assert_eq!(fixture.open(&fixture.with_claims(&claims)).unwrap_err(), OpenError, "{name}={value}");
    }
}

#[test]
fn token_too_long_for_a_command_line_is_not_made() {
    let mut long = claims();
    long.c = json!({"serial": vec!["a-rather-long-serial-number"; 30]});
    let error = fixture().keys.seal(&long).unwrap_err().to_string();
    assert!(error.contains("at most 768 fit a kernel command line"), "{error}");
}

static FIXTURE: std::sync::LazyLock<Fixture> = std::sync::LazyLock::new(fixture);

proptest! {
    #[test]
    fn opening_is_total(text in "[A-Za-z0-9._=-]{0,1100}") {
        prop_assert!(FIXTURE.open(&text).is_err());
    }
}
