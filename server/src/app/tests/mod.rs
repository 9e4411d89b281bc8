//! Use cases on a real SQLite store, with a clock that stands still until it is moved.

mod agents;
mod approval;
mod boot;
mod ca;
mod enrollment;
mod images;
mod install;
mod limits;
mod mesh;
mod nonces;
mod objects;
mod provision;
mod registration;
mod restart;
mod revalidation;
mod setup;
mod succession;
mod tokens;
mod users;

use super::actor::only;
use super::{
    Actor, App, AppError, AppErrorKind, BootSettings, Clock, Deleted, HTTP_PORT, Known, Loaders,
    MachineActor, ReverseDns, Settings, UserActor,
};
use crate::hub::{Received, Subscription};
use crate::images::{Images, system_lookup};
use crate::keys::{Keys, MachineCaller};
use crate::store::Store;
use engine::change::{AuditKind, Change, Changes, Record, Revision};
use engine::claims::Claims;
use engine::time::Timestamp;
use protocol::agent_api::{
    AgentState, Approved, EnrollmentAnswer, EnrollmentRequest, HeartbeatRequest, Origin, Pending,
    RefusalKind, RegisterRequest,
};
use protocol::event::Event;
use protocol::ids::{KeyThumbprint, MacAddr};
use protocol::inventory::{Inventory, Link, MAX_INVENTORY, PciDevice};
use protocol::model::Kind;
use protocol::rest::{ApproveRequest, EnrollmentPreview, Machine};
use serde_json::json;
use std::net::IpAddr;
use std::ops::Deref;
use std::time::Duration;
use tempfile::TempDir;

const START: Timestamp = Timestamp::from_millis(1_800_000_000_000);
const SECOND: Duration = Duration::from_secs(1);
const NO_WAIT: Duration = Duration::ZERO;

/// An app on a fresh data directory.
struct TestApp {
    app: App,
    clock: Clock,
    directory: TempDir,
}

impl Deref for TestApp {
    type Target = App;
    fn deref(&self) -> &App {
        &self.app
    }
}

impl TestApp {
    async fn start() -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), Clock::manual(START)).await
    }

    async fn start_in(directory: TempDir, clock: Clock) -> Self {
        let app = Self::open(&directory, &clock).await;
        let app = Self { app, clock, directory };
        app.ensure_user("admin").await;
        app
    }

    /// One more server on a data directory and its database.
    async fn open(directory: &TempDir, clock: &Clock) -> App {
        Self::open_with(directory, clock, |_| {}).await
    }

    /// The same, which boots machines another way.
    async fn open_with(directory: &TempDir, clock: &Clock, change: impl FnOnce(&mut BootSettings)) -> App {
        let store = Store::sqlite(&directory.path().join("muster.db")).await.unwrap();
        clock.go_on_from(store.time_floor().await.unwrap());
        let keys = Keys::open(directory.path(), &[], clock.now()).unwrap();
        let mut settings = Settings {
            server_name: "dc1".into(),
            advertise: vec!["https://10.20.0.5:8092".parse().unwrap()],
            boot: BootSettings {
                tree: directory.path().join("boot"),
                media: Some(directory.path().join("media")).filter(|media| media.is_dir()),
                loaders: Loaders::new(
                    vec![directory.path().join("loaders")],
                    directory.path().join("system"),
                ),
                http_port: HTTP_PORT,
                http_open: true,
                tftp_open: true,
                leases: false,
                https_port: 8092,
                downloads: 16,
                advertise: Vec::new(),
            },
            terminals: directory.path().join("terminals"),
        };
        change(&mut settings.boot);
        let images = Images::open(directory.path().join("images"), None, system_lookup()).unwrap();
        App::open(store, keys, clock.clone(), settings, ReverseDns::off(), images).await.unwrap()
    }

    /// A user whom nobody logs in as: Argon2 would only take time.
    async fn ensure_user(&self, name: &str) {
        if !self.content().users.has(name) {
            let user = json!({"Name": name, "Roles": ["superuser"]});
            self.create(&admin(), Kind::Users, &[], user).await.unwrap();
        }
        if self.store.record("user", name).await.unwrap().is_none() {
            self.put_user(name, r#"{"password":""}"#, Revision(0)).await;
        }
    }

    async fn put_user(&self, name: &str, body: &str, revision: Revision) {
        let record = Record { kind: "user".into(), key: name.into(), body: body.into(), revision };
        self.store.commit(&Changes::new(self.now()).and(Change::PutRecord(record))).await.unwrap();
    }

    async fn machine(&self, actor: &Actor, key: &str) -> Result<Machine, AppError> {
        let shown = self.get(actor, Kind::Machines, key, &[], &Known::default()).await?.unwrap();
        Ok(serde_json::from_value(shown.value).unwrap())
    }

    async fn machines(&self, actor: &Actor) -> Result<Vec<Machine>, AppError> {
        let listed = self.list(actor, Kind::Machines, &[]).await?;
        Ok(serde_json::from_str(&listed.json).unwrap())
    }

    async fn forget(&self, actor: &Actor, key: &str) -> Result<Machine, AppError> {
        match self.delete(actor, Kind::Machines, key, &[]).await? {
            Deleted::Now(machine) => Ok(serde_json::from_value(machine).unwrap()),
            Deleted::Later(machine) => panic!("there is no workflow to run first: {machine}"),
        }
    }

    /// The same data under a new process, which the old one did not expect.
    async fn killed_and_started(self) -> Self {
        let Self { app, clock, directory } = self;
        drop(app);
        Self::start_in(directory, clock).await
    }

    /// The same, and nobody makes the users that tests have.
    async fn killed_and_started_without_admin(self) -> Self {
        let Self { app, clock, directory } = self;
        drop(app);
        let app = Self::open(&directory, &clock).await;
        Self { app, clock, directory }
    }

    fn pass(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    async fn wait_with_code(&self, machine: &Bare) -> Pending {
        match self.enroll(&machine.caller(), machine.request()).await.unwrap().answer {
            EnrollmentAnswer::AuthorizationPending(pending) => pending,
            EnrollmentAnswer::Approved(_) => panic!("nobody approved"),
        }
    }

    async fn look_up(&self, pending: &Pending) -> EnrollmentPreview {
        self.lookup(&admin(), &pending.code.unwrap().to_string()).await.unwrap()
    }

    /// Enrolls, approves and collects.
    async fn registered(&self, machine: &Bare) -> protocol::rest::Machine {
        let pending = self.wait_with_code(machine).await;
        let request = approval(&pending, &self.look_up(&pending).await);
        let approved = self.approve(&admin(), pending.id, request).await.unwrap();
        self.access_token(&machine.caller()).await.unwrap();
        approved
    }

    /// What is on record, but for the users that every test begins with.
    async fn audit_kinds(&self) -> Vec<AuditKind> {
        let rows = self.store.audit(0, 10_000).await.unwrap();
        self.store.verify_audit().await.unwrap();
        let kinds = rows.into_iter().map(|entry| entry.row.kind);
        kinds.filter(|kind| *kind != AuditKind::AccessChanged).collect()
    }

    async fn count(&self, kind: AuditKind) -> usize {
        self.audit_kinds().await.iter().filter(|found| **found == kind).count()
    }
}

/// A machine as it boots: a key in RAM and hardware.
#[derive(Clone)]
struct Bare {
    key: KeyThumbprint,
    inventory: Inventory,
    source: IpAddr,
}

impl Bare {
    fn number(number: u8) -> Self {
        let mac = MacAddr([0x52, 0x54, 0, 0, 0, number]);
        let link = Link { driver: "virtio_net".into(), carrier: true, ..Link::new("eth0", mac) };
        Self {
            key: KeyThumbprint([number; 32]),
            inventory: Inventory { serial: format!("SN{number}"), links: vec![link], ..Inventory::default() },
            source: IpAddr::from([10, 20, 4, number]),
        }
    }

    /// The same hardware after a reset that lost its key.
    fn reset(&self) -> Self {
        Self { key: KeyThumbprint(self.key.0.map(|byte| byte.wrapping_add(100))), ..self.clone() }
    }

    fn caller(&self) -> MachineCaller {
        MachineCaller { key: self.key, source: self.source, request_id: "r".into(), machine: None }
    }

    fn request(&self) -> EnrollmentRequest {
        EnrollmentRequest { inventory: self.inventory.clone(), origin: Origin::Iso, image_id: None }
    }

    fn registration(&self, token: &str) -> RegisterRequest {
        RegisterRequest {
            token: token.into(),
            nonce: String::new(),
            statement: String::new(),
            inventory: self.inventory.clone(),
            origin: Origin::Pxe,
        }
    }

    fn actor(&self, machine: &protocol::rest::Machine) -> Actor {
        Actor::Machine(MachineActor {
            id: machine.uuid,
            key: self.key,
            source: self.source,
            request_id: "r".into(),
        })
    }
}

/// The events that were told since.
async fn told(watcher: &mut Subscription) -> Vec<Event> {
    let mut events = Vec::new();
    while let Ok(Received::Event(told)) = tokio::time::timeout(Duration::ZERO, watcher.next()).await {
        events.push(serde_json::from_str(&told.text).unwrap());
    }
    events
}

fn user(name: &str, claims: Claims) -> Actor {
    Actor::User(UserActor {
        name: name.into(),
        claims,
        source: IpAddr::from([127, 0, 0, 1]),
        request_id: "r".into(),
    })
}

fn admin() -> Actor {
    user("admin", Claims::all())
}

/// What the dialog sends after its preview.
fn approval(pending: &Pending, preview: &EnrollmentPreview) -> ApproveRequest {
    ApproveRequest {
        code: pending.code.map(|code| code.to_string()),
        fingerprint: preview.fingerprint.to_string(),
        name: None,
        merge: None,
        fingerprint_confirmed: false,
    }
}

fn heartbeat(state: AgentState) -> HeartbeatRequest {
    HeartbeatRequest { state, ..HeartbeatRequest::goodbye() }
}

/// The kind of a refusal.
fn refusal<T>(result: Result<T, AppError>) -> AppErrorKind {
    match result {
        Ok(_) => panic!("it was not refused"),
        Err(error) => error.kind,
    }
}

fn refused_as(kind: RefusalKind) -> AppErrorKind {
    AppErrorKind::Refused(kind)
}

fn welcomed(answer: EnrollmentAnswer) -> Approved {
    match answer {
        EnrollmentAnswer::Approved(approved) => approved,
        EnrollmentAnswer::AuthorizationPending(pending) => panic!("still pending: {pending:?}"),
    }
}

fn still_waiting(answer: EnrollmentAnswer) -> Pending {
    match answer {
        EnrollmentAnswer::AuthorizationPending(pending) => pending,
        EnrollmentAnswer::Approved(approved) => panic!("already approved: {approved:?}"),
    }
}
