//! Servers that are not the machine's own: impostors are told nothing, nobody is contacted
//! without an address, and another protocol is named.

use std::time::Duration;

use protocol::ids::SpkiPin;
use serde_json::json;
use tests::fake_server::FakeServer;
use tests::media::{Media, Profile};
use tests::qemu::{Boot, Vm};
use tests::wait;

use crate::{CODE_WITHIN, Site};

/// How long a machine that must stay silent is watched.
const WATCHED: Duration = Duration::from_secs(8);

/// A direct boot with this command line.
fn boot(name: &str, media: &Media, args: &str) -> Vm {
    let kernel = Boot::Kernel { kernel: media.kernel(), initrd: media.initrd(), append: args.to_owned() };
    Vm::builder(name).boot(kernel).start().unwrap()
}

fn pinned(url: &str, pin: SpkiPin) -> String {
    format!("quiet muster.server={url} muster.ca-hash={pin}")
}

#[test]
fn an_impostor_is_told_nothing_and_the_console_says_so() {
    let site = Site::start("stranger-impostor-server", Profile::Cloud);
    let info = site.operator.info().unwrap();
    let impostor = FakeServer::start(&info.id, "200 OK", "{}").unwrap();
    let pin = info.ca_hash.first().unwrap().parse().unwrap();
    let token = site.operator.create_token(600).unwrap().token;
    let args = format!("{} muster.token={token}", pinned(&impostor.guest_url(), pin));
    let mut vm = boot("stranger-impostor", &site.media, &args);
    let line = vm.wait_for_text("E21", CODE_WITHIN).unwrap();
    assert!(line.contains("interception") || line.contains("expected"), "{line}");
    // It goes on trying, and goes on telling nothing.
    wait::throughout(WATCHED, || Ok(())).unwrap();
    assert!(impostor.connections() >= 1, "nobody connected");
    assert_eq!(impostor.application_bytes(), 0);
    assert_eq!(impostor.requests(), Vec::<String>::new());
    assert!(site.operator.machines().unwrap().is_empty());
}

#[test]
fn a_medium_that_was_never_personalised_contacts_nobody() {
    let media = Media::of(Profile::Cloud).unwrap();
    let mut vm =
        Vm::builder("stranger-nobody").boot(Boot::Cd(media.iso())).capture_network().start().unwrap();
    vm.wait_for_text("E11", CODE_WITHIN).unwrap();
    let remedy = vm.wait_for_text("Nobody was contacted", CODE_WITHIN).unwrap();
    assert!(remedy.contains("muster media customize"), "{remedy}");
    wait::throughout(WATCHED, || Ok(())).unwrap();
    let seen = vm.network().unwrap();
    assert_eq!(seen.connects, [], "it tried to connect");
    // DHCP and nothing else: names are not even looked up.
    assert!(seen.datagrams.iter().all(|target| matches!(target.port(), 67 | 68)), "{:?}", seen.datagrams);
    vm.save_screenshot("not-personalised").unwrap();
}

#[test]
fn a_server_of_another_protocol_is_named_on_the_console() {
    let media = Media::of(Profile::Cloud).unwrap();
    let refusal = json!({ "error": "unsupported_protocol", "message": "this server speaks protocol 2" });
    let server = FakeServer::start("later", "426 Upgrade Required", &refusal.to_string()).unwrap();
    let mut vm = boot("stranger-protocol", &media, &pinned(&server.guest_url(), server.pin()));
    vm.wait_for_text("E23", CODE_WITHIN).unwrap();
    let requests = server.requests();
    let first = requests.first().unwrap().to_ascii_lowercase();
    assert!(first.starts_with("post /api/v3/bootstrap/enrollments http/1.1"), "{first}");
    assert!(first.contains("muster-protocol: 1"), "{first}");
}
