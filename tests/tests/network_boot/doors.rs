//! Boot files as others' clients fetch them: curl, tftp-hpa and atftp get the same bytes by every door.

use std::fs;
use std::path::Path;
use std::process::Command;

use reqwest::Method;
use serde_json::json;
use tests::lab::HOST;

use crate::{SERVER, Site, tells_no_secrets};

/// Files of everybody's.
const COMMON: [&str; 8] = [
    "muster/vmlinuz",
    "muster/initrd",
    "muster/tools.cpio.zst",
    "shimx64.efi",
    "undionly.kpxe",
    "default.ipxe",
    "grub/grub.cfg",
    "pxelinux.cfg/default",
];
/// Those of the machine whose address is the first host's.
const OF_THE_MACHINE: [&str; 6] = [
    "pxelinux.cfg/0A4D0001",
    "pxelinux.cfg/01-52-54-00-0b-0b-0b",
    "10.77.0.1.ipxe",
    "52:54:00:0b:0b:0b.ipxe",
    "grub/10.77.0.1.cfg",
    "grub/52:54:00:0b:0b:0b.cfg",
];

impl Site {
    fn fetched(&self, command: &mut Command, to: &Path) -> Vec<u8> {
        let output = self.gateway().namespace().run(command).unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command:?}: {} {said}", output.status);
        fs::read(to).unwrap_or_else(|error| panic!("{command:?}: {error}: {said}"))
    }

    /// What a path holds, by each door and client, which must be the same but for secrets.
    fn through_every_door(&self, path: &str) -> Vec<u8> {
        let url = format!("{}/{path}", self.server.boot_url().unwrap());
        let server = SERVER.to_string();
        let to = |client: &str| self.path(client);
        let (http, curl, hpa, atftp) = (to("http"), to("curl"), to("hpa"), to("atftp"));
        for old in [&http, &curl, &hpa, &atftp].into_iter().filter(|old| old.exists()) {
            fs::remove_file(old).unwrap();
        }
        let by_http = self.fetched(Command::new("curl").args(["-sSf", &url, "-o"]).arg(&http), &http);
        let url = format!("tftp://{server}/{path}");
        let by_curl = self.fetched(Command::new("curl").args(["-sSf", &url, "-o"]).arg(&curl), &curl);
        let mut client = Command::new("tftp");
        client.args(["-m", "binary", &server, "-c", "get", &format!("{server}:{path}")]).arg(&hpa);
        let by_hpa = self.fetched(&mut client, &hpa);
        let mut client = Command::new("atftp");
        client.args(["--option", "blksize 1428", "--get", "--remote-file", path, "--local-file"]);
        let by_atftp = self.fetched(client.arg(&atftp).arg(&server), &atftp);
        for (client, bytes) in [("curl", &by_curl), ("tftp-hpa", &by_hpa), ("atftp", &by_atftp)] {
            assert_eq!(bytes.len(), by_http.len(), "{path} by {client}");
            assert!(masked(bytes) == masked(&by_http), "{path} by {client} is another file");
        }
        by_http
    }

    fn text(&self, path: &str) -> String {
        String::from_utf8(self.through_every_door(path)).unwrap()
    }
}

/// A file without what differs from one fetch to the next: tokens and nonces.
fn masked(bytes: &[u8]) -> Vec<u8> {
    let Ok(text) = std::str::from_utf8(bytes) else { return bytes.to_vec() };
    let secret = |word: &str| word.starts_with("muster.token=") || word.starts_with("muster.nonce=");
    let words = text.split_inclusive([' ', '\n']);
    words.map(|word| if secret(word) { "SECRET " } else { word }).collect::<String>().into_bytes()
}

#[test]
fn every_client_gets_the_same_bytes_by_every_door() {
    let site = Site::with_tftp("doors");
    for path in COMMON {
        let bytes = site.through_every_door(path);
        if let Some(name) = path.strip_prefix("muster/") {
            assert!(bytes == fs::read(site.media.folder().join(name)).unwrap(), "{path} is not the medium's");
        }
        let text = String::from_utf8_lossy(&bytes);
        assert_eq!(
            text.contains("muster.token="),
            path.ends_with("default") || path.contains(".ipxe") || path.contains(".cfg"),
            "{path}"
        );
    }

    let machine = json!({
        "Name": "by.hand", "Address": HOST, "HardwareAddrs": ["52:54:00:0b:0b:0b"], "BootEnv": "muster",
    });
    let machine = site.operator.call(Method::POST, "/machines", &machine).unwrap();
    let params = format!("/machines/{}/params/kernel-console", machine["Uuid"].as_str().unwrap());
    for console in ["ttyS0,115200n8", "ttyS1"] {
        site.operator.call(Method::POST, &params, &json!(console)).unwrap();
        for path in OF_THE_MACHINE {
            let text = site.text(path);
            assert!(text.contains(console), "{path} follows its machine's params at once:\n{text}");
            assert!(!text.contains("muster.token="), "{path} has a token in it");
        }
    }
    tells_no_secrets(&site.server.logs().unwrap());
}
