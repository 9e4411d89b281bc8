//! Claims and constraints: who is admitted, who is not, and what no token can say.

use super::*;
use proptest::prelude::*;
use protocol::inventory::Link;
use serde_json::json;

const UUID: &str = "4c4c4544-0058-4b10-8032-b7c04f4d3333";

fn claims() -> BootstrapClaims {
    BootstrapClaims {
        iss: "dc1".into(),
        aud: "reg".into(),
        jti: "j".into(),
        iat: 1_000,
        exp: 1_600,
        by: "user:admin".into(),
        role: vec![],
        net: String::new(),
        appr: false,
        c: serde_json::Value::Null,
    }
}

fn inventory() -> Inventory {
    let link = Link::new("eth0", "52:54:00:12:34:56".parse().unwrap());
    Inventory {
        serial: "7XK21M3".into(),
        system_uuid: UUID.into(),
        links: vec![link],
        ..Inventory::default()
    }
}

fn decide_at(
    claims: &BootstrapClaims,
    revoked: Option<&'static str>,
    now: Timestamp,
) -> Result<Admission, Refused> {
    let inventory = inventory();
    let source = "10.20.4.17".parse().unwrap();
    admit(claims, &Applicant { server_id: "dc1", inventory: &inventory, source, revoked, now })
}

fn decide(claims: &BootstrapClaims, second: u64) -> Result<Admission, Refused> {
    decide_at(claims, None, Timestamp::from_seconds(second))
}

fn request() -> TokenCreate {
    TokenCreate { lifetime: 600, ..TokenCreate::default() }
}

#[test]
fn token_admits_until_the_second_it_expires() {
    let anywhere = Admission { max: None, placement: Placement::default() };
    assert_eq!(decide(&claims(), 1_000), Ok(anywhere.clone()));
    assert_eq!(decide(&claims(), 1_599), Ok(anywhere.clone()));
    assert_eq!(decide(&claims(), 1_600), Err(Refused::Expired));
    // Another server's clock may be a little ahead of ours.
    assert_eq!(decide(&claims(), 995), Ok(anywhere));
    assert_eq!(decide(&claims(), 994), Err(Refused::Foreign));
}

#[test]
fn token_of_another_server_audience_or_lifetime_is_foreign() {
    for claims in [
        BootstrapClaims { iss: "dc2".into(), ..claims() },
        BootstrapClaims { aud: "api".into(), ..claims() },
        BootstrapClaims { exp: 1_000 + 31_536_001, ..claims() },
        BootstrapClaims { exp: 999, ..claims() },
    ] {
        assert_eq!(decide(&claims, 1_001), Err(Refused::Foreign), "{claims:?}");
    }
}

#[test]
fn revoked_and_unapproved_tokens_do_not_admit() {
    let revoked = decide_at(&claims(), Some("by hand"), Timestamp::from_seconds(1_001)).unwrap_err();
    assert_eq!(revoked.to_string(), "bootstrap token was revoked: by hand");
    assert_eq!(decide(&BootstrapClaims { appr: true, ..claims() }, 1_001), Err(Refused::NeedsApproval));
    // Who is not covered learns that first: an operator need not be bothered.
    let elsewhere = BootstrapClaims { appr: true, c: json!({"cidr": ["10.21.0.0/16"]}), ..claims() };
    assert!(matches!(decide(&elsewhere, 1_001), Err(Refused::Constraint(_))));
}

#[test]
fn placement_goes_with_the_admission() {
    let placed = BootstrapClaims { role: vec!["web".into()], net: "home".into(), ..claims() };
    let placement = Placement { roles: vec!["web".into()], mesh_network: "home".into() };
    assert_eq!(decide(&placed, 1_001), Ok(Admission { max: None, placement }));
}

#[test]
fn constraints_are_kept_and_unknown_ones_refuse() {
    for (constraints, admitted) in [
        (json!({}), true),
        (json!({"cidr": ["10.20.0.0/16", "fd00::/8"], "max": 5}), true),
        (json!({"cidr": ["10.21.0.0/16"]}), false),
        (json!({"cidr": ["0.0.0.0/0"]}), true),
        (json!({"mac": ["52:54:00:12:34:56"]}), true),
        (json!({"mac": ["52:54:00:12:34:57"]}), false),
        (json!({"serial": ["7xk21m3"]}), true),
        (json!({"serial": ["other"]}), false),
        (json!({"uuid": [UUID.to_uppercase()]}), true),
        (json!({"uuid": ["4c4c4544-0058-4b10-8032-b7c04f4d4444"]}), false),
        (json!({"tpm": ["x"]}), false),
        (json!({"cidr": "10.0.0.0/8"}), false),
        (json!({"cidr": ["10.0.0.0/33"]}), false),
        (json!([]), false),
        (json!({"mac": vec!["52:54:00:12:34:56"; 65]}), false),
    ] {
        let result = decide(&BootstrapClaims { c: constraints.clone(), ..claims() }, 1_001);
        assert_eq!(result.is_ok(), admitted, "{constraints}");
    }
}

#[test]
fn claims_without_a_required_member_are_not_claims() {
    let whole = serde_json::to_value(claims()).unwrap();
    for member in ["iss", "aud", "jti", "iat", "exp", "by"] {
        let mut cut = whole.clone();
        cut.as_object_mut().unwrap().remove(member);
        assert!(serde_json::from_value::<BootstrapClaims>(cut).is_err(), "{member}");
    }
    assert_eq!(serde_json::from_value::<BootstrapClaims>(whole).unwrap(), claims());
}

#[test]
fn terms_are_what_was_asked_for() {
    let asked = TokenCreate {
        cidr: vec!["10.20.0.0/16".parse().unwrap()],
        max_uses: Some(5),
        serial: vec!["7XK21M3".into()],
        uuid: vec![UUID.into()],
        roles: vec!["web".into(), "db_1".into()],
        mesh_network: "home".into(),
        ..request()
    };
    let terms = Terms::parse(asked).unwrap();
    assert_eq!(
        terms.constraints.claim().unwrap(),
        json!({"cidr": ["10.20.0.0/16"], "max": 5, "uuid": [UUID], "serial": ["7XK21M3"]})
    );
    assert_eq!(terms.placement.roles, ["web", "db_1"]);
    let json = serde_json::to_string(&terms).unwrap();
    assert_eq!(serde_json::from_str::<Terms>(&json).unwrap(), terms);
    let plain = Terms::parse(request()).unwrap();
    assert_eq!((plain.constraints.claim().unwrap(), plain.needs_approval), (serde_json::Value::Null, false));
}

#[test]
fn terms_that_no_token_is_made_on_are_told_with_the_remedy() {
    let lifetimes = "[600, 86400, 604800, 2592000, 7776000, 31536000]";
    let role = |name: &str| TokenCreate { roles: vec![name.into()], ..request() };
    let name_rule = "use 1 to 64 letters, digits, dots, dashes and underscores, a letter or digit first";
    for (asked, told) in [
        (
            TokenCreate { lifetime: 601, ..request() },
            format!("lifetime of 601 s is not offered; choose one of {lifetimes} s"),
        ),
        (
            TokenCreate { mac: vec!["52:54:00:12:34:56".parse().unwrap(); 65], ..request() },
            "Mac has 65 entries, at most 64 are taken".to_owned(),
        ),
        (
            TokenCreate { roles: vec!["a".into(); 17], ..request() },
            "Roles has 17 entries, at most 16 are taken".to_owned(),
        ),
        (
            TokenCreate { max_uses: Some(0), ..request() },
            "MaxUses is 0, so nobody could use the token; leave it out for any number of machines".to_owned(),
        ),
        (
            TokenCreate { uuid: vec!["4c4c4544".into()], ..request() },
            format!("\"4c4c4544\" is no system UUID; write 36 characters such as {UUID}"),
        ),
        (
            TokenCreate { serial: vec![" x".into()], ..request() },
            "\"x\" is no serial number; write 1 to 128 printable ASCII characters".to_owned(),
        ),
        (role("web server"), format!("role \"web server\" is no name; {name_rule}")),
        (role(""), format!("role \"\" is no name; {name_rule}")),
        (
            TokenCreate { mesh_network: "-x".into(), ..request() },
            format!("mesh network \"-x\" is no name; {name_rule}"),
        ),
        (
            TokenCreate { require_approval: true, ..role("web") },
            "RequireApproval leaves roles and mesh network to whoever approves; leave them out of the token"
                .to_owned(),
        ),
    ] {
        assert_eq!(Terms::parse(asked).unwrap_err().to_string(), told);
    }
}

/// One member of a constraint that admits the machine of [`inventory`], or does not.
fn member() -> impl Strategy<Value = (&'static str, serde_json::Value, bool)> {
    prop_oneof![
        Just(("cidr", json!(["10.20.0.0/16"]), true)),
        Just(("cidr", json!(["192.0.2.0/24"]), false)),
        Just(("mac", json!(["52:54:00:12:34:56", "52:54:00:00:00:01"]), true)),
        Just(("mac", json!(["52:54:00:00:00:01"]), false)),
        Just(("uuid", json!([UUID]), true)),
        Just(("uuid", json!([""]), false)),
        Just(("serial", json!(["7XK21M3"]), true)),
        Just(("serial", json!(["nobody"]), false)),
        Just(("max", json!(3), true)),
        "[a-z]{1,6}".prop_filter_map("a member we know", |name| {
            let known = ["cidr", "mac", "max", "uuid", "serial"];
            (!known.contains(&name.as_str())).then_some(("unknown", json!(name), false))
        }),
    ]
}

proptest! {
    #[test]
    fn token_admits_only_while_everything_it_says_holds(
        members in proptest::collection::vec(member(), 0..5),
        (iat, lifetime, now) in (0_u64..40_000_000, 0_u64..40_000_000, 0_u64..90_000_000),
        (foreign, revoked, appr) in (any::<bool>(), any::<bool>(), any::<bool>()),
    ) {
        let mut constraints = serde_json::Map::new();
        for (name, value, _) in &members {
            let name = if *name == "unknown" { value.as_str().unwrap_or_default() } else { name };
            constraints.insert(name.to_owned(), value.clone());
        }
        let kept = constraints.iter().all(|(name, value)| {
            members.iter().any(|(member, known, holds)| member == name && known == value && *holds)
        });
        let claims = BootstrapClaims {
            iss: if foreign { "dc2" } else { "dc1" }.into(),
            iat,
            exp: iat + lifetime,
            appr,
            c: constraints.into(),
            ..claims()
        };
        let admitted = decide_at(&claims, revoked.then_some("by hand"), Timestamp::from_seconds(now)).is_ok();
        let in_time = now + 5 >= iat && now < iat + lifetime && lifetime <= 31_536_000;
        prop_assert_eq!(admitted, in_time && kept && !foreign && !revoked && !appr);
    }

    #[test]
    fn reading_constraints_is_total(text in "[\\[\\]{}\":,a-z0-9./]{0,80}") {
        if let Ok(value) = serde_json::from_str::<serde_json::Value>(&text) {
            let parsed = Constraints::parse(&value);
            prop_assert!(parsed.is_ok() || matches!(parsed, Err(Refused::Constraint(_))));
        }
    }
}
