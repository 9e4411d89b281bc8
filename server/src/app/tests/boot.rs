//! What machines boot, asked by path and by DHCP: who gets a token, which image, which loader.

use super::*;
use crate::app::{BootFile, Door, Download, Requester};
use engine::bootenv;
use iso::manifest::{FileDigest, ISO_FILE, Identity, Manifest, SCHEMA};
use iso::region::{CONFIG_REGION, Region};
use protocol::cmdline::KernelArgs;
use protocol::config::AgentConfig;
use pxe::question::{Answer, Client, Cpu, Firmware};
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;

const ISO_LEN: usize = 300_001;
const REGION: std::ops::Range<usize> = 4_096..4_096 + 65_536;
/// Our own address on the machines' network.
const REACHED: Ipv4Addr = Ipv4Addr::new(10, 20, 0, 5);
const STRANGER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 20, 9, 9));
/// What strangers' loaders ask for.
const STRANGERS_FILES: [&str; 3] = ["default.ipxe", "grub/grub.cfg", "pxelinux.cfg/default"];

/// A server with media and loaders.
struct Yard {
    app: Arc<App>,
    clock: Clock,
    directory: TempDir,
}

impl Yard {
    async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    async fn start_with(change: impl FnOnce(&mut BootSettings)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let clock = Clock::manual(START);
        let media = directory.path().join("media");
        build_media(&media);
        let loaders = directory.path().join("loaders");
        std::fs::create_dir(&loaders).unwrap();
        for name in ["undionly.kpxe", "snponly.efi", "shimx64.efi", "grubx64.efi"] {
            std::fs::write(loaders.join(name), name).unwrap();
        }
        let app = TestApp::open_with(&directory, &clock, |boot| {
            boot.media = Some(media);
            change(boot);
        });
        Self { app: Arc::new(app.await), clock, directory }
    }

    async fn prefer(&self, prefs: serde_json::Value) {
        self.app.set_prefs(&admin(), prefs).await.unwrap();
    }

    async fn discovering() -> Self {
        let yard = Self::start().await;
        yard.prefer(json!({"unknownBootEnv": bootenv::DISCOVERY})).await;
        yard
    }

    /// A machine that boots this.
    async fn machine(&self, address: &str, mac: &str, boot_env: &str) -> Machine {
        let fields = json!({
            "Name": format!("m-{}", mac.replace(':', "")), "Address": address, "HardwareAddrs": [mac],
            "BootEnv": boot_env,
        });
        let made = self.app.create(&admin(), Kind::Machines, &[], fields).await.unwrap();
        serde_json::from_value(made.value).unwrap()
    }

    /// A machine that registered by the image, which it boots from then on, and is silent since.
    async fn registered(&self, mut machine: Bare) -> Bare {
        let token = token_in(&self.text(STRANGER, "default.ipxe").await).unwrap();
        machine.inventory.arch = "x86_64".into();
        for link in &mut machine.inventory.links {
            link.addresses = vec![format!("{}/24", machine.source)];
        }
        let approved =
            self.app.register(&machine.caller(), machine.registration(&token)).await.unwrap().machine;
        self.app.access_token(&machine.caller()).await.unwrap();
        let stored = self.app.store.machine(approved.uuid).await.unwrap().unwrap();
        assert_eq!(stored.fields.boot_env, bootenv::MUSTER);
        self.clock.advance(61 * SECOND);
        machine
    }

    async fn ask(&self, from: IpAddr, path: &str) -> Result<BootFile, AppError> {
        let requester = Requester { door: Door::Http, address: from, reached: Some(IpAddr::V4(REACHED)) };
        self.app.boot_file(requester, path).await
    }

    async fn text(&self, from: IpAddr, path: &str) -> String {
        match self.ask(from, path).await.unwrap() {
            BootFile::Text(text) => text,
            other @ (BootFile::Elsewhere(_) | BootFile::Tree(_)) => panic!("{path}: {other:?}"),
        }
    }

    async fn image(&self, from: IpAddr, path: &str) -> Result<Download, AppError> {
        match self.ask(from, path).await? {
            BootFile::Tree(download) => Ok(*download),
            other @ (BootFile::Elsewhere(_) | BootFile::Text(_)) => panic!("{path}: {other:?}"),
        }
    }

    async fn asked(&self, mac: &str, firmware: Firmware) -> Answer {
        let mac: MacAddr = mac.parse().unwrap();
        let client = Client { mac: mac.0, uuid: None, firmware, reached: REACHED };
        self.app.what_boots(&client).await.unwrap()
    }

    async fn tokens(&self) -> usize {
        self.app.store.tokens(None, 10_000).await.unwrap().len()
    }
}

fn noise() -> Vec<u8> {
    (0..ISO_LEN).map(|at| u8::try_from(at * 7 % 251).unwrap()).collect()
}

fn build_media(folder: &Path) {
    std::fs::create_dir(folder).unwrap();
    let mut files = BTreeMap::new();
    for (name, bytes) in
        [(ISO_FILE, noise()), ("vmlinuz", b"kernel".to_vec()), ("initrd", b"ramdisk".to_vec())]
    {
        std::fs::write(folder.join(name), &bytes).unwrap();
        let size = bytes.len() as u64;
        files.insert(name.to_owned(), FileDigest { size, sha256: "ab".repeat(32) });
    }
    let (offset, length) = (REGION.start as u64, REGION.len() as u64);
    let manifest = Manifest {
        schema: SCHEMA,
        identity: Identity {
            version: "0.1.0".into(),
            arch: "x86_64".into(),
            kernel: "6.1.0".into(),
            profile: "cloud".into(),
            build_time: 1_700_000_000,
            marker: "MUSTER-0011aabb".into(),
        },
        files,
        loaders: BTreeMap::new(),
        regions: vec![Region { name: CONFIG_REGION.into(), offset, length }],
        packages: vec![],
        firmware: BTreeMap::new(),
    };
    std::fs::write(folder.join("manifest.json"), manifest.to_json().unwrap()).unwrap();
}

fn whole(download: &mut Download) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(download.len).unwrap()];
    download.read_at(0, &mut bytes).unwrap();
    bytes
}

fn config(image: &[u8]) -> AgentConfig {
    AgentConfig::parse(initrd::segment::config_json(&image[REGION]).unwrap()).unwrap()
}

/// The token on the kernel's line of a file.
fn token_in(text: &str) -> Option<String> {
    text.lines().find_map(|line| KernelArgs::parse(line).token).map(|token| token.reveal().to_owned())
}

#[tokio::test]
async fn every_file_for_strangers_has_a_token_of_its_own_until_it_cannot_be_machines() {
    let yard = Yard::discovering().await;
    let mut found = BTreeSet::new();
    for path in STRANGERS_FILES {
        found.insert(token_in(&yard.text(STRANGER, path).await).unwrap());
    }
    assert_eq!((found.len(), yard.tokens().await), (3, 3));
    for asked in 0..1_000 {
        found.insert(token_in(&yard.text(STRANGER, STRANGERS_FILES[asked % 3]).await).unwrap());
    }
    assert_eq!((found.len(), yard.tokens().await), (64, 64), "as many as a burst");
    // Half a minute later there is room for sixteen more.
    yard.clock.advance(32 * SECOND);
    for _ in 0..100 {
        found.insert(token_in(&yard.text(STRANGER, "default.ipxe").await).unwrap());
    }
    assert_eq!((found.len(), yard.tokens().await), (80, 80));
    // It registers, and it lives as long as the preference says.
    yard.prefer(json!({"unknownTokenTimeout": "3"})).await;
    yard.clock.advance(60 * SECOND);
    let token = token_in(&yard.text(STRANGER, "default.ipxe").await).unwrap();
    let machine = Bare::number(1);
    yard.app.register(&machine.caller(), machine.registration(&token)).await.unwrap();
    yard.clock.advance(4 * SECOND);
    let late = Bare::number(2);
    assert!(yard.app.register(&late.caller(), late.registration(&token)).await.is_err(), "it expired");
}

#[tokio::test]
async fn whoever_is_known_gets_no_token_for_strangers() {
    let yard = Yard::discovering().await;
    let known = IpAddr::from([10, 20, 4, 1]);
    yard.machine("10.20.4.1", "52:54:00:00:00:01", bootenv::LOCAL).await;
    // Anybody may be called like a folder.
    let grub = json!({"Name": "grub", "Address": "10.20.4.2", "BootEnv": "local"});
    yard.app.create(&admin(), Kind::Machines, &[], grub).await.unwrap();
    for path in STRANGERS_FILES {
        let text = yard.text(known, path).await;
        assert_eq!(token_in(&text), None, "{path}: {text}");
        assert!(!text.contains("muster/vmlinuz"), "{path}: {text}");
        assert!(token_in(&yard.text(STRANGER, path).await).is_some(), "{path}");
    }
    assert!(
        yard.text(known, "default.ipxe").await.contains("${netX/mac}.ipxe"),
        "it goes on to its own files"
    );
    assert_eq!(yard.tokens().await, 3);
    // The same of a site's own bootenv; what has no token in it is everybody's.
    let own = json!({"Name": "site", "OnlyUnknown": true, "Templates": [
        {"Name": "a", "Path": "site/start", "Contents": "{{.GenerateToken}}"},
        {"Name": "b", "Path": "site/stop", "Contents": "nothing"},
        {"Name": "c", "Path": "site/52:54:00:00:00:01", "Contents": "{{.MusterArgs}}"},
    ]});
    yard.app.create(&admin(), Kind::BootEnvs, &[], own).await.unwrap();
    yard.prefer(json!({"unknownBootEnv": "site"})).await;
    for (from, path) in [(known, "site/start"), (STRANGER, "site/52:54:00:00:00:01")] {
        let refused = yard.ask(from, path).await.unwrap_err();
        assert_eq!(refused.kind, AppErrorKind::Forbidden, "{path}");
        assert!(refused.message.contains("is machine m-525400000001"), "{}", refused.message);
    }
    assert_eq!(yard.text(known, "site/stop").await, "nothing");
    assert!(yard.text(STRANGER, "site/start").await.starts_with("eyJ"));
    assert_eq!(yard.tokens().await, 4);
}

#[tokio::test]
async fn known_machine_boots_with_a_nonce_and_never_with_a_token() {
    let yard = Yard::discovering().await;
    let own = yard.registered(Bare::number(1)).await.source;
    let issued = yard.tokens().await;
    for path in ["52:54:00:00:00:01.ipxe", "grub/52:54:00:00:00:01.cfg", "pxelinux.cfg/01-52-54-00-00-00-01"]
    {
        let args =
            |text: String| text.lines().map(KernelArgs::parse).find(|args| !args.servers.is_empty()).unwrap();
        let its = args(yard.text(own, path).await);
        assert!(its.token.is_none() && its.problems.is_empty(), "{path}: {its:?}");
        assert_eq!(its.servers, ["https://10.20.0.5:8092".parse().unwrap()], "where it came to");
        // Whoever else asks gets the same without what opens a door.
        let others = args(yard.text(STRANGER, path).await);
        assert_eq!((others.token, others.nonce), (None, None), "{path}");
        assert!(its.nonce.is_some(), "{path}");
    }
    assert_eq!(yard.tokens().await, issued);
}

#[tokio::test]
async fn image_for_http_boot_differs_by_its_configuration_alone() {
    let yard = Yard::discovering().await;
    let path = "muster/52-54-00-00-00-09/muster.iso";
    let mut first = yard.image(STRANGER, path).await.unwrap();
    let image = whole(&mut first);
    let base = noise();
    assert_eq!(image.len(), base.len());
    assert!(image[..REGION.start] == base[..REGION.start] && image[REGION.end..] == base[REGION.end..]);
    let said = config(&image);
    assert_eq!(said.origin, Some(Origin::Pxe));
    assert_eq!(said.server, ["https://10.20.0.5:8092".parse().unwrap()]);
    assert!(said.token.is_some() && said.nonce.is_none());
    // Ranges of another request fit, whatever they cover.
    let mut again = yard.image(STRANGER, path).await.unwrap();
    assert_eq!(again.etag, first.etag);
    for (from, len) in [(0, 10), (4_000, 200), (5_000, 66_000), (REGION.end - 1, 2), (ISO_LEN - 3, 3)] {
        let mut part = vec![0; len];
        again.read_at(u64::try_from(from).unwrap(), &mut part).unwrap();
        assert_eq!(part, image[from..from + len], "{from}");
    }
    // Another client has another token, and so has the same one when half of its token's life is over.
    let other = yard.image(IpAddr::from([10, 20, 9, 10]), "muster/muster.iso").await.unwrap();
    assert_ne!(other.etag, first.etag);
    yard.clock.advance(299 * SECOND);
    assert_eq!(yard.image(STRANGER, path).await.unwrap().etag, first.etag);
    yard.clock.advance(SECOND);
    assert_ne!(yard.image(STRANGER, path).await.unwrap().etag, first.etag);
    assert_eq!(yard.tokens().await, 3);
    let token = said.token.unwrap();
    let machine = Bare::number(9);
    yard.app.register(&machine.caller(), machine.registration(&token)).await.unwrap();
}

#[tokio::test]
async fn image_for_http_boot_is_for_whom_it_is_chosen() {
    let yard = Yard::start().await;
    let refused = |path: &'static str, from: IpAddr| {
        let yard = &yard;
        async move {
            let error = yard.image(from, path).await.unwrap_err();
            assert_eq!(error.kind, AppErrorKind::NotFound, "{path}");
            error.message
        }
    };
    let unknown = "muster/52-54-00-00-00-09/muster.iso";
    assert!(refused(unknown, STRANGER).await.contains("set the preference unknownBootEnv to discovery"));
    yard.prefer(json!({"unknownBootEnv": bootenv::DISCOVERY})).await;
    assert!(yard.image(STRANGER, unknown).await.is_ok());
    yard.machine("10.20.4.1", "52:54:00:00:00:01", bootenv::LOCAL).await;
    let (home, path) = (IpAddr::from([10, 20, 4, 1]), "muster/52-54-00-00-00-01/muster.iso");
    assert!(refused(path, home).await.contains("boots its own disk"));
    assert!(refused(unknown, home).await.contains("boots its own disk"), "an address that is known");
    let (home, path) = (yard.registered(Bare::number(2)).await.source, "muster/52-54-00-00-00-02/muster.iso");
    let mut own = yard.image(home, path).await.unwrap();
    let said = config(&whole(&mut own));
    assert!(said.nonce.is_some() && said.token.is_none());
    assert_eq!(yard.image(home, path).await.unwrap().etag, own.etag, "one nonce for a HEAD and its GET");
    let said = config(&whole(&mut yard.image(STRANGER, path).await.unwrap()));
    assert!(said.nonce.is_none() && said.token.is_none(), "the address is not the machine's");
}

#[tokio::test]
async fn firmware_is_told_its_loader() {
    let yard = Yard::discovering().await;
    let mac = "52:54:00:00:00:09";
    let load = |text: &str| Answer::Load(text.to_owned());
    let x64 = Firmware::Uefi(Cpu::X64);
    assert_eq!(yard.asked(mac, Firmware::Bios).await, load("undionly.kpxe"));
    assert_eq!(yard.asked(mac, x64).await, load("snponly.efi"), "beside somebody else's DHCP server");
    assert_eq!(yard.asked(mac, Firmware::Ipxe).await, load("http://10.20.0.5:8091/default.ipxe"));
    let image = "http://10.20.0.5:8091/muster/52-54-00-00-00-09/muster.iso";
    assert_eq!(yard.asked(mac, Firmware::UefiHttp(Cpu::X64)).await, load(image));
    for firmware in [Firmware::Uefi(Cpu::Arm64), Firmware::UefiHttp(Cpu::Arm64)] {
        assert!(matches!(yard.asked(mac, firmware).await, Answer::Silence(_)), "{firmware:?}");
    }
    // A bootenv may name its own.
    let own = json!({"Name": "site", "OnlyUnknown": true, "Loaders": {"amd64-uefi": "/site/boot.efi"}});
    yard.app.create(&admin(), Kind::BootEnvs, &[], own).await.unwrap();
    yard.prefer(json!({"unknownBootEnv": "site"})).await;
    assert_eq!(yard.asked(mac, x64).await, load("site/boot.efi"));
    assert_eq!(yard.asked(mac, Firmware::Bios).await, load("undionly.kpxe"));
    // Where nobody is discovered, strangers go on with their disks; known machines get their menus.
    yard.prefer(json!({"unknownBootEnv": bootenv::IGNORE})).await;
    for firmware in [Firmware::Bios, x64, Firmware::Ipxe, Firmware::UefiHttp(Cpu::X64)] {
        let answer = yard.asked(mac, firmware).await;
        assert!(matches!(&answer, Answer::Silence(why) if why.contains("to discovery")), "{answer:?}");
    }
    yard.machine("10.20.4.1", "52:54:00:00:00:01", bootenv::LOCAL).await;
    let known = "52:54:00:00:00:01";
    assert_eq!(yard.asked(known, Firmware::Bios).await, load("undionly.kpxe"), "its menu boots the disk");
    let own = load("http://10.20.0.5:8091/52:54:00:00:00:01.ipxe");
    assert_eq!(yard.asked(known, Firmware::Ipxe).await, own, "no detour by what is for strangers");
    assert!(matches!(yard.asked(known, Firmware::UefiHttp(Cpu::X64)).await, Answer::Silence(_)));
    std::fs::remove_file(yard.directory.path().join("loaders/undionly.kpxe")).unwrap();
    let answer = yard.asked(known, Firmware::Bios).await;
    assert!(matches!(&answer, Answer::Silence(why) if why.contains("apt-get install ipxe")), "{answer:?}");
    assert!(yard.app.boot_remarks().iter().any(|remark| remark.contains("apt-get install ipxe")));
}

#[tokio::test]
async fn signed_chain_is_for_whom_it_can_work() {
    let x64 = Firmware::Uefi(Cpu::X64);
    let shim = Answer::Load("shimx64.efi".into());
    let leasing = Yard::start_with(|boot| boot.leases = true).await;
    leasing.prefer(json!({"unknownBootEnv": bootenv::DISCOVERY})).await;
    assert_eq!(leasing.asked("52:54:00:00:00:09", x64).await, shim);
    // Beside another server: whoever starts nothing else.
    let yard = Yard::discovering().await;
    let mut machine = Bare::number(1);
    machine.inventory.secure_boot = true;
    machine.inventory.system_uuid = "4c4c4544-0058-4b10-8032-b7c04f314d33".into();
    let machine = yard.registered(machine).await;
    assert_eq!(yard.asked("52:54:00:00:00:01", x64).await, shim);
    // By its UUID, when it has another card.
    let uuid = uuid::Uuid::parse_str(&machine.inventory.system_uuid).unwrap().into_bytes();
    let client = Client { mac: [2; 6], uuid: Some(uuid), firmware: x64, reached: REACHED };
    assert_eq!(yard.app.what_boots(&client).await.unwrap(), shim);
    let stranger = Client { uuid: Some([7; 16]), ..client };
    assert_eq!(yard.app.what_boots(&stranger).await.unwrap(), Answer::Load("snponly.efi".into()));
}

#[tokio::test]
async fn store_that_cannot_be_read_keeps_nobody_from_a_loader() {
    let yard = Yard::start().await;
    yard.machine("10.20.4.1", "52:54:00:00:00:01", bootenv::LOCAL).await;
    yard.app.store.close().await;
    let answer = yard.asked("52:54:00:00:00:01", Firmware::Bios).await;
    assert_eq!(answer, Answer::Load("undionly.kpxe".into()));
    for path in ["muster/vmlinuz", "undionly.kpxe"] {
        assert!(matches!(yard.ask(STRANGER, path).await, Ok(BootFile::Tree(_))), "{path}");
    }
    assert!(yard.ask(STRANGER, "default.ipxe").await.is_err());
}

#[tokio::test]
async fn doors_that_are_shut_are_not_named() {
    let yard = Yard::start_with(|boot| (boot.http_open, boot.tftp_open) = (false, true)).await;
    yard.prefer(json!({"unknownBootEnv": bootenv::DISCOVERY})).await;
    let mac = "52:54:00:00:00:09";
    assert_eq!(yard.asked(mac, Firmware::Ipxe).await, Answer::Load("tftp://10.20.0.5/default.ipxe".into()));
    assert!(yard.text(STRANGER, "default.ipxe").await.contains("kernel tftp://10.20.0.5/muster/vmlinuz "));
    let remedy = |answer: Answer| match answer {
        Answer::Silence(why) => why,
        Answer::Load(what) => panic!("{what}"),
    };
    assert!(remedy(yard.asked(mac, Firmware::UefiHttp(Cpu::X64)).await).contains("--http-listen"));
    let yard = Yard::start_with(|boot| (boot.http_open, boot.tftp_open) = (false, false)).await;
    yard.prefer(json!({"unknownBootEnv": bootenv::DISCOVERY})).await;
    for firmware in [Firmware::Bios, Firmware::Uefi(Cpu::X64), Firmware::Ipxe] {
        assert!(remedy(yard.asked(mac, firmware).await).contains("--tftp-listen"), "{firmware:?}");
    }
}
