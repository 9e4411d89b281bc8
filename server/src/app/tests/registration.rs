//! Registration by token.

use super::*;
use engine::admission::BootstrapClaims;
use protocol::rest::{DenyRequest, TOKEN_LIFETIMES, TokenCreate, TokenCreated};

impl TestApp {
    pub(super) async fn token(&self) -> TokenCreated {
        self.create_token(&admin(), TokenCreate { lifetime: 600, ..TokenCreate::default() }).await.unwrap()
    }

    /// A token with terms.
    pub(super) async fn token_for(&self, terms: TokenCreate) -> String {
        self.create_token(&admin(), TokenCreate { lifetime: 600, ..terms }).await.unwrap().token
    }

    /// A token with constraints that no operator can ask for.
    fn sealed_with(&self, constraints: serde_json::Value) -> String {
        let now = self.now().as_seconds();
        let claims = BootstrapClaims {
            iss: self.keys.server_id().into(),
            aud: "reg".into(),
            jti: "by-hand".into(),
            iat: now,
            exp: now + 600,
            by: "user:admin".into(),
            role: vec![],
            net: String::new(),
            appr: false,
            c: constraints,
        };
        self.keys.seal(&claims).unwrap().token.reveal().to_owned()
    }

    pub(super) async fn try_register(&self, machine: &Bare, token: &str) -> Result<Approved, AppError> {
        self.register(&machine.caller(), machine.registration(token)).await
    }
}

#[tokio::test]
async fn token_registers_without_a_person_and_twice_is_the_same_machine() {
    let app = TestApp::start().await;
    let token = app.token().await.token;
    let machine = Bare::number(1);
    let first = app.try_register(&machine, &token).await.unwrap();
    let again = app.try_register(&machine, &token).await.unwrap();
    assert_eq!(first.machine, again.machine);
    let other = app.try_register(&Bare::number(2), &token).await.unwrap();
    assert_ne!(first.machine.uuid, other.machine.uuid);
    assert_eq!(app.count(AuditKind::TokenUsed).await, 2);
    app.access_token(&machine.caller()).await.unwrap();
    let shown = app.machine(&admin(), &first.machine.uuid.to_string()).await.unwrap();
    assert_eq!((shown.own.origin, shown.own.online), (Origin::Pxe, true));
}

#[tokio::test]
async fn every_lifetime_works_until_its_second_and_not_after() {
    for lifetime in TOKEN_LIFETIMES {
        let app = TestApp::start().await;
        let token = app
            .create_token(&admin(), TokenCreate { lifetime, ..TokenCreate::default() })
            .await
            .unwrap()
            .token;
        app.pass(lifetime - 1);
        app.try_register(&Bare::number(1), &token).await.unwrap();
        app.pass(1);
        let late = app.try_register(&Bare::number(2), &token).await;
        assert_eq!(refusal(late), refused_as(RefusalKind::TokenExpired), "{lifetime}");
    }
    let app = TestApp::start().await;
    let odd = app
        .create_token(&admin(), TokenCreate { lifetime: 601, ..TokenCreate::default() })
        .await
        .unwrap_err();
    assert_eq!(odd.kind, AppErrorKind::Invalid);
}

#[tokio::test]
async fn expired_token_stays_expired_when_the_clock_jumps_back() {
    let app = TestApp::start().await;
    let token = app.token().await.token;
    app.pass(600);
    app.create_token(&admin(), TokenCreate { lifetime: 600, ..TokenCreate::default() }).await.unwrap();
    let TestApp { app, directory, .. } = app;
    drop(app);
    let app = TestApp::start_in(directory, Clock::manual(START)).await;
    let late = app.try_register(&Bare::number(1), &token).await;
    assert_eq!(refusal(late), refused_as(RefusalKind::TokenExpired));
}

#[tokio::test]
async fn damaged_and_foreign_tokens_are_invalid() {
    let app = TestApp::start().await;
    let mut damaged = app.token().await.token;
    let foreign = TestApp::start().await.token().await.token;
    damaged.truncate(damaged.len() - 1);
    for token in [damaged.as_str(), &foreign, "", "a.b.c"] {
        let refused = app.try_register(&Bare::number(1), token).await;
        assert_eq!(refusal(refused), refused_as(RefusalKind::InvalidToken));
    }
}

#[tokio::test]
async fn new_token_comes_with_everything_to_paste_and_is_not_stored() {
    let app = TestApp::start().await;
    let created = app.token().await;
    assert!(created.kernel_args.contains("muster.server=https://10.20.0.5:8092"));
    assert!(created.kernel_args.contains("muster.ca-hash=sha256:"));
    for text in [&created.kernel_args, &created.menus.pxelinux, &created.menus.grub, &created.menus.ipxe] {
        assert!(text.contains(&format!("muster.token={}", created.token)));
    }
    assert_eq!(created.expires_at, START.plus(600 * SECOND).to_string());
    let kept = app.store.token(&created.id).await.unwrap().unwrap();
    assert_eq!((kept.marks.by.as_str(), kept.marks.kid.as_str(), kept.uses), ("user:admin", "k1", 0));
    assert_eq!(app.audit_kinds().await, [AuditKind::TokenIssued]);
    let database = std::fs::read(app.directory.path().join("muster.db-wal")).unwrap();
    let secret = created.token.as_bytes();
    assert!(!database.windows(secret.len()).any(|window| window == secret));
}

#[tokio::test]
async fn token_never_registers_over_a_known_machine() {
    let app = TestApp::start().await;
    let machine = Bare::number(1);
    let known = app.registered(&machine).await;
    let token = app.token().await.token;
    let refused = app.try_register(&machine.reset(), &token).await.unwrap_err();
    assert_eq!(refused.kind, refused_as(RefusalKind::ConstraintFailed));
    assert_eq!(
        refused.message,
        format!("this machine looks like {}, so an operator must approve it", known.name)
    );
    assert_eq!(app.count(AuditKind::TokenRefused).await, 1);
}

#[tokio::test]
async fn constraints_hold_and_the_machine_learns_no_detail() {
    let app = TestApp::start().await;
    let plain = TokenCreate::default;
    let tokens = [
        app.token_for(TokenCreate { cidr: vec!["192.0.2.0/24".parse().unwrap()], ..plain() }).await,
        app.token_for(TokenCreate { mac: vec!["52:54:00:00:00:99".parse().unwrap()], ..plain() }).await,
        app.token_for(TokenCreate { serial: vec!["SN2".into()], ..plain() }).await,
        app.token_for(TokenCreate { uuid: vec![uuid::Uuid::nil().to_string()], ..plain() }).await,
        app.sealed_with(serde_json::json!({"tpm": true})),
    ];
    for (refusals, token) in (1..).zip(tokens) {
        let refused = app.try_register(&Bare::number(1), &token).await.unwrap_err();
        assert_eq!(refused.kind, refused_as(RefusalKind::ConstraintFailed));
        assert_eq!(refused.message, "bootstrap token does not cover this machine");
        assert_eq!(app.count(AuditKind::TokenRefused).await, refusals);
    }
    let once = TokenCreate { cidr: vec!["10.20.0.0/16".parse().unwrap()], max_uses: Some(1), ..plain() };
    let token = app.token_for(once).await;
    app.try_register(&Bare::number(1), &token).await.unwrap();
    app.try_register(&Bare::number(1), &token).await.unwrap();
    let second = app.try_register(&Bare::number(2), &token).await;
    assert_eq!(refusal(second), refused_as(RefusalKind::ConstraintFailed));
}

#[tokio::test]
async fn token_that_leaves_the_approval_to_an_operator_says_so() {
    let app = TestApp::start().await;
    let token = app.token_for(TokenCreate { require_approval: true, ..TokenCreate::default() }).await;
    let refused = app.try_register(&Bare::number(1), &token).await;
    assert_eq!(refusal(refused), refused_as(RefusalKind::ApprovalRequired));
    assert!(app.machines(&admin()).await.unwrap().is_empty());
    app.registered(&Bare::number(1)).await;
}

#[tokio::test]
async fn machine_begins_where_its_token_places_it() {
    let app = TestApp::start().await;
    let mesh = json!({"Name": "home", "Cidrs": ["10.20.0.0/16"]});
    app.create(&admin(), Kind::Meshes, &[], mesh).await.unwrap();
    let placed = TokenCreate {
        roles: vec!["web".into(), "db".into()],
        mesh_network: "home".into(),
        ..TokenCreate::default()
    };
    let token = app.token_for(placed).await;
    let id = app.try_register(&Bare::number(1), &token).await.unwrap().machine.uuid.to_string();
    let shown = app.machine(&admin(), &id).await.unwrap();
    assert_eq!(
        (shown.own.roles, shown.own.mesh_network.as_str()),
        (vec!["web".to_owned(), "db".to_owned()], "home")
    );
}

#[tokio::test]
async fn ten_machines_with_the_same_junk_identifiers_become_ten() {
    let app = TestApp::start().await;
    let token = app.token().await.token;
    let mut ids = std::collections::BTreeSet::new();
    for number in 1..=10 {
        let mut machine = Bare::number(number);
        machine.inventory.serial = "To be filled by O.E.M.".into();
        machine.inventory.system_uuid = "03000200-0400-0500-0006-000700080009".into();
        ids.insert(app.try_register(&machine, &token).await.unwrap().machine.uuid);
    }
    assert_eq!(ids.len(), 10);
}

#[tokio::test]
async fn one_address_registers_a_hundred_at_once() {
    let app = TestApp::start().await;
    let machine = Bare::number(1);
    for _ in 0..100 {
        assert_eq!(refusal(app.try_register(&machine, "x").await), refused_as(RefusalKind::InvalidToken));
    }
    assert_eq!(refusal(app.try_register(&machine, "x").await), refused_as(RefusalKind::SlowDown));
    assert_eq!(refusal(app.try_register(&Bare::number(2), "x").await), refused_as(RefusalKind::InvalidToken));
}

#[tokio::test]
async fn one_token_registers_two_hundred_at_once_wherever_they_are() {
    let app = TestApp::start().await;
    let token = app.token().await.token;
    let machine = Bare::number(1);
    let mut answers = Vec::new();
    for number in 0..201_u8 {
        let source = IpAddr::from([10, 20, 4, number]);
        answers.push(app.try_register(&Bare { source, ..machine.clone() }, &token).await);
    }
    let last = answers.pop().unwrap().unwrap_err();
    assert_eq!((last.kind, last.retry_after), (refused_as(RefusalKind::SlowDown), Some(1)));
    assert!(answers.iter().all(Result::is_ok));
    let other = app.token().await.token;
    app.try_register(&machine, &other).await.unwrap();
}

#[tokio::test]
async fn whole_server_registers_five_hundred_a_second() {
    let app = TestApp::start().await;
    let knock = async |number: u16| {
        let [high, low] = number.to_be_bytes();
        let machine = Bare { source: IpAddr::from([10, 21, high, low]), ..Bare::number(1) };
        app.try_register(&machine, "x").await.unwrap_err()
    };
    for number in 0..500 {
        assert_eq!(knock(number).await.kind, refused_as(RefusalKind::InvalidToken));
    }
    let busy = knock(500).await;
    assert_eq!(busy.kind, refused_as(RefusalKind::TemporarilyUnavailable));
    assert!(busy.retry_after.is_some_and(|seconds| (1..=10).contains(&seconds)), "{busy:?}");
    app.pass(1);
    assert_eq!(knock(501).await.kind, refused_as(RefusalKind::InvalidToken));
}

#[tokio::test]
async fn any_number_of_machines_with_one_default_name_registers() {
    let app = TestApp::start().await;
    let token = app.token().await.token;
    let mut names = std::collections::BTreeSet::new();
    for number in 1..=60 {
        let mut machine = Bare::number(number);
        machine.inventory.host_name = "localhost.localdomain".into();
        // Without any link, only the id tells the later ones apart.
        machine.inventory.links.clear();
        names.insert(app.try_register(&machine, &token).await.unwrap().machine.name);
    }
    assert_eq!(names.len(), 60);
}

#[tokio::test]
async fn denied_key_does_not_register_by_token_until_its_pause_is_over() {
    let app = TestApp::start().await;
    let token = app.token().await.token;
    let machine = Bare::number(1);
    let pending = app.wait_with_code(&machine).await;
    app.deny(&admin(), pending.id, DenyRequest::default()).await.unwrap();
    app.pass(599);
    let refused = app.try_register(&machine, &token).await.unwrap_err();
    assert_eq!((refused.kind, refused.retry_after), (refused_as(RefusalKind::AccessDenied), Some(1)));
    assert_eq!(app.count(AuditKind::TokenRefused).await, 1);
    assert!(app.machines(&admin()).await.unwrap().is_empty());
    app.pass(1);
    let token = app.token().await.token;
    app.try_register(&machine, &token).await.unwrap();
}

#[tokio::test]
async fn machine_that_registers_by_token_waits_no_longer_with_its_code() {
    let app = TestApp::start().await;
    let token = app.token().await.token;
    let machine = Bare::number(1);
    let pending = app.wait_with_code(&machine).await;
    let request = approval(&pending, &app.look_up(&pending).await);
    app.try_register(&machine, &token).await.unwrap();
    let code = pending.code.unwrap().to_string();
    assert_eq!(refusal(app.lookup(&admin(), &code).await), AppErrorKind::CodeNotFound);
    assert!(app.enrollments(&admin()).await.unwrap().is_empty());
    let approved = app.approve(&admin(), pending.id, request).await;
    assert_eq!(refusal(approved), AppErrorKind::AlreadyDecided);
    assert_eq!(app.count(AuditKind::EnrollmentCancelled).await, 1);
    assert_eq!(app.liveness.waiting(), 0);
    assert_eq!(app.machines(&admin()).await.unwrap().len(), 1);
}

/// The files of our media that `muster` boots.
fn lay_out_media(app: &TestApp) {
    let folder = app.directory.path().join("boot/muster");
    std::fs::create_dir_all(&folder).unwrap();
    for name in ["vmlinuz", "initrd"] {
        std::fs::write(folder.join(name), name).unwrap();
    }
}

#[tokio::test]
async fn machine_that_our_image_booted_boots_it_again_where_there_is_one() {
    let app = TestApp::start().await;
    let token = app.token().await.token;
    let boots = async |app: &TestApp, id: protocol::ids::MachineId| {
        app.machine(&admin(), &id.to_string()).await.unwrap().fields.boot_env
    };
    let first = Bare::number(1);
    let id = app.try_register(&first, &token).await.unwrap().machine.uuid;
    assert_eq!(boots(&app, id).await, "local", "there are no media");
    lay_out_media(&app);
    let app = app.killed_and_started().await;
    assert_eq!(boots(&app, id).await, "local", "nobody changes a machine behind its back");
    app.pass(60);
    assert_eq!(app.try_register(&first.reset(), &token).await.unwrap().machine.uuid, id);
    assert_eq!(boots(&app, id).await, "muster", "it came back by our image");

    let second = app.try_register(&Bare::number(2), &token).await.unwrap();
    assert_eq!(boots(&app, second.machine.uuid).await, "muster", "by token");
    let third = app.registered(&Bare::number(3)).await;
    assert_eq!(third.fields.boot_env, "muster", "by code");
    let installed = Bare::number(4);
    let request = RegisterRequest { origin: Origin::Cli, ..installed.registration(&token) };
    let fourth = app.register(&installed.caller(), request).await.unwrap();
    assert_eq!(boots(&app, fourth.machine.uuid).await, "local", "it has a system of its own");
    let shown = app.machine(&admin(), &id.to_string()).await.unwrap();
    assert!(shown.envelope.available && shown.fields.runnable, "{:?}", shown.envelope.errors);
}
