//! Provision runs from the request to the first boot, as machines, runners and operators see them.

use super::*;
use crate::app::actor::MachineTokenActor;
use crate::app::{Actor, Resolved};
use axum::body::Bytes;
use engine::run::Outcome;
use protocol::install::{
    Contents, EscrowedKey, FirstBoot, Mode, Progress, Provision, ProvisionRequest, ProvisionStatus, Step, Way,
};
use protocol::inventory::Disk;
use protocol::rest::ProvisionState;
use serde_json::Value;
use uuid::Uuid;

/// A machine with one disk that holds something, and a server with media and an image for it.
struct Site {
    app: TestApp,
    bare: Bare,
    machine: Machine,
    boots: u32,
}

impl Site {
    async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        media(&directory);
        let app = TestApp::start_in(directory, Clock::manual(START)).await;
        let mut bare = Bare::number(1);
        bare.inventory.disks = vec![Disk {
            name: "vda".into(),
            serial: "S1".into(),
            size_bytes: 20_000_000_000,
            contents: Contents { table: "gpt".into(), ..Contents::default() },
            ..Disk::default()
        }];
        let machine = app.registered(&bare).await;
        let mut site = Self { app, bare, machine, boots: 0 };
        site.boot(false).await;
        site.upload("debian").await;
        site
    }

    /// An image of a disk.
    async fn upload(&self, name: &str) {
        let image = json!({"Name": name, "Source": "upload"});
        self.app.create(&admin(), Kind::Images, &[], image).await.unwrap();
        let mut disk = vec![0_u8; 2 << 20];
        disk[510..512].copy_from_slice(&[0x55, 0xaa]);
        let upload = self.app.begin_upload(&admin(), name, None).await.unwrap();
        let upload = self.app.go_on_with_upload(upload, Bytes::from(disk)).await.unwrap();
        self.app.end_upload(upload).await.unwrap();
    }

    /// Waits until the image of this name can be installed.
    async fn imported(&self, name: &str) {
        let mut changes = self.app.images.imports.changes();
        while let Resolved::Importing { .. } = self.app.resolve_image(name, "amd64").await.unwrap() {
            changes.changed().await.unwrap();
        }
    }

    async fn ask(&self, request: ProvisionRequest) -> Result<Provision, AppError> {
        self.app.provision(&admin(), &self.machine.uuid.to_string(), &request).await
    }

    /// A run that has begun.
    async fn begun(&self) -> Provision {
        self.imported("debian").await;
        self.ask(rebuild()).await.unwrap()
    }

    /// The machine boots: our image, or its disk.
    async fn boot(&mut self, installed: bool) {
        self.boots += 1;
        let beat = HeartbeatRequest {
            boot_id: format!("boot-{}", self.boots),
            installed,
            ..heartbeat(AgentState::Discovery)
        };
        self.app.heartbeat(&self.bare.actor(&self.machine), beat, NO_WAIT).await.unwrap();
    }

    async fn goodbye(&self) {
        let beat = heartbeat(AgentState::Stopping);
        self.app.heartbeat(&self.bare.actor(&self.machine), beat, NO_WAIT).await.unwrap();
    }

    async fn now(&self) -> Machine {
        self.app.machine(&admin(), &self.machine.uuid.to_string()).await.unwrap()
    }

    async fn run(&self, run: &Provision) -> Provision {
        self.app.show_run(&admin(), &run.uuid.to_string()).await.unwrap()
    }

    /// Whoever holds the machine's token.
    fn runner(&self) -> Actor {
        Actor::MachineToken(MachineTokenActor {
            machine: self.machine.uuid,
            grantor: String::new(),
            extra: Claims::default(),
            source: self.bare.source,
            request_id: "r".into(),
        })
    }

    /// The machine's runner asks until it has a job, and begins it.
    async fn next(&self) -> (Uuid, String) {
        for _ in 0..10 {
            let body = json!({"Machine": self.machine.uuid});
            if let Outcome::Created(job) = self.app.create_job(&self.runner(), body).await.unwrap() {
                self.tell(job.fields.uuid, "running").await.unwrap();
                return (job.fields.uuid, job.fields.task);
            }
        }
        panic!("there is no job");
    }

    async fn tell(&self, job: Uuid, state: &str) -> Result<(), AppError> {
        let decide = |_: &str, mut job: Value| {
            job["State"] = state.into();
            Ok(job)
        };
        self.app.edit_job(&self.runner(), job, None, decide).await.map(drop)
    }

    /// Runs tasks up to this step, and begins that.
    async fn reach(&self, step: Step) -> Uuid {
        loop {
            let (job, task) = self.next().await;
            if task == format!("muster-install-{step}") {
                return job;
            }
            self.tell(job, "finished").await.unwrap();
        }
    }

    /// Everything in our image; the machine is about to restart.
    async fn install(&self) {
        let job = self.reach(Step::Boot).await;
        self.tell(job, "finished").await.unwrap();
        for _ in 0..4 {
            match self.app.create_job(&self.runner(), json!({"Machine": self.machine.uuid})).await {
                Ok(Outcome::Nothing { .. }) => {}
                Ok(other) => panic!("{other:?}"),
                // It has to boot first.
                Err(error) => return assert_eq!(error.kind, AppErrorKind::Conflict, "{error}"),
            }
        }
    }
}

/// Media as far as boot environments look at them.
fn media(directory: &TempDir) {
    let media = directory.path().join("media");
    std::fs::create_dir(&media).unwrap();
    let mut files = serde_json::Map::new();
    for name in ["vmlinuz", "initrd"] {
        std::fs::write(media.join(name), name).unwrap();
        files.insert(name.to_owned(), json!({"size": name.len(), "sha256": "ab".repeat(32)}));
    }
    let manifest = json!({
        "schema": 1, "version": "0.1.0", "arch": "x86_64", "kernel": "6.1.0", "profile": "cloud", "build_time": 1,
        "marker": "MUSTER-0011aabb", "files": files, "regions": [], "packages": [],
    });
    std::fs::write(media.join("manifest.json"), manifest.to_string()).unwrap();
}

fn rebuild() -> ProvisionRequest {
    ProvisionRequest {
        image: "debian".into(),
        confirm: "m-525400000001".into(),
        ..ProvisionRequest::default()
    }
}

fn at(step: Step, percent: u8) -> Progress {
    Progress { step, percent, message: format!("{percent} of 100"), ..Progress::default() }
}

#[tokio::test]
async fn a_machine_gets_its_system() {
    let mut site = Site::start().await;
    let unconfirmed = site.ask(ProvisionRequest { confirm: String::new(), ..rebuild() }).await.unwrap_err();
    assert_eq!(unconfirmed.kind, AppErrorKind::Invalid);
    let words = unconfirmed.to_string();
    assert!(words.contains("vda") && words.contains("set Confirm to m-525400000001"), "{words}");
    let run = site.begun().await;
    let key = run.uuid.to_string();
    assert_eq!(
        (run.status, site.now().await.own.provision_state),
        (ProvisionStatus::Pending, ProvisionState::Pending)
    );
    assert!(run.image_digest.starts_with("sha256:"), "{}", run.image_digest);

    let survey = site.reach(Step::Survey).await;
    let order = site.app.install_order(&site.runner(), &key, Some(1), Vec::new()).await.unwrap();
    assert_eq!(
        (order.run, order.image.way, &order.image.digest),
        (run.uuid, Way::BlockMap, &run.image_digest)
    );
    let erased: Vec<&str> = order.plan.erased().map(|planned| planned.disk.name.as_str()).collect();
    assert_eq!((erased, order.hostname.as_str(), order.touched), (vec!["vda"], "m-525400000001", false));
    assert!(order.seed.meta_data.contains(&key) && order.permit.is_empty());
    let config = order.agent.unwrap().config;
    assert!(config.contains("ca-hash") && !config.contains("token"), "{config}");
    let late = site.app.install_order(&site.runner(), &key, Some(7), Vec::new()).await.unwrap_err();
    assert_eq!(late.kind, AppErrorKind::Conflict, "another lease");
    site.tell(survey, "finished").await.unwrap();

    site.reach(Step::Partition).await;
    let permit = site.app.permit(&site.runner(), &key, Some(1)).await.unwrap().permit;
    assert_eq!(permit.split('.').count(), 3, "a JWS");
    assert_eq!(site.app.count(AuditKind::PermitIssued).await, 1);
    let job = site.now().await.fields.current_job.parse().unwrap();
    site.tell(job, "finished").await.unwrap();
    site.install().await;
    assert_eq!(site.now().await.own.provision_state, ProvisionState::Installing);
    site.goodbye().await;
    site.boot(true).await;
    site.reach(Step::FirstBoot).await;
    let told = FirstBoot { os: "debian-12".into(), cloud_init: "done".into(), errors: Vec::new() };
    let over = site.app.first_boot(&site.runner(), &key, Some(1), &told).await.unwrap();
    assert_eq!((over.status, over.percent), (ProvisionStatus::Completed, 100));
    let again = site.app.first_boot(&site.runner(), &key, Some(1), &told).await.unwrap();
    assert_eq!(again, over, "its answer was lost, and it told once more");
    let now = site.now().await;
    assert_eq!((now.own.provision_state, now.fields.os.as_str()), (ProvisionState::Installed, "debian-12"));
    assert!(!now.own.pending_changes);
    let machine = site.machine.uuid.to_string();
    site.app
        .set_param(&admin(), Kind::Machines, &machine, "muster/kernel-args", json!("quiet"))
        .await
        .unwrap();
    assert!(site.now().await.own.pending_changes, "only another installation brings it");
}

#[tokio::test]
async fn a_run_waits_for_its_image_and_goes_on_by_itself() {
    let site = Site::start().await;
    let mut run = site.ask(rebuild()).await.unwrap();
    assert_eq!(run.status, ProvisionStatus::Pending);
    site.imported("debian").await;
    while run.image_digest.is_empty() {
        site.app.pass(5);
        site.app.sweep().await.unwrap();
        run = site.run(&run).await;
        assert_eq!(run.status, ProvisionStatus::Pending, "{run:?}");
    }
    assert_eq!(site.now().await.fields.workflow, "muster-install");
    assert_eq!(site.next().await.1, "muster-install-prepare");
}

#[tokio::test]
async fn a_step_that_takes_too_long_ends_the_run_and_stops_its_job() {
    let site = Site::start().await;
    let run = site.begun().await;
    let (job, _) = site.next().await;
    site.app.pass(890);
    site.app.sweep().await.unwrap();
    assert!(site.run(&run).await.is_active);
    site.app.pass(11);
    site.app.sweep().await.unwrap();
    let over = site.run(&run).await;
    assert_eq!(
        (over.status, site.now().await.own.provision_state),
        (ProvisionStatus::Timeout, ProvisionState::Failed)
    );
    assert!(over.error.starts_with("step prepare: waited 901 s for "), "{}", over.error);
    assert_eq!(site.tell(job, "finished").await.unwrap_err().kind, AppErrorKind::Invalid, "its job is over");
    let answer =
        site.app.progress(&site.runner(), &run.uuid.to_string(), None, at(Step::Write, 1)).await.unwrap();
    assert!(answer.cancelled);
    assert_eq!(site.ask(rebuild()).await.unwrap().status, ProvisionStatus::Pending, "one command retries");
}

#[tokio::test]
async fn a_restart_of_the_server_loses_no_step() {
    let site = Site::start().await;
    let run = site.begun().await;
    let key = run.uuid.to_string();
    site.reach(Step::Write).await;
    let revision = || async { site.app.store.run(run.uuid).await.unwrap().unwrap().revision };
    let stored = revision().await;
    for percent in [10, 20, 30] {
        site.app.progress(&site.runner(), &key, Some(1), at(Step::Write, percent)).await.unwrap();
    }
    assert_eq!(site.run(&run).await.progress.percent, 30);
    assert_eq!(revision().await, stored, "told within seconds, it is in memory");
    site.app.pass(10);
    site.app.progress(&site.runner(), &key, Some(1), at(Step::Write, 40)).await.unwrap();
    assert!(revision().await > stored, "and stored now and then");
    let earlier = site.app.progress(&site.runner(), &key, Some(1), at(Step::Survey, 90)).await.unwrap();
    assert!(!earlier.cancelled);
    assert_eq!(site.run(&run).await.progress.step, Step::Write, "what is over is no news");
    let Site { app, bare, machine, boots } = site;
    let site = Site { app: app.killed_and_started().await, bare, machine, boots };
    let after = site.run(&run).await;
    assert_eq!((after.status, after.progress.percent), (ProvisionStatus::Downloading, 40));
    site.app.progress(&site.runner(), &key, Some(1), at(Step::Write, 50)).await.unwrap();
    assert_eq!(site.run(&run).await.progress.percent, 50);
}

#[tokio::test]
async fn a_machine_that_comes_back_is_told_apart_from_one_that_boots_its_disk() {
    let mut site = Site::start().await;
    let run = site.begun().await;
    site.install().await;
    site.goodbye().await;
    site.boot(false).await;
    let over = site.run(&run).await;
    assert_eq!(over.status, ProvisionStatus::Error);
    assert_eq!(over.error, "the machine came back to our image instead of its disk");
    let now = site.now().await;
    assert_eq!((now.own.provision_state, now.fields.boot_env.as_str()), (ProvisionState::Failed, "muster"));
}

#[tokio::test]
async fn secrets_of_a_run_are_in_no_answer_event_or_audit_row() {
    let site = Site::start().await;
    let (luks, word) = ("correct-horse-luks", "battery-staple-word");
    let secret = json!({"Name": "db", "Value": word});
    site.app.create(&admin(), Kind::Secrets, &[], secret).await.unwrap();
    let template = json!(
        "#cloud-config\nchpasswd: {expire: false}\nwrite_files: [{path: /x, content: {{.secrets.db}}}]\n"
    );
    let key = site.machine.uuid.to_string();
    site.app.set_param(&admin(), Kind::Machines, &key, "muster/cloud-init", template).await.unwrap();
    let mut watcher = site.app.hub.subscribe();
    let run = site.begun().await;
    let id = run.uuid.to_string();
    site.reach(Step::Partition).await;
    let order = site.app.install_order(&site.runner(), &id, Some(1), Vec::new()).await.unwrap();
    assert!(order.seed.user_data.contains(word), "{}", order.seed.user_data);
    let given = EscrowedKey { volume: "system".into(), key: luks.into(), ..EscrowedKey::default() };
    site.app.escrow_key(&site.runner(), &id, Some(1), &given).await.unwrap();
    let refused = EscrowedKey { volume: "../x".into(), ..given.clone() };
    assert_eq!(
        refusal(site.app.escrow_key(&site.runner(), &id, Some(1), &refused).await),
        AppErrorKind::Invalid
    );
    assert_eq!(refusal(site.app.escrow_key(&admin(), &id, None, &given).await), AppErrorKind::Forbidden);
    assert_eq!(refusal(site.app.escrowed_keys(&site.runner(), &key).await), AppErrorKind::Forbidden);
    let keys = site.app.escrowed_keys(&admin(), &key).await.unwrap();
    assert_eq!(keys, [EscrowedKey { run: run.uuid, ..given }]);
    assert_eq!(site.app.count(AuditKind::EscrowRead).await, 1);

    let events = told(&mut watcher).await;
    assert!(events.iter().any(|event| event.kind == "provisions" && event.action == "create"));
    assert!(events.iter().any(|event| event.kind == "provisions" && event.action == "update"));
    let sealed = site.app.store.records(&format!("escrow/{key}")).await.unwrap();
    let shown = [
        serde_json::to_string(&events).unwrap(),
        serde_json::to_string(&site.run(&run).await).unwrap(),
        format!("{:?} {order:?} {keys:?}", site.app.store.audit(0, 10_000).await.unwrap()),
        format!("{:?} {sealed:?}", site.app.store.run(run.uuid).await.unwrap()),
        site.app.list(&admin(), Kind::Machines, &[]).await.unwrap().json,
    ];
    for text in &shown {
        for hidden in [luks, word] {
            assert!(!text.contains(hidden), "{hidden} in {text}");
        }
    }
}

#[tokio::test]
async fn what_cannot_be_rendered_ends_before_any_task() {
    let site = Site::start().await;
    site.imported("debian").await;
    let key = site.machine.uuid.to_string();
    let template = json!("#cloud-config\nhostname: {{.secrets.nobody}}\n");
    site.app.set_param(&admin(), Kind::Machines, &key, "muster/cloud-init", template).await.unwrap();
    let before = site.now().await;
    let run = site.ask(rebuild()).await.unwrap();
    assert_eq!((run.status, run.is_terminal), (ProvisionStatus::RenderFailed, true));
    assert!(run.error.contains("nobody"), "{}", run.error);
    let after = site.now().await;
    assert_eq!(after.own.provision_state, ProvisionState::Failed);
    assert_eq!(
        (&after.fields.workflow, &after.fields.tasks),
        (&before.fields.workflow, &before.fields.tasks)
    );
    let discover = ProvisionRequest { mode: Mode::Discover, ..ProvisionRequest::default() };
    assert!(site.ask(discover).await.unwrap().is_active, "what is over keeps nobody from the next");
}
