//! Which permits hold, and that nothing is written under one that does not.

use super::*;
use crate::api::tls::tests::Authority;
use crate::install::state::{Partitioned, State, Written};
use crate::install::tests::{Server, install};
use crate::install::{boot, configure, partition, write};
use crate::inventory::disks_now;
use crate::report::chain;
use protocol::install::{DiskPlan, Fate, ImageOrder, PermittedDisk, PlannedDisk};
use protocol::proof;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use std::process::Command;
use std::time::Duration;

const NAMES: [&str; 1] = ["dc1.agent.internal"];
const THUMBPRINT: &str = "a-thumbprint";
const IMAGE: &str = "sha256:00";

/// A server that signs permits.
struct Signer {
    ca: Authority,
    leaf: CertificateDer<'static>,
    key: EcdsaKeyPair,
}

impl Signer {
    fn new(years: std::ops::RangeInclusive<i32>) -> Self {
        let ca = Authority::new();
        let (leaf, key) = ca.leaf(&NAMES, years);
        let pkcs8 = key.serialize_der();
        let key =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &pkcs8, &SystemRandom::new()).unwrap();
        Self { ca, leaf, key }
    }

    fn sign(&self, permit: &Permit) -> String {
        self.sign_as(permit, &self.leaf, &self.ca.der())
    }

    fn sign_as(&self, permit: &Permit, leaf: &CertificateDer<'_>, ca: &CertificateDer<'_>) -> String {
        let input = permit.signing_input(leaf, ca);
        let signature = self.key.sign(&SystemRandom::new(), input.as_bytes()).unwrap();
        proof::finish(&input, signature.as_ref())
    }

    fn trust(&self) -> Trust {
        Trust { pins: vec![self.ca.pin()], extra: None }
    }
}

fn now() -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(1_782_216_000))
}

fn bearer() -> Bearer<'static> {
    Bearer {
        machine: Uuid::from_u128(7),
        thumbprint: THUMBPRINT,
        run: Uuid::from_u128(1),
        job: Uuid::from_u128(2),
        epoch: 3,
        image: IMAGE,
    }
}

fn permit() -> Permit {
    Permit {
        uuid: Uuid::from_u128(7),
        jkt: THUMBPRINT.to_owned(),
        run: Uuid::from_u128(1),
        job: Uuid::from_u128(2),
        epoch: 3,
        disks: vec![PermittedDisk { serial: "S1".to_owned(), size: 1 << 40, ..PermittedDisk::default() }],
        image: IMAGE.to_owned(),
        exp: 1_782_216_000 + MAX_PERMIT_LIFE,
    }
}

fn disk(name: &str, serial: &str) -> Disk {
    Disk { name: name.to_owned(), serial: serial.to_owned(), size_bytes: 1 << 40, ..Disk::default() }
}

#[test]
fn permit_of_the_server_names_the_disks_that_may_be_erased() {
    let signer = Signer::new(2020..=2030);
    let granted = verify(&signer.sign(&permit()), &signer.trust(), &bearer(), now()).unwrap();
    let present = [disk("sda", "S2"), disk("sdb", "S1")];
    let names: Vec<_> = granted.disks(&present).unwrap().iter().map(|disk| disk.name.as_str()).collect();
    assert_eq!(names, ["sdb"]);
    let refused = |present: &[Disk]| granted.disks(present).unwrap_err().to_string();
    assert!(refused(&[disk("sda", "S2")]).contains("0 disks of the machine are S1"));
    assert!(refused(&[disk("sda", "S1"), disk("sdb", "S1")]).contains("2 disks of the machine are S1"));
    let smaller = Disk { size_bytes: 1, ..disk("sda", "S1") };
    assert!(refused(&[smaller]).contains("0 disks"), "another disk with the same serial number");
}

#[test]
fn permit_with_one_thing_wrong_is_refused_and_says_which() {
    let signer = Signer::new(2020..=2030);
    type Change = fn(&mut Permit);
    let wrong = |change: Change| {
        let mut permit = permit();
        change(&mut permit);
        let refused = verify(&signer.sign(&permit), &signer.trust(), &bearer(), now());
        refused.unwrap_err().to_string()
    };
    let cases: [(Change, &str); 9] = [
        (|permit| permit.uuid = Uuid::from_u128(8), "for another machine"),
        (|permit| permit.jkt = "another".to_owned(), "for another key"),
        (|permit| permit.run = Uuid::from_u128(9), "for another run"),
        (|permit| permit.job = Uuid::from_u128(9), "for another job"),
        (|permit| permit.epoch = 2, "for another lease of the job"),
        (|permit| permit.image = "sha256:01".to_owned(), "for another image"),
        (|permit| permit.exp = 1_782_216_000, "it was good until 1782216000"),
        (|permit| permit.exp += SKEW + 1, "it is good for more than an hour"),
        (|permit| permit.disks.clear(), "the permit names no disk"),
    ];
    for (change, words) in cases {
        let told = wrong(change);
        assert!(told.starts_with("E60: the wipe permit is refused: ") && told.contains(words), "{told}");
    }
}

#[test]
fn permit_is_believed_under_the_pins_alone() {
    let (signer, other) = (Signer::new(2020..=2030), Signer::new(2020..=2030));
    let refused = |text: &str, trust: &Trust| verify(text, trust, &bearer(), now()).unwrap_err();
    let text = signer.sign(&permit());
    assert!(matches!(refused(&text, &other.trust()), PermitError::Trust(TrustError::Pin { .. })));
    assert!(matches!(refused(&text, &Trust::default()), PermitError::Trust(TrustError::Pin { .. })));
    // Our CA's certificate is public: beside a leaf that it did not sign, it proves nothing.
    let foreign = other.sign_as(&permit(), &other.leaf, &signer.ca.der());
    assert!(matches!(refused(&foreign, &signer.trust()), PermitError::Trust(TrustError::Pin { .. })));
    // So is our leaf's: whoever shows it must hold its key.
    let borrowed = other.sign_as(&permit(), &signer.leaf, &signer.ca.der());
    assert!(matches!(refused(&borrowed, &signer.trust()), PermitError::Signature));
    let old = Signer::new(2020..=2021);
    assert!(matches!(refused(&old.sign(&permit()), &old.trust()), PermitError::Trust(TrustError::Time(_))));
    let (head, rest) = text.split_once('.').unwrap();
    let (body, signature) = rest.split_once('.').unwrap();
    let swapped = other.sign(&Permit { epoch: 4, ..permit() });
    let other_body = swapped.split('.').nth(1).unwrap();
    assert_ne!(body, other_body);
    let spliced = format!("{head}.{other_body}.{signature}");
    assert!(matches!(refused(&spliced, &signer.trust()), PermitError::Signature));
}

/// The verb, under every permit that does not hold: by a stranger, expired, of an earlier lease, for another disk, none.
#[test]
fn without_a_permit_the_verb_ends_with_e60() {
    let (server, mut install) = install();
    let (signer, stranger) = (Signer::new(2020..=2060), Signer::new(2020..=2060));
    install.settings.runner.place.trust.pins.push(signer.ca.pin());
    let order = InstallOrder {
        run: install.settings.run,
        machine: install.settings.runner.machine,
        image: ImageOrder { digest: IMAGE.to_owned(), ..ImageOrder::default() },
        ..InstallOrder::default()
    };
    server.give("/order", serde_json::to_vec(&order).unwrap());
    let soon = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64 + 600;
    let good = Permit { exp: soon, ..permit() };
    let told = |text: String| {
        server.give("/permit", serde_json::to_vec(&PermitAnswer { permit: text }).unwrap());
        let granted = obtain_for(&install, &order, THUMBPRINT).map_err(|error| chain(&error))?;
        partition::devices(&order, &granted, &disks_now()).map_err(|error| chain(&error)).map(drop)
    };
    let cases = [
        (stranger.sign(&good), "no pinned key vouches"),
        (signer.sign(&Permit { exp: 1, ..good.clone() }), "it was good until 1,"),
        (signer.sign(&Permit { epoch: 2, ..good.clone() }), "for another lease of the job"),
        (signer.sign(&good), "0 disks of the machine are S1"),
        (String::new(), "the permit is not one"),
        ("x.y.z".to_owned(), "the permit is not one"),
    ];
    for (text, words) in cases {
        let error = told(text).unwrap_err();
        assert!(error.starts_with("E60: the wipe permit is refused") && error.contains(words), "{error}");
    }
    server.fault(crate::install::tests::Fault::Refuse(409, "the run has ended"));
    let error = chain(&obtain_for(&install, &order, THUMBPRINT).unwrap_err());
    assert!(error.starts_with("E60: no wipe permit: the server does not give one"), "{error}");
    // The whole verb: nobody tells which key this machine has.
    let error = partition::partition(&install).unwrap_err();
    assert!(chain(&error).starts_with("E60: no wipe permit"), "{}", chain(&error));
    assert!(install.state().unwrap().partitioned.is_none());
    assert_eq!(heard_escrow(&server), 0);
    // Nor do the verbs come to a disk that find all that those before them left.
    let made = Partitioned { disks: vec!["/dev/muster-none".into()], ..Partitioned::default() };
    let written = Some(Written { digest: "sha256:01".to_owned(), ..Written::default() });
    let state = State { partitioned: Some(made), written, ..install.state().unwrap() };
    install.keep(&state).unwrap();
    for verb in [write::write, configure::configure, boot::boot] {
        let error = verb(&install).unwrap_err();
        assert!(chain(&error).starts_with("E60: no wipe permit"), "{}", chain(&error));
    }
}

/// A disk that is permitted and is not the plan's is not taken, nor one that the plan alone names.
#[test]
fn permit_and_plan_must_name_the_same_disks() {
    let granted = Granted(permit());
    let present = [disk("sda", "S2"), disk("sdb", "S1")];
    let planned = |serial: &str, name: &str| InstallOrder {
        plan: DiskPlan {
            disks: vec![PlannedDisk {
                disk: disk(name, serial),
                fate: Fate::Erase,
                ..PlannedDisk::default()
            }],
            ..DiskPlan::default()
        },
        ..InstallOrder::default()
    };
    let devices = partition::devices(&planned("S1", "sdb"), &granted, &present).unwrap();
    assert_eq!(devices, [Path::new("/dev/sdb")]);
    let error = chain(&partition::devices(&planned("S2", "sda"), &granted, &present).unwrap_err());
    assert_eq!(error, "E60: the wipe permit is refused: it is for another disk than the plan's");
}

fn heard_escrow(server: &Server) -> usize {
    server.heard("/escrow").len()
}

#[test]
fn without_a_permit_nothing_is_opened_for_writing_and_no_program_started() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("calls");
    let traced = Command::new("strace")
        .args(["-f", "-qq", "-e", "trace=open,openat,openat2,creat,execve,mount,umount2", "-o"])
        .arg(&log)
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "install::permit::tests::without_a_permit_the_verb_ends_with_e60"])
        .output()
        .unwrap();
    assert!(traced.status.success(), "{}", String::from_utf8_lossy(&traced.stdout));
    assert!(String::from_utf8_lossy(&traced.stdout).contains("1 passed"));
    let calls = std::fs::read_to_string(&log).unwrap();
    assert_eq!(calls.lines().filter(|line| line.contains("execve(")).count(), 1, "the test itself");
    assert!(!calls.contains("mount(") && !calls.contains("umount2("));
    let written: Vec<&str> = calls
        .lines()
        .filter(|line| line.contains("\"/dev/") && (line.contains("O_WRONLY") || line.contains("O_RDWR")))
        .collect();
    // Rust's runtime makes sure that it has standard streams.
    assert!(written.iter().all(|line| line.contains("\"/dev/null\"")), "{written:?}");
}
