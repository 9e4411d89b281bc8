//! The identity over a year and over rolls, as clients see it: real handshakes in memory, at a
//! time that the test moves.

use super::*;
use crate::keys::Keys;
use rustls::pki_types::{UnixTime, pem::PemObject};
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::time::Duration;

const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);
const DAY: u64 = 86_400;

fn days(days: u64) -> Timestamp {
    NOW.plus(Duration::from_secs(days * DAY))
}

/// A data directory and the keys on it.
struct Site {
    directory: tempfile::TempDir,
    keys: Keys,
}

impl Site {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let keys = Keys::open(directory.path(), &["10.0.0.5".to_owned()], NOW).unwrap();
        Self { directory, keys }
    }

    fn ca_pem(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("ca.pem")).unwrap()
    }

    fn connect(&self, ca_pem: &str, name: &str, now: Timestamp) -> Result<Connection, rustls::Error> {
        connect(&self.keys.identity(), ca_pem, name, now)
    }
}

/// Both ends of a connection.
struct Connection {
    client: ClientConnection,
    server: ServerConnection,
}

impl Connection {
    /// Carries bytes back and forth until neither end has any.
    fn pump(&mut self) -> Result<(), rustls::Error> {
        loop {
            let (mut up, mut down) = (Vec::new(), Vec::new());
            while self.client.wants_write() {
                self.client.write_tls(&mut up).unwrap();
            }
            while self.server.wants_write() {
                self.server.write_tls(&mut down).unwrap();
            }
            if up.is_empty() && down.is_empty() {
                return Ok(());
            }
            let (mut up, mut down) = (up.as_slice(), down.as_slice());
            while !up.is_empty() {
                self.server.read_tls(&mut up).unwrap();
                self.server.process_new_packets()?;
            }
            while !down.is_empty() {
                self.client.read_tls(&mut down).unwrap();
                self.client.process_new_packets()?;
            }
        }
    }

    fn echo(&mut self, text: &[u8]) {
        self.client.writer().write_all(text).unwrap();
        self.pump().unwrap();
        let mut heard = vec![0; text.len()];
        self.server.reader().read_exact(&mut heard).unwrap();
        self.server.writer().write_all(&heard).unwrap();
        self.pump().unwrap();
        let mut back = vec![0; text.len()];
        self.client.reader().read_exact(&mut back).unwrap();
        assert_eq!(back, text);
    }

    fn leaf(&self) -> Vec<u8> {
        self.client.peer_certificates().unwrap()[0].to_vec()
    }
}

#[derive(Debug)]
struct At(Timestamp);

impl TimeProvider for At {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(self.0.as_seconds())))
    }
}

/// A client that trusts the certificates of `ca_pem` and whose clock says `now`.
fn connect(
    identity: &Arc<Identity>,
    ca_pem: &str,
    name: &str,
    now: Timestamp,
) -> Result<Connection, rustls::Error> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(ca_pem.as_bytes()) {
        roots.add(certificate.unwrap()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let client = ClientConfig::builder_with_details(Arc::clone(&provider), Arc::new(At(now)))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let server = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(Arc::clone(identity) as Arc<dyn ResolvesServerCert>);
    let mut connection = Connection {
        client: ClientConnection::new(Arc::new(client), name.to_owned().try_into().unwrap())?,
        server: ServerConnection::new(Arc::new(server))?,
    };
    connection.pump()?;
    Ok(connection)
}

#[test]
fn only_the_servers_own_names_are_vouched_for() {
    let site = Site::new();
    let id = format!("{}.agent.internal", site.keys.server_id());
    for (name, good) in [(id.as_str(), true), ("10.0.0.5", true), ("other.agent.internal", false)] {
        assert_eq!(site.connect(&site.ca_pem(), name, NOW).is_ok(), good, "{name}");
    }
}

#[test]
fn server_that_runs_for_a_year_renews_by_itself_and_drops_nobody() {
    let site = Site::new();
    let identity = site.keys.identity();
    let ca_pem = site.ca_pem();
    let mut held = site.connect(&ca_pem, "localhost", NOW).unwrap();
    let mut leaves = BTreeSet::from([held.leaf()]);
    for day in 1..=365 {
        identity.refresh(&[], days(day)).unwrap();
        // A client whose clock is a month ahead finds it valid as well.
        for now in [days(day), days(day + 29)] {
            leaves.insert(site.connect(&ca_pem, "localhost", now).unwrap().leaf());
        }
    }
    held.echo(b"still here");
    assert_eq!(leaves.len(), 7, "one at first and one every sixty days");
    let keys: BTreeSet<Vec<u8>> = leaves
        .into_iter()
        .map(|leaf| {
            let leaf = CertificateDer::from(leaf);
            let parsed = rustls::server::ParsedCertificate::try_from(&leaf).unwrap();
            parsed.subject_public_key_info().to_vec()
        })
        .collect();
    assert_eq!(keys.len(), 1, "the key stays: scripts may pin it");
}

#[test]
fn address_that_the_host_got_meanwhile_is_in_the_next_leaf() {
    let site = Site::new();
    assert!(site.connect(&site.ca_pem(), "10.9.9.9", NOW).is_err());
    site.keys.identity().refresh(&["10.9.9.9".to_owned()], NOW).unwrap();
    assert!(site.connect(&site.ca_pem(), "10.9.9.9", NOW).is_ok());
}

#[test]
fn roll_is_seen_by_the_next_handshake_and_survived_by_all_who_know_the_next_ca() {
    let site = Site::new();
    let (pins, old_pem) = (site.keys.pins(), site.ca_pem());
    let mut held = site.connect(&old_pem, "10.0.0.5", NOW).unwrap();
    assert!(site.keys.identity().roll("a", days(1)).unwrap());
    held.echo(b"still here");
    // The names stay, and who has the file from before goes on.
    site.connect(&old_pem, "10.0.0.5", days(1)).unwrap().echo(b"back again");
    site.connect(&site.ca_pem(), "10.0.0.5", days(1)).unwrap().echo(b"new here");
    let rolled = site.keys.pins();
    assert_eq!(rolled.first(), pins.last());
    assert!(!pins.contains(rolled.last().unwrap()));
    // Whoever knew only the CA that is gone has lost the server.
    let first = old_pem.split_inclusive("-----END CERTIFICATE-----\n").next().unwrap();
    assert!(site.connect(first, "10.0.0.5", days(1)).is_err());
    // The second roll leaves everybody behind who saw neither.
    assert!(site.keys.identity().roll("b", days(2)).unwrap());
    assert!(site.connect(&old_pem, "10.0.0.5", days(2)).is_err());
    assert_eq!(site.keys.shown().rolled_at, Some(days(2)));
    let again = Keys::open(site.directory.path(), &["10.0.0.5".to_owned()], days(3)).unwrap();
    assert_eq!((again.pins(), again.shown().rolled_at), (site.keys.pins(), Some(days(2))));
}

#[test]
fn what_a_full_disk_left_undone_is_done_by_the_next_look() {
    let site = Site::new();
    let ca_file = site.directory.path().join("ca.pem");
    std::fs::remove_file(&ca_file).unwrap();
    std::fs::create_dir(&ca_file).unwrap();
    assert!(matches!(site.keys.identity().roll("a", NOW), Err(KeysError::CaFile(_))));
    std::fs::remove_dir(&ca_file).unwrap();
    site.keys.identity().refresh(&["10.0.0.5".to_owned()], NOW).unwrap();
    site.connect(&site.ca_pem(), "10.0.0.5", NOW).unwrap().echo(b"rolled");
    assert_eq!(site.keys.shown().ca, "b");
}

#[test]
fn of_two_rolls_at_once_one_is_done() {
    let site = Site::new();
    assert!(site.keys.identity().roll("a", NOW).unwrap());
    let pins = site.keys.pins();
    assert!(!site.keys.identity().roll("a", NOW).unwrap());
    assert_eq!(site.keys.pins(), pins);
}

/// What a roll does to the files of a data directory, in its order.
#[derive(Debug, Clone, Copy)]
enum Step {
    Write(&'static str),
    Remove(&'static str),
}

const STEPS: [Step; 8] = [
    Step::Write("keys/ca-c.key.pem"),
    Step::Write("keys/ca-c.pem"),
    // Here it counts, with the first CA named as gone.
    Step::Write("keys/ca.json"),
    Step::Remove("keys/ca-a.pem"),
    Step::Remove("keys/ca-a.key.pem"),
    Step::Write("keys/ca.json"),
    Step::Write("keys/leaf.json"),
    Step::Write("ca.pem"),
];
/// Steps after which the roll is done, whatever comes.
const COUNTS: usize = 3;

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &to.join(entry.file_name())),
            false => assert!(std::fs::copy(entry.path(), to.join(entry.file_name())).is_ok()),
        }
    }
}

/// The directory as it is when power fails after `count` steps.
fn cut_after(count: usize, before: &Path, after: &Path) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    copy(before, directory.path());
    for (index, step) in STEPS.iter().enumerate().take(count) {
        match *step {
            Step::Write("keys/ca.json") if index < COUNTS => {
                let json =
                    format!(r#"{{"current":"b","next":"c","gone":"a","rolled_at":{}}}"#, NOW.as_seconds());
                let path = directory.path().join("keys/ca.json");
                files::write(&path, json.as_bytes(), 0o600).unwrap();
            }
            Step::Write(file) => {
                assert!(std::fs::copy(after.join(file), directory.path().join(file)).is_ok());
            }
            Step::Remove(file) => std::fs::remove_file(directory.path().join(file)).unwrap(),
        }
    }
    directory
}

#[test]
fn roll_that_was_cut_anywhere_is_undone_or_finished_at_start() {
    let site = Site::new();
    let old_pins = site.keys.pins();
    let before = tempfile::tempdir().unwrap();
    copy(site.directory.path(), before.path());
    site.keys.identity().roll("a", NOW).unwrap();
    let new_pins = site.keys.pins();
    for count in 0..=STEPS.len() {
        let directory = cut_after(count, before.path(), site.directory.path());
        let keys = Keys::open(directory.path(), &["10.0.0.5".to_owned()], NOW).unwrap();
        let done = count >= COUNTS;
        assert_eq!(&keys.pins(), if done { &new_pins } else { &old_pins }, "cut after {count}");
        let cut = Site { directory, keys };
        cut.connect(&cut.ca_pem(), "10.0.0.5", NOW).unwrap().echo(b"alive");
        assert_eq!(cut.directory.path().join("keys/ca-a.key.pem").exists(), !done, "cut after {count}");
        // And it can roll, to the very key that was made already.
        let current = if done { "b" } else { "a" };
        assert!(cut.keys.identity().roll(current, NOW).unwrap());
        if count > 0 && !done {
            assert_eq!(cut.keys.pins(), new_pins, "cut after {count}");
        }
    }
}
