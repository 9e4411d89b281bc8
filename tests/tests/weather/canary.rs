//! A token is a secret that has to travel on a command line everybody may read: after the machine
//! has used it, it is nowhere to be found, on the machine or at the server.

use std::path::Path;

use tests::muster::Server;
use tests::output;
use tests::process::{Process, Spec};
use tests::qemu::Vm;

use crate::{BOOT_WITHIN, CHANGE_WITHIN, SCREEN_WITHIN, Site};

/// Characters of the token that are looked for: any stretch of it this long gives it away.
const STRETCH: usize = 24;

/// `muster events` of everything, for as long as it lives.
fn events(server: &Server) -> Process {
    let folder = output::folder("weather-canary-events").unwrap();
    Spec::new(&output::muster_binary().unwrap(), &folder, "events")
        .args(["events", "*.*.*", "--endpoint", &server.url(), "--ca"])
        .args([server.ca_file()])
        .env("MUSTER_USERNAME", "admin")
        .env("MUSTER_PASSWORD", server.admin_password().unwrap())
        .start()
        .unwrap()
}

/// Whether any stretch of the secret is in a text. The first characters of every token are the same
/// public header, and say nothing.
fn leaks(text: &[u8], token: &str) -> bool {
    let secret = token.split('.').next_back().unwrap_or_default();
    let body = token.split('.').nth(3).unwrap_or_default();
    [body, secret]
        .iter()
        .flat_map(|part| part.as_bytes().chunks(STRETCH))
        .filter(|stretch| stretch.len() > STRETCH / 2)
        .any(|stretch| text.windows(stretch.len()).any(|window| window == stretch))
}

/// Everything a shell on the machine can read that might hold it, printed on the serial console.
fn look_around(vm: &mut Vm) {
    vm.look_from_here().unwrap();
    for command in [
        "cat /proc/cmdline",
        "env; set; history",
        "dmesg",
        "for p in /proc/[0-9]*; do tr '\\0' ' ' <$p/cmdline; tr '\\0' ' ' <$p/environ; done",
        "cat $HOME/.ash_history /*/.ash_history",
        // Every file in memory, but for programs, drivers and what the kernel makes up; one of our
        // own shows that they are read. The shell joins what the harness takes apart.
        "echo this file\" \"was read >/run/witness",
        "find / '(' -path /proc -o -path /sys -o -path /dev -o -name modules ')' -prune \\
            -o -type f -size -64k -exec cat '{}' +",
        "echo that\" \"is all",
    ] {
        vm.type_line(command).unwrap();
    }
    for said in ["muster.token=[redacted]", "this file was read", "that is all"] {
        vm.wait_for_words(said, CHANGE_WITHIN).unwrap();
    }
}

#[test]
fn a_token_is_found_nowhere_after_it_was_used() {
    let mut site = Site::fair("canary");
    let mut events = events(&site.server);
    let heard = events.stdout().to_path_buf();
    let token = site.operator.create_token(600).unwrap();
    assert!(leaks(token.kernel_args.as_bytes(), &token.token), "the test looks for nothing");
    let port = site.lab.port("52:54:00:07:03:01").unwrap();
    let args = format!("{} muster.console=rescue", token.kernel_args);
    let mut vm = site.machine("canary", &args).plug(port).typed_at().start().unwrap();
    let uuid = vm.wait_for_registration(BOOT_WITHIN).unwrap().uuid;

    look_around(&mut vm);
    let serial = std::fs::read(vm.serial_reader().path()).unwrap();
    assert!(!leaks(&serial, &token.token), "the machine's shell or console shows the token");

    let machine = site.operator.get(&format!("/api/v3/machines/{uuid}")).unwrap();
    let lists = ["/api/v3/machines", "/api/v3/bootstrap/tokens", "/api/v3/bootstrap/enrollments", "/metrics"];
    let answers = lists.map(|path| site.operator.get(path).unwrap());
    for answer in answers.iter().chain([&machine]) {
        assert!(answer.status == 200 && !leaks(&answer.body, &token.token), "{}", answer.text());
    }
    events.terminate(SCREEN_WITHIN).unwrap();
    let heard = std::fs::read(heard).unwrap();
    let heard_text = String::from_utf8_lossy(&heard);
    assert!(heard_text.contains(&uuid.to_string()), "no event was heard: {heard_text}");
    assert!(!leaks(&heard, &token.token), "an event shows the token");
    site.server.stop().unwrap();
    assert!(!leaks(site.server.logs().unwrap().as_bytes(), &token.token), "the log shows the token");
    no_file_holds(site.server.data_dir(), &token.token);
}

/// Nothing the server keeps holds it: database, audit, keys.
fn no_file_holds(folder: &Path, token: &str) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            no_file_holds(&path, token);
        } else {
            assert!(!leaks(&std::fs::read(&path).unwrap(), token), "{} holds the token", path.display());
        }
    }
}
