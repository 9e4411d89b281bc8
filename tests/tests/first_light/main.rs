//! First light: machines boot our media in real firmware, show their code, are approved, and
//! appear in Discovery mode. One virtual machine per test; each proves several promises, since
//! a boot is what costs time. Run with two threads on two cores.

mod boots;
mod conditions;
mod media;
mod strangers;
mod tokens;

use std::path::PathBuf;
use std::time::Duration;

use protocol::rest::EnrollmentPreview;
use tempfile::TempDir;
use tests::media::{Media, Profile};
use tests::muster::{Server, ServerBuilder};
use tests::operator::Operator;
use tests::qemu::Vm;

/// Power-on to a code: 15 s of translated instructions at most when quiet, much more while
/// other machines and compilers run.
const CODE_WITHIN: Duration = Duration::from_secs(120);
/// From the code on the serial console to the same on the screen.
const SCREEN_WITHIN: Duration = Duration::from_secs(20);
/// Approval to the console saying so.
const REGISTERED_WITHIN: Duration = Duration::from_secs(30);

/// A server with media, and its operator.
struct Site {
    server: Server,
    operator: Operator,
    media: Media,
    /// Gone with the test: images are large and tell nothing afterwards.
    downloads: TempDir,
}

impl Site {
    fn start(name: &str, profile: Profile) -> Self {
        Self::of(Server::builder(name), profile)
    }

    fn of(server: ServerBuilder, profile: Profile) -> Self {
        let media = Media::of(profile).unwrap();
        let server = server.media(media.folder()).start().unwrap();
        let operator = server.operator().unwrap();
        Self { server, operator, media, downloads: tempfile::tempdir().unwrap() }
    }

    /// The ISO as an operator downloads it from this server.
    fn iso(&self) -> PathBuf {
        let path = self.downloads.path().join("muster.iso");
        self.operator.download("muster.iso", &path).unwrap();
        path
    }
}

/// Waits for the code on both consoles, and looks it up as an operator would.
fn code_on_both_consoles(vm: &mut Vm, operator: &Operator) -> (String, EnrollmentPreview) {
    let code = vm.wait_for_code(CODE_WITHIN).unwrap();
    let seconds = vm.started().elapsed().as_secs_f64();
    std::fs::write(vm.folder().join("time-to-code"), format!("{seconds:.1} s after power-on\n")).unwrap();
    assert_eq!(vm.wait_for_code_on_screen(SCREEN_WITHIN).unwrap(), code, "serial and screen must agree");
    let preview = operator.lookup(&code.to_string()).map_err(|error| vm.failed(&error)).unwrap();
    vm.wait_for_text(&preview.fingerprint.to_string(), SCREEN_WITHIN).unwrap();
    (code.to_string(), preview)
}
