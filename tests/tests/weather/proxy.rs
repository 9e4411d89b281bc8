//! Between the machine and its server: an HTTP proxy in every mood, and a company's proxy that ends
//! TLS under a CA of its own.

use std::net::Ipv4Addr;
use std::process::Command;

use serde_json::json;
use tests::lab::{HOST, Proxy, Temper, Terminator};
use tests::output;
use tests::qemu::{Boot, Vm};

use crate::{BOOT_WITHIN, CHANGE_WITHIN, SCREEN_WITHIN, Site, shows, shows_a_code};

/// The password that the proxy wants.
const PASSWORD: &str = "Kormoran-4711";
/// `lab:Kormoran-4711` in base64.
const CREDENTIALS: &str = "bGFiOktvcm1vcmFuLTQ3MTE=";

#[test]
fn a_proxy_is_named_whatever_is_wrong_with_it_and_used_when_it_is_right() {
    let mut site = Site::fair("proxy");
    // Nobody has this address: only the proxy knows the way.
    let server = format!("10.99.0.1:{}", site.server.port());
    let target = (Ipv4Addr::LOCALHOST, site.server.port()).into();
    let mut proxy = Proxy::start(&site.lab, target, Temper::Babbles).unwrap();
    let args = format!(
        "muster.server=https://{server} {} muster.proxy=http://lab:{PASSWORD}@{}",
        site.pins(),
        proxy.address()
    );
    let port = site.lab.port("52:54:00:07:05:01").unwrap();
    let mut vm = site.machine("proxy", &args).plug(port).start().unwrap();
    let remedy = "Check muster.proxy=";
    shows(&mut vm, "E15 proxy", remedy, BOOT_WITHIN);
    proxy.set_temper(Temper::Forbids).unwrap();
    vm.wait_for_words("403 Blocked by policy 7", CHANGE_WITHIN).unwrap();
    vm.look_from_here().unwrap();
    proxy.set_temper(Temper::Wants("c29tZW9uZTplbHNl")).unwrap();
    vm.wait_for_words("407 Proxy Authentication Required", CHANGE_WITHIN).unwrap();
    vm.look_from_here().unwrap();
    proxy.close();
    shows(&mut vm, "E15 proxy", remedy, CHANGE_WITHIN);
    proxy.set_temper(Temper::Wants(CREDENTIALS)).unwrap();
    proxy.open(&site.lab).unwrap();
    shows_a_code(&mut vm, &site.operator, CHANGE_WITHIN);
    let asked = proxy.asked().unwrap();
    assert!(asked.iter().all(|line| *line == format!("CONNECT {server} HTTP/1.1")), "{asked:?}");
    let shown = std::fs::read(vm.serial_reader().path()).unwrap();
    assert!(!String::from_utf8_lossy(&shown).contains(PASSWORD), "the console shows the proxy's password");
}

#[test]
fn a_proxy_that_ends_tls_is_trusted_by_the_mediums_own_ca_and_named() {
    let mut site = Site::fair("terminator");
    // The way to the server itself is closed: somebody else answers at its address.
    let address = site.relay.address();
    site.relay.cut();
    let info = site.operator.info().unwrap();
    let ca = site.server.ca_pem().unwrap();
    let inspector = Terminator::start(&site.lab, address, &info.id, &ca, site.server.port()).unwrap();
    let machine = |site: &mut Site, name: &str, config: serde_json::Value| -> Vm {
        let folder = output::folder(&format!("weather-{name}-medium")).unwrap();
        let (settings, iso) = (folder.join("config.json"), folder.join("muster.iso"));
        std::fs::write(&settings, config.to_string()).unwrap();
        let mut customize = Command::new(output::muster_binary().unwrap());
        customize.args(["media", "customize"]).arg(site.media.iso()).arg("-o").arg(&iso);
        let answer = customize.arg("--config").arg(&settings).output().unwrap();
        assert!(answer.status.success(), "{}", String::from_utf8_lossy(&answer.stderr));
        let port = site.lab.port("52:54:00:07:05:02").unwrap();
        let vm = Vm::builder(&format!("weather-{name}")).memory_mib(512).boot(Boot::Cd(iso)).plug(port);
        vm.start().unwrap()
    };
    let server = [format!("https://{HOST}:{}", site.server.port())];
    let pins = &info.ca_hash;

    // Without the CA it is what it looks like: somebody in between.
    let mut stranger =
        machine(&mut site, "terminator-stranger", json!({ "version": 1, "server": server, "ca-hash": pins }));
    shows(&mut stranger, "E21 pin mismatch", "Possible interception", BOOT_WITHIN);
    stranger.cut_power().unwrap();

    let config = json!({
        "version": 1, "server": server, "ca-hash": pins, "server-id": info.id, "ca": [inspector.ca_pem()],
    });
    let mut vm = machine(&mut site, "terminator", config);
    let code = shows_a_code(&mut vm, &site.operator, BOOT_WITHIN);
    vm.wait_for_words("Contoso inspection CA", SCREEN_WITHIN).unwrap();
    let approved = site.operator.approve(&code.to_string()).unwrap();
    assert_eq!(vm.wait_for_registration(CHANGE_WITHIN).unwrap().uuid, approved.uuid);
}
