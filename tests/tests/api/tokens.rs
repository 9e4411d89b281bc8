//! Bootstrap tokens: they register a machine without a person, and do nothing else
//! (`spec/security.md` 3).

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use protocol::agent_api::{Approved, Refusal, RefusalKind};
use protocol::cmdline::KernelArgs;
use protocol::rest::{ProvisionState, Token, TokenCreate, TokenState};
use protocol::token::{base64url, from_base64url};
use tests::machine::Machine;
use tests::muster::Server;
use tests::operator::Answer;

use crate::Site;

pub(crate) fn refusal(answer: &Answer) -> (u16, RefusalKind) {
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
        assert!(shown.own.online && shown.own.provision_state == ProvisionState::Discovery);
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

fn terms(lifetime: u64) -> TokenCreate {
    TokenCreate { lifetime, ..TokenCreate::default() }
}

#[test]
fn a_line_that_no_kernel_holds_is_refused_with_its_length() {
    let mut builder = Server::builder("tokens-length");
    for number in 0..8 {
        builder = builder.advertise(&format!("https://{number}.{}.example:{{port}}", "a".repeat(60)));
    }
    let mut site = Site::of(builder.start().unwrap());
    // As many serial numbers as a token has room for, and one more.
    let serials =
        |count: u32| TokenCreate { serial: (0..count).map(|n| format!("SIM{n:08}")).collect(), ..terms(600) };
    let mut longest = site.operator.issue(&serials(1)).unwrap();
    let mut count = 1;
    let refused = loop {
        count += 1;
        let answer = site.operator.post("/api/v3/bootstrap/tokens", &serials(count)).unwrap();
        if answer.status != 201 {
            break answer;
        }
        longest = answer.json().unwrap();
    };
    assert_eq!(refused.status, 422, "{}", refused.text());
    assert!(refused.text().contains("at most 768 fit a kernel command line"), "{}", refused.text());
    assert!((700..=768).contains(&longest.token.len()), "{} characters", longest.token.len());
    assert!(
        longest.kernel_args.len() <= 2_047 && KernelArgs::parse(&longest.kernel_args).problems.is_empty()
    );
    assert_eq!(site.machine().try_register(&longest.token).unwrap().status, 201);
}

#[test]
fn a_line_with_too_many_servers_is_refused_and_never_cut() {
    let mut builder = Server::builder("tokens-servers");
    for number in 0..16 {
        builder = builder.advertise(&format!("https://{number}.{0}.{0}.example:{{port}}", "a".repeat(60)));
    }
    let site = Site::of(builder.start().unwrap());
    let refused = site.operator.post("/api/v3/bootstrap/tokens", &terms(600)).unwrap();
    assert_eq!(refused.status, 422);
    let told = refused.text();
    let number = told.split("kernel command line has ").nth(1).and_then(|rest| rest.split(' ').next());
    assert!(number.is_some_and(|number| number.parse::<usize>().unwrap() > 2_047), "{told}");
    assert!(told.contains("loaders carry at most 2047"), "{told}");
    // Nothing was issued.
    assert_eq!(site.operator.get("/api/v3/bootstrap/tokens").unwrap().json::<Vec<Token>>().unwrap(), []);
}

#[test]
fn a_token_registers_exactly_as_many_machines_as_it_may() {
    let mut site = Site::start("tokens-max");
    let token = site.operator.issue(&TokenCreate { max_uses: Some(7), ..terms(600) }).unwrap();
    let machines: Vec<Machine> = (0..20).map(|_| site.machine()).collect();
    let answers = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for mut machine in machines {
            let (answers, token) = (&answers, &token.token);
            scope.spawn(move || {
                let answer = machine.try_register(token).unwrap();
                answers.lock().unwrap().push((machine, answer));
            });
        }
    });
    let (registered, refused): (Vec<_>, Vec<_>) =
        answers.into_inner().unwrap().into_iter().partition(|(_, answer)| answer.status == 201);
    assert_eq!((registered.len(), refused.len()), (7, 13));
    for (_, answer) in &refused {
        assert_eq!(refusal(answer), (403, RefusalKind::ConstraintFailed));
    }
    assert_eq!(site.operator.machines().unwrap().len(), 7);
    let listed: Vec<Token> = site.operator.get("/api/v3/bootstrap/tokens").unwrap().json().unwrap();
    assert_eq!((listed[0].uses, listed[0].state), (7, TokenState::UsedUp));
    // Whoever was registered is so still.
    for (mut machine, _) in registered {
        assert_eq!(machine.try_register(&token.token).unwrap().status, 201);
    }
}

#[test]
fn constraints_admit_their_own_and_tell_nobody_which_one_failed() {
    let mut site = Site::start("tokens-constraints");
    let mut insider = site.machine();
    let own = insider.inventory.clone();
    let cidr = |network: &str| TokenCreate { cidr: vec![network.parse().unwrap()], ..terms(600) };
    let mac = |mac| TokenCreate { mac: vec![mac], ..terms(600) };
    let uuid = |uuid: &str| TokenCreate { uuid: vec![uuid.to_owned()], ..terms(600) };
    let serial = |serial: &str| TokenCreate { serial: vec![serial.to_owned()], ..terms(600) };
    let foreign = protocol::ids::MacAddr([2; 6]);
    let mut told = BTreeSet::new();
    for terms in
        [cidr("10.0.0.0/8"), mac(foreign), uuid("4c4c4544-0058-4b10-8032-b7c04f4d3333"), serial("OTHER")]
    {
        let token = site.operator.issue(&terms).unwrap().token;
        let answer = insider.try_register(&token).unwrap();
        assert_eq!(refusal(&answer), (403, RefusalKind::ConstraintFailed), "{terms:?}");
        told.insert(answer.json::<Refusal>().unwrap().message);
    }
    assert_eq!(told.len(), 1, "{told:?}");
    let matching = [cidr("127.1.0.0/16"), mac(own.links[0].mac), uuid(&own.system_uuid), serial(&own.serial)];
    for terms in matching {
        let token = site.operator.issue(&terms).unwrap().token;
        assert_eq!(insider.try_register(&token).unwrap().status, 201, "{terms:?}");
    }
}

#[test]
fn a_token_may_leave_the_approval_to_an_operator() {
    let mut site = Site::start("tokens-approval");
    let token = site.operator.issue(&TokenCreate { require_approval: true, ..terms(600) }).unwrap().token;
    let mut machine = site.machine();
    let answer = machine.try_register(&token).unwrap();
    assert_eq!(refusal(&answer), (403, RefusalKind::ApprovalRequired));
    let pending = machine.enroll().unwrap();
    let approved = site.operator.approve(&pending.code.unwrap().to_string()).unwrap();
    assert_eq!(machine.collect(pending.id).unwrap().machine.uuid, approved.uuid);
}

#[test]
fn machines_begin_where_their_token_places_them() {
    let mut site = Site::start("tokens-placement");
    let home = serde_json::json!({ "Name": "home", "Cidrs": ["10.98.0.0/24"] });
    site.operator.post("/api/v3/meshes", &home).unwrap().expect::<serde_json::Value>(201).unwrap();
    let placed = TokenCreate { roles: vec!["web".to_owned()], mesh_network: "home".to_owned(), ..terms(600) };
    let token = site.operator.issue(&placed).unwrap().token;
    let approved: Approved = site.machine().try_register(&token).unwrap().expect(201).unwrap();
    let shown = site.operator.machine(&approved.machine.uuid.to_string()).unwrap();
    assert_eq!((shown.own.roles, shown.own.mesh_network.as_str()), (vec!["web".to_owned()], "home"));
}

#[test]
fn a_token_that_nobody_understands_is_not_made() {
    let site = Site::start("tokens-terms");
    for (body, status) in [
        (serde_json::json!({ "Lifetime": 600, "Cidrs": ["10.0.0.0/8"] }), 400),
        (serde_json::json!({ "Lifetime": 600, "Cidr": ["10.0.0.0/40"] }), 400),
        (serde_json::json!({ "Lifetime": 600, "MaxUses": 0 }), 422),
        (serde_json::json!({ "Lifetime": 600, "Roles": ["../admin"] }), 422),
        (serde_json::json!({ "Lifetime": 31_536_001 }), 422),
        (serde_json::json!({}), 400),
    ] {
        let answer = site.operator.post("/api/v3/bootstrap/tokens", &body).unwrap();
        assert_eq!(answer.status, status, "{body}: {}", answer.text());
    }
}

#[test]
fn ten_machines_with_the_same_junk_identity_become_ten() {
    let mut site = Site::start("tokens-junk");
    let token = site.operator.create_token(600).unwrap().token;
    let mut ids = BTreeSet::new();
    for _ in 0..10 {
        let mut machine = site.machine();
        machine.inventory.serial = "To be filled by O.E.M.".to_owned();
        machine.inventory.board_serial = "Default string".to_owned();
        machine.inventory.system_uuid = "03000200-0400-0500-0006-000700080009".to_owned();
        let approved: Approved = machine.try_register(&token).unwrap().expect(201).unwrap();
        machine.acknowledge(&approved).unwrap();
        ids.insert(approved.machine.uuid);
    }
    assert_eq!(ids.len(), 10);
    assert_eq!(site.operator.machines().unwrap().len(), 10);
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
        assert!(told.iter().min().unwrap() < &Duration::from_secs(2), "{what}: {told:?}");
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
    // It never takes over a machine that exists: who looks like one that is alive is told to wait.
    let mut machine = site.machine();
    let first: Approved = machine.try_register(&token).unwrap().expect(201).unwrap();
    let mut twin = Machine::calling_from(&site.target, 1, crate::source(1)).unwrap();
    assert_eq!(refusal(&twin.try_register(&token).unwrap()), (429, RefusalKind::SlowDown));
    machine.acknowledge(&first).unwrap();
    machine.heartbeat().unwrap();
}
