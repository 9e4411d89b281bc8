//! Images on their way from a registry to the machines that install them, and to nobody else.

use super::*;
use crate::app::{ImageFile, MachineTokenActor, Resolved};
use crate::images::scripted::{Mood, TestRegistry, Wants, noise, script};
use engine::patch::Patch;
use protocol::install::{Mode, ProvisionRequest};
use protocol::inventory::Disk;

const SOURCE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 20, 4, 1));

/// A machine with an empty disk.
async fn machine(app: &TestApp, number: u8) -> protocol::rest::Machine {
    let mut bare = Bare::number(number);
    bare.inventory.arch = "amd64".to_owned();
    bare.inventory.disks = vec![Disk {
        name: "sda".into(),
        serial: format!("DISK{number}"),
        size_bytes: 20 << 30,
        ..Disk::default()
    }];
    app.registered(&bare).await
}

fn job_of(machine: &protocol::rest::Machine) -> Actor {
    Actor::MachineToken(MachineTokenActor {
        machine: machine.uuid,
        grantor: String::new(),
        extra: Claims::of_list(Vec::new()),
        source: SOURCE,
        request_id: "r".into(),
    })
}

/// An image `os` in a registry that wants a password.
async fn with_image(app: &TestApp, registry: &TestRegistry) {
    let at = registry.address.to_string();
    app.set_prefs(&admin(), json!({"imageHosts": at})).await.unwrap();
    let credential = json!({"Name": "key", "Registry": at, "Username": "reader", "Password": "hunter2"});
    app.create(&admin(), Kind::RegistryCredentials, &[], credential).await.unwrap();
    let image = json!({
        "Name": "os", "Source": format!("{at}/site/os:1"), "Credential": "key", "PlainHttp": true,
    });
    app.create(&admin(), Kind::Images, &[], image).await.unwrap();
}

async fn read(file: ImageFile) -> Vec<u8> {
    match file {
        ImageFile::Whole(mut download) => {
            let mut all = vec![0; usize::try_from(download.len).unwrap()];
            download.read_exact(&mut all).unwrap();
            all
        }
        ImageFile::Growing { mut file, .. } => {
            let mut all = Vec::new();
            while let Some(chunk) = file.next().await.unwrap() {
                all.extend_from_slice(&chunk);
            }
            all
        }
    }
}

#[tokio::test]
async fn files_of_an_image_are_for_the_job_that_installs_it_and_while_it_does() {
    let layer = noise(200_000);
    let registry = TestRegistry::start(script(Wants::Bearer, &layer)).await;
    let app = TestApp::start().await;
    with_image(&app, &registry).await;
    let (ours, other) = (machine(&app, 1).await, machine(&app, 2).await);
    let digest = imaging::digest::Digest::of(&layer).to_string();
    let get = |actor: Actor, digest: &str| {
        let digest = digest.to_owned();
        let app = &app;
        async move { app.image_file(&actor, &digest, false, SOURCE).await }
    };
    assert_eq!(get(job_of(&ours), &digest).await.unwrap_err().kind, AppErrorKind::NotFound, "it has no run");

    // The built-in one needs media, which nobody built here.
    app.create(&admin(), Kind::Stages, &[], json!({"Name": "install", "BootEnv": "local"})).await.unwrap();
    app.create(&admin(), Kind::Workflows, &[], json!({"Name": "mine", "Stages": ["install"]})).await.unwrap();
    let (image, workflow) = ("os".to_owned(), "mine".to_owned());
    let request = ProvisionRequest { mode: Mode::Rebuild, image, workflow, ..ProvisionRequest::default() };
    let run = app.provision(&admin(), &ours.uuid.to_string(), &request).await.unwrap();
    assert_eq!(run.image, "os");
    assert!(app.images_in_use().await.unwrap().contains(&digest));
    registry.is_in(Mood::RedirectsTo("http://169.254.169.254/".to_owned()));
    let refused = get(job_of(&ours), &digest).await.unwrap_err();
    assert_eq!(refused.kind, AppErrorKind::Unavailable);
    assert!(refused.message.contains("metadata services"), "{}", refused.message);
    registry.is_in(Mood::Fine);
    assert_eq!(read(get(job_of(&ours), &digest).await.unwrap()).await, layer, "through the registry");
    let (_, order) = app.active_run_of(ours.uuid).await.unwrap().unwrap();
    assert_eq!(order.layers.len(), 1);
    let unnamed = imaging::digest::Digest::of(b"other").to_string();
    for (actor, digest) in
        [(job_of(&other), &digest), (job_of(&ours), &unnamed), (job_of(&ours), &order.digest)]
    {
        assert_eq!(get(actor, digest).await.unwrap_err().kind, AppErrorKind::NotFound);
    }
    assert_eq!(
        get(user("nobody", Claims::of_list(Vec::new())), &digest).await.unwrap_err().kind,
        AppErrorKind::Forbidden
    );
    assert_eq!(get(admin(), "../../muster.db").await.unwrap_err().kind, AppErrorKind::NotFound);
    assert_eq!(read(get(admin(), &digest).await.unwrap()).await, layer);

    // The registry is not needed any more, and the password never left the server.
    let sent = *registry.script.sent.lock().unwrap();
    assert!(matches!(get(job_of(&ours), &digest).await.unwrap(), ImageFile::Whole(_)));
    assert_eq!(*registry.script.sent.lock().unwrap(), sent);
    let told = serde_json::to_string(&app.image_sources(order.clone(), "os").await.unwrap()).unwrap();
    assert!(!told.contains("hunter2") && !told.contains("secret-token"), "{told}");
    assert_eq!(app.image_sources(order.clone(), "os").await.unwrap(), order, "no other source without TLS");

    app.cancel_run(&admin(), &run.uuid.to_string()).await.unwrap();
    assert_eq!(get(job_of(&ours), &digest).await.unwrap_err().kind, AppErrorKind::NotFound, "it is over");
}

#[tokio::test]
async fn image_that_cannot_be_resolved_says_why_and_whether_to_wait() {
    let registry = TestRegistry::start(script(Wants::Basic, b"layer")).await;
    let app = TestApp::start().await;
    with_image(&app, &registry).await;
    let set = |fields| app.change(Kind::Images, "os", fields);
    let refused = |arch: &'static str| {
        let app = &app;
        async move { app.resolve_image("os", arch).await.unwrap_err() }
    };
    assert!(matches!(app.resolve_image("os", "amd64").await.unwrap(), Resolved::Ready(_)));
    let arm = refused("arm64").await;
    assert_eq!(arm.kind, AppErrorKind::Invalid);
    assert!(arm.message.contains("nothing for linux/arm64"), "{}", arm.message);
    set(json!({"Credential": ""})).await;
    let error = refused("amd64").await;
    assert!(error.message.ends_with("name a registry credential in the image"), "{}", error.message);
    app.set_prefs(&admin(), json!({"imageHosts": ""})).await.unwrap();
    let error = refused("amd64").await;
    assert!(error.message.contains("add 127.0.0.1 to the preference imageHosts"), "{}", error.message);
    assert_eq!(error.kind, AppErrorKind::Invalid);
    // Nobody listens: another time somebody may.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    app.set_prefs(&admin(), json!({"imageHosts": "127.0.0.1"})).await.unwrap();
    set(json!({"Source": format!("{free}/site/os:1")})).await;
    let error = refused("amd64").await;
    assert_eq!(
        (error.kind, error.retry_after.is_some()),
        (AppErrorKind::Unavailable, true),
        "{}",
        error.message
    );
    let unknown = app.resolve_image("none", "amd64").await.unwrap_err();
    assert_eq!(unknown.message, "image none does not exist");
    set(json!({"Source": "upload", "PlainHttp": false})).await;
    let error = refused("amd64").await;
    assert!(error.message.ends_with("run `muster image import os FILE`"), "{}", error.message);
}

impl TestApp {
    async fn change(&self, kind: Kind, key: &str, fields: serde_json::Value) {
        let patch = Patch::parse(fields).unwrap();
        self.patch(&admin(), kind, key, &[], None, &patch).await.unwrap();
    }
}
