//! The committed seeds: small valid inputs from which libFuzzer starts, made here and nowhere else.
//! `cargo run -p fuzz --bin seeds` writes them, and a test compares.

mod boot;
mod cloud_init;
mod dhcp;
mod disks;
mod image;
mod imaging;
mod objects;
mod templates;
mod tftp;
mod urls;
mod wire;

use initrd::cpio::Tree;
use initrd::segment::config_archive;
use protocol::agent_api::{EnrollmentRequest, Origin};
use protocol::config::AgentConfig;
use protocol::ids::{MacAddr, SpkiPin};
use protocol::inventory::{Disk, Inventory, Link, Lldp, MemoryModule, PciDevice};
use protocol::module_index::{Module, ModuleIndex};
use protocol::nonce::BootNonce;
use protocol::proof::{ProofClaims, finish, signing_input, target};
use protocol::token::{base64url, from_base64url};

/// A seed: its target, its name and its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seed {
    /// Name of the target.
    pub target: &'static str,
    /// Name of the file, without `seed-`.
    pub name: &'static str,
    /// Its contents.
    pub bytes: Vec<u8>,
}

fn seed(target: &'static str, name: &'static str, bytes: impl Into<Vec<u8>>) -> Seed {
    Seed { target, name, bytes: bytes.into() }
}

/// Every seed, in a fixed order.
pub fn all() -> Vec<Seed> {
    let mut seeds = typed();
    seeds.extend(documents());
    seeds.extend(archives());
    seeds.extend(imaging::all());
    seeds.extend(urls::all());
    seeds.extend(wire::all());
    seeds.extend(dhcp::all());
    seeds.extend(disks::all());
    seeds.extend(tftp::all());
    seeds.extend(calls());
    seeds.extend(templates::all());
    seeds.extend(boot::all());
    seeds.extend(cloud_init::all());
    seeds.extend(objects::all());
    seeds
}

fn a_token() -> String {
    let header = base64url(br#"{"alg":"dir","enc":"A256GCM","kid":"k1","typ":"bst+jwt"}"#);
    format!("{header}..{}.{}.{}", base64url(&[1; 12]), base64url(&[2; 24]), base64url(&[3; 16]))
}

fn a_nonce() -> String {
    BootNonce::from_random([1; 16]).reveal()
}

fn typed() -> Vec<Seed> {
    let pins = format!("{},{}", SpkiPin([1; 32]), SpkiPin([2; 32]));
    let plan = "if=eth0,vlan=120,mtu=1400,addr=10.0.0.5/24,addr=fd00::5/64,gw=10.0.0.1,dns=10.0.0.53,search=example.com,route=10.1.0.0/16@10.0.0.1";
    let bond = "bond=52:54:00:12:34:56+eth1,mode=802.3ad";
    let line = format!(
        "BOOT_IMAGE=/vmlinuz quiet console=ttyS0 muster.server=https://10.0.2.2:8092 muster.server=https://[fd00::1] \
         muster.ca-hash={pins} muster.console=verbose,ttyS1 muster.net={plan} muster.net={bond} \
         muster.proxy=http://ann:s3cret@10.0.0.3:3128 muster.token={} \"muster.odd=a b\" -- init",
        a_token()
    );
    let many: Vec<String> = (0..10).map(|number| SpkiPin([number; 32]).to_string()).collect();
    let many = format!("muster.ca-hash={}", many.join(","));
    let claims = ProofClaims {
        jti: base64url(&[5; 16]),
        htm: "POST".to_owned(),
        htu: target("abc", "/api/v3/agent/heartbeat"),
        sid: "abc".to_owned(),
        nonce: "n".to_owned(),
        body_sha256: base64url(&[6; 32]),
        ath: Some(base64url(&[7; 32])),
    };
    let whole = finish(&signing_input(&[8; 32], &claims), &[9; 64]);
    vec![
        seed("cmdline", "everything", line),
        seed("cmdline", "ask", "muster.net=ask muster.net=dhcp"),
        seed("cmdline", "nonce", format!("quiet muster.nonce={} muster.net=dhcp", a_nonce())),
        seed("cmdline", "cut-nonce", "muster.nonce=AQEBAQEBAQEBAQEBAQEBA muster.net=dhcp"),
        seed("cmdline", "many-pins", format!("{many} {many}")),
        seed("code", "as-shown", "K7P-3XB"),
        seed("code", "as-typed", " k7p 3x8"),
        seed("code", "fingerprint", "QM4T-9HXR-2VKD"),
        seed("token", "whole", a_token()),
        seed("token", "parts", [b"{\"alg\":\"dir\"}\n\n".as_slice(), &[1; 12], b"\n{}\n", &[3; 16]].concat()),
        seed("net", "plan", plan),
        seed("net", "two", format!("{bond} if=eth2")),
        seed("net", "prefix", "10.0.0.5/24"),
        seed("proof", "parts", decoded(&whole)),
        seed("proof", "whole", whole),
    ]
}

/// What stands in the parts of a JOSE text, a line for each.
fn decoded(text: &str) -> Vec<u8> {
    let part = |part| from_base64url(part).unwrap_or_default();
    text.split('.').map(part).collect::<Vec<_>>().join(&b'\n')
}

fn an_inventory() -> Inventory {
    let mut link = Link::new("eth0", MacAddr([0x52, 0x54, 0, 0x12, 0x34, 0x56]));
    link.driver = "virtio_net".to_owned();
    link.addresses = vec!["10.0.2.15/24".to_owned()];
    link.lldp = Some(Lldp { chassis_id: "sw-3".into(), port_id: "Eth1/7".into(), ..Lldp::default() });
    Inventory {
        vendor: "QEMU".to_owned(),
        serial: "7XK21M3".to_owned(),
        system_uuid: "4c4c4544-0058-4b10-8032-b7c04f314d33".to_owned(),
        memory_modules: vec![MemoryModule {
            slot: "DIMM 0".into(),
            size_bytes: 1 << 30,
            ..MemoryModule::default()
        }],
        disks: vec![Disk { name: "vda".into(), size_bytes: 10 << 30, ..Disk::default() }],
        links: vec![link],
        pci: vec![PciDevice {
            address: "0000:00:03.0".into(),
            vendor: "1af4".into(),
            ..PciDevice::default()
        }],
        ..Inventory::default()
    }
}

fn an_index() -> String {
    let module = |name: &str, depends: &[&str], pre: &[&str], post: &[&str]| {
        let names = |list: &[&str]| list.iter().map(|&name| name.to_owned()).collect();
        Module {
            name: name.to_owned(),
            path: format!("kernel/{name}.ko.zst"),
            depends: names(depends),
            pre: names(pre),
            post: names(post),
        }
    };
    let made = ModuleIndex::new("6.1.0-56-amd64").and_then(|mut index| {
        index.add_builtin("unix")?;
        index.add_module(module("libphy", &[], &[], &[]))?;
        index.add_module(module("r8169", &["libphy"], &["realtek"], &["libphy"]))?;
        index.add_module(module("realtek", &["libphy"], &[], &[]))?;
        index.add_alias("pci:v000010ECd00008168sv*sd*bc*sc*i*", "r8169")?;
        index.add_alias("of:N*T*Cvendor,chip-[0-9]", "realtek")?;
        Ok(index)
    });
    made.map(|index| index.render()).unwrap_or_default()
}

const MANIFEST: &str = r#"{"schema":1,"version":"0.1.0","arch":"x86_64","kernel":"6.1.0-56-amd64","profile":"cloud",
"build_time":1700000000,"marker":"MUSTER-0011aabb","files":{"muster.iso":{"size":9000,"sha256":
"abababababababababababababababababababababababababababababababab"}},"regions":[{"name":"config","offset":4096,
"length":4096},{"name":"kernel-args","offset":2059,"length":1024}],"packages":[]}"#;

fn documents() -> Vec<Seed> {
    let config = AgentConfig {
        server: ["https://10.0.2.2:8092"].iter().filter_map(|url| url.parse().ok()).collect(),
        ca_hash: vec![SpkiPin([1; 32]), SpkiPin([2; 32])],
        image_id: Some("AAAAAAAAAAAAAAAA".to_owned()),
        built_at: Some(1_700_000_000),
        console: Some("verbose".to_owned()),
        net: Some("addr=10.0.0.5/24,gw=10.0.0.1 if=eth1".to_owned()),
        proxy: Some("http://10.0.0.3:3128".to_owned()),
        token: Some(a_token()),
        ..AgentConfig::unpersonalised()
    };
    let with_ca = r#"{"version":1,"ca":["-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"],"server-id":"abc"}"#;
    let with_nonce = AgentConfig { token: None, nonce: Some(a_nonce()), ..config.clone() };
    let with_nonce = with_nonce.render().unwrap_or_default();
    let json = config.render().unwrap_or_default();
    let inventory = serde_json::to_vec(&an_inventory()).unwrap_or_default();
    vec![
        seed("config", "everything", json),
        seed("config", "ca", with_ca),
        seed("config", "nonce", with_nonce),
        seed("inventory", "virtual-machine", inventory),
        seed("inventory", "bare", "{}"),
        seed("module_index", "small", format!("{}\0pci:v000010ECd00008168sv0sd0bc02sc00i00", an_index())),
        seed("manifest", "small", MANIFEST),
    ]
}

fn archives() -> Vec<Seed> {
    let mut tree = Tree::new();
    let added = tree
        .file("bin/init", 0o755, b"#!".as_slice())
        .and_then(|()| tree.symlink("bin/sh", "init"))
        .and_then(|()| tree.char_device("dev/console", 0o600, 5, 1))
        .and_then(|()| tree.to_bytes(0));
    vec![
        seed("cpio", "init", added.unwrap_or_default()),
        seed("cpio", "config", config_archive(br#"{"version":1}"#, 512).unwrap_or_default()),
        seed("iso9660", "plain", image::plain()),
        seed("iso9660", "rock-ridge", image::rock_ridge()),
    ]
}

fn calls() -> Vec<Seed> {
    let request = EnrollmentRequest {
        inventory: an_inventory(),
        origin: Origin::Iso,
        image_id: Some("AAAAAAAAAAAAAAAA".to_owned()),
    };
    let claims = r#"{"iss":"abc","aud":"reg","jti":"AAAAAAAAAAAAAAAA","iat":1800000000,"exp":1800000600,"by":"user:admin"}"#;
    let narrow = r#"{"iss":"abc","aud":"reg","jti":"B","iat":1,"exp":2,"by":"user:admin","role":["db"],"net":"m1","appr":true,"c":{"cidr":["10.0.0.0/8"],"mac":["52:54:00:12:34:56"],"max":3}}"#;
    vec![
        seed("enrollment", "virtual-machine", serde_json::to_vec(&request).unwrap_or_default()),
        seed("jwe", "claims", claims),
        seed("jwe", "narrow", narrow),
        seed("terminal", "open", r#"{"Type":"open","Csrf":"secret","Size":{"Cols":132,"Rows":50}}"#),
        seed(
            "terminal",
            "start",
            r#"{"Type":"start","User":"ann","Source":"10.0.0.7","Size":{"Cols":80,"Rows":24}}"#,
        ),
        seed("terminal", "ended", r#"{"Type":"ended","Reason":"no_answer","Message":"it did not come"}"#),
        seed("terminal", "exited", r#"{"Type":"exited","Code":3,"Signal":9}"#),
        seed(
            "mesh",
            "news",
            r#"{"cursor":"7","own":{"addresses":["fd00::1"],"networks":["fd00::/64"],"port":1},"peers":[{"machine":"00000000-0000-0000-0000-000000000002","name":"b","addresses":[],"endpoints":["1.2.3.4:5"],"way":"relay"}],"vips":[{"name":"v","prefix":"fd00::9/128","check":{"Type":"tcp","Target":":1"}}]}"#,
        ),
        seed(
            "mesh",
            "report",
            r#"{"key":"BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=","port":1,"addresses":["1.2.3.4"],"peers":[{"machine":"00000000-0000-0000-0000-000000000002","handshake":1}],"vips":[{"name":"v","healthy":true}]}"#,
        ),
        seed("mesh", "answer", r#"{"due":5,"grants":[{"name":"v","epoch":3,"lease":900}]}"#),
    ]
}
