//! Bootstrap tokens: they register a machine without a person, and do nothing else
//! (`spec/security.md` 3).

use std::time::{Duration, Instant};

use protocol::agent_api::{Approved, Refusal, RefusalKind};
use protocol::cmdline::KernelArgs;
use protocol::rest::ProvisionState;
use protocol::token::{base64url, from_base64url};
use tests::operator::Answer;

use crate::Site;

fn refusal(answer: &Answer) -> (u16, RefusalKind) {
    let refusal: Refusal = answer.json().unwrap();
    (answer.status, refusal.error)
}

#[test]
fn a_token_registers_any_number_of_machines_without_a_person() {
    let mut site = Site::start("tokens-register");
    let token = site.operator.create_token(600).unwrap();
    for _ in 0..2 {
        let mut machine = site.machine();
        let answer = machine.try_register(&token.token).unwrap();
        let approved: Approved = answer.expect(201).unwrap();
        machine.acknowledge(&approved).unwrap();
        machine.heartbeat().unwrap();
        let shown = site.operator.machine(&approved.machine.uuid.to_string()).unwrap();
        assert!(shown.online && shown.provision_state == ProvisionState::Discovery);
        // The same machine again, its answer lost: the same object.
        let again: Approved = machine.try_register(&token.token).unwrap().json().unwrap();
        assert_eq!(again.machine.uuid, approved.machine.uuid);
    }
    assert_eq!(site.operator.machines().unwrap().len(), 2);
}

#[test]
fn kernel_arguments_say_where_the_server_is_and_fit() {
    let site = Site::start("tokens-args");
    let info = site.operator.info().unwrap();
    for lifetime in protocol::rest::TOKEN_LIFETIMES {
        let token = site.operator.create_token(lifetime).unwrap();
        assert!(token.token.len() <= 768, "{} characters", token.token.len());
        let args = KernelArgs::parse(&token.kernel_args);
        assert_eq!(args.problems, Vec::<String>::new());
        assert_eq!(args.token.unwrap().reveal(), token.token);
        assert_eq!(args.servers.iter().map(ToString::to_string).collect::<Vec<_>>(), info.advertise);
        assert_eq!(args.ca_hash.iter().map(ToString::to_string).collect::<Vec<_>>(), info.ca_hash);
        for menu in [&token.menus.pxelinux, &token.menus.grub, &token.menus.ipxe] {
            assert!(menu.contains(&token.kernel_args), "a menu entry without the arguments: {menu}");
        }
    }
    assert_eq!(
        site.operator
            .post("/api/v3/bootstrap/tokens", &serde_json::json!({ "Lifetime": 601 }))
            .unwrap()
            .status,
        422
    );
}

/// Forgeries of `token`: JOSE's classics and plain damage.
fn forgeries(token: &str) -> Vec<(String, String)> {
    let parts: Vec<&str> = token.split('.').collect();
    let [header, key, iv, text, tag] = parts[..] else { panic!("not a compact JWE") };
    let shown = String::from_utf8(from_base64url(header).unwrap()).unwrap();
    let with_header = |json: &str| format!("{}.{key}.{iv}.{text}.{tag}", base64url(json.as_bytes()));
    let mut forged = Vec::new();
    let mut add = |what: &str, token: String| forged.push((what.to_owned(), token));
    for (what, from, to) in [
        ("alg none", "\"dir\"", "\"none\""),
        ("alg A256KW", "\"dir\"", "\"A256KW\""),
        ("alg ECDH-ES", "\"dir\"", "\"ECDH-ES\""),
        ("alg PBES2", "\"dir\"", "\"PBES2-HS256+A128KW\",\"p2c\":2000000000"),
        ("enc CBC", "A256GCM", "A128CBC-HS256"),
        ("compressed", "\"alg\"", "\"zip\":\"DEF\",\"alg\""),
        ("critical", "\"alg\"", "\"crit\":[\"exp\"],\"alg\""),
        ("alg twice", "\"alg\"", "\"alg\":\"dir\",\"alg\""),
        ("another type", "bst+jwt", "JWT"),
    ] {
        assert!(shown.contains(from), "{shown} has no {from}");
        add(what, with_header(&shown.replacen(from, to, 1)));
    }
    for (index, length) in [(3, text.len() / 2), (4, 4), (4, 8), (4, 16), (4, 21)] {
        let mut cut = parts.clone();
        cut[index] = &cut[index][..length];
        add(&format!("part {index} cut to {length}"), cut.join("."));
    }
    for index in [0, 2, 3, 4] {
        let mut bytes = from_base64url(parts[index]).unwrap();
        bytes[0] ^= 1;
        let changed = base64url(&bytes);
        let mut damaged = parts.clone();
        damaged[index] = &changed;
        add(&format!("bit of part {index} flipped"), damaged.join("."));
    }
    add("empty", String::new());
    add("six parts", format!("{token}.AAAA"));
    add("encrypted key", format!("{header}.AAAA.{iv}.{text}.{tag}"));
    add("too long", format!("{header}..{iv}.{}.{tag}", "A".repeat(4_096)));
    add("other characters", format!("{header}..{iv}.{text}+/.{tag}"));
    forged
}

#[test]
fn forged_tokens_are_refused_fast_and_alike() {
    let mut site = Site::start("tokens-forged");
    let token = site.operator.create_token(600).unwrap().token;
    for (what, forged) in forgeries(&token) {
        // Each from a source of its own: the point is the token, not the rate limit.
        let mut machine = site.machine();
        let mut told = Vec::new();
        for _ in 0..2 {
            let start = Instant::now();
            let answer = machine.try_register(&forged).unwrap();
            assert_eq!(refusal(&answer), (401, RefusalKind::InvalidToken), "{what}");
            told.push(start.elapsed());
        }
        assert!(told.iter().min().unwrap() < &Duration::from_millis(250), "{what}: {told:?}");
    }
    assert!(site.operator.machines().unwrap().is_empty());
}

#[test]
fn a_bootstrap_token_opens_no_other_door() {
    let mut site = Site::start("tokens-doors");
    let token = site.operator.create_token(600).unwrap().token;
    let anonymous = tests::operator::Operator::anonymous(&site.server.url(), &site.target.ca_pem).unwrap();
    for path in
        ["/api/v3/machines", "/api/v3/users/admin/token", "/api/v3/bootstrap/enrollments", "/api/v3/session"]
    {
        for scheme in ["Bearer", "DPoP"] {
            let request = anonymous.request(reqwest::Method::GET, path);
            let answer =
                anonymous.send(request.header("authorization", format!("{scheme} {token}"))).unwrap();
            assert!(matches!(answer.status, 401 | 403), "{scheme} on {path}: {}", answer.status);
        }
    }
    // It never takes over a machine that exists: a new key with known hardware is a new object.
    let mut machine = site.machine();
    let first: Approved = machine.try_register(&token).unwrap().expect(201).unwrap();
    let mut twin = tests::machine::Machine::calling_from(&site.target, 1, crate::source(1)).unwrap();
    let answer = twin.try_register(&token).unwrap();
    if let Ok(second) = answer.json::<Approved>() {
        assert_ne!(second.machine.uuid, first.machine.uuid);
    } else {
        assert!(matches!(answer.status, 202 | 401 | 403 | 409), "{}", answer.text());
    }
}
