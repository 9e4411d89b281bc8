//! Media in a drawer: those of earlier releases, built whole from their own commits, boot and register
//! with this server. Each build takes minutes once, so `make e2e SUITE=weather` runs this with `FULL=1`.

use std::time::Duration;

use tests::media::Media;
use tests::muster::Server;
use tests::qemu::{Boot, Registered, Vm};

/// The last commit of the release "First light"; the Makefile asks whether the clone has it.
const FIRST_LIGHT: &str = "1fd9f7a";
/// Power-on to a code or a registration, on a busy machine.
const BOOT_WITHIN: Duration = Duration::from_secs(120);
/// Approval to the console saying so.
const REGISTERED_WITHIN: Duration = Duration::from_secs(30);

#[test]
fn media_of_first_light_register_with_this_server() {
    let media = Media::of_commit(FIRST_LIGHT).unwrap();
    let server = Server::builder("releases-server").media(media.folder()).start().unwrap();
    let operator = server.operator().unwrap();
    // By code, from an ISO that today's server personalises.
    let downloads = tempfile::tempdir().unwrap();
    let iso = downloads.path().join("muster.iso");
    operator.download("muster.iso", &iso).unwrap();
    let mut vm = Vm::builder("releases-iso").boot(Boot::Cd(iso)).start().unwrap();
    let code = vm.wait_for_code(BOOT_WITHIN).unwrap();
    assert_eq!(vm.wait_for_code_on_screen(REGISTERED_WITHIN).unwrap(), code);
    let approved = operator.approve(&code.to_string()).unwrap();
    assert_eq!(vm.wait_for_registration(REGISTERED_WITHIN).unwrap().uuid, approved.uuid);
    vm.cut_power().unwrap();
    // By token, on a command line that today's server writes.
    let append = format!("quiet {}", operator.create_token(600).unwrap().kernel_args);
    let kernel = Boot::Kernel { kernel: media.kernel(), initrd: media.initrd(), append };
    let machine = Vm::builder("releases-kernel").boot(kernel).mac("52:54:00:07:04:03");
    let Registered { uuid, .. } = machine.start().unwrap().wait_for_registration(BOOT_WITHIN).unwrap();
    assert_ne!(uuid, approved.uuid);
    assert_eq!(operator.machines().unwrap().len(), 2);
}
