//! Every state of the console as committed text: `snapshots/*.txt`. Run with `MUSTER_BLESS=1`
//! to write them anew after a change that was meant.

use super::dialogue::Dialogue;
use super::form::Form;
use super::form::tests::ports;
use super::keys::Decoder;
use super::screen::{Facts, Headline, Screen, Trouble};
use super::serial::Announcer;
use super::{frame, vga};
use crate::state::{Fault, Overlong};
use protocol::ids::SpkiPin;
use std::path::PathBuf;
use std::time::Duration;

fn facts() -> Facts {
    Facts {
        server_url: Some("https://10.0.2.2:8092".to_owned()),
        server_name: Some("dc1".to_owned()),
        trusted: Some("pin OK".to_owned()),
        addresses: vec!["10.0.2.15/24 (eth0)".to_owned()],
        host_name: Some("db-07.example.com".to_owned()),
        serial: "7XK21M3".to_owned(),
        product: "Dell Inc. PowerEdge R650".to_owned(),
        macs: vec!["52:54:00:12:34:56".to_owned(), "52:54:00:12:34:57".to_owned()],
        switches: vec!["sw-3 port Eth1/7 (eth0)".to_owned()],
        links: Vec::new(),
        work: None,
    }
}

fn screen(headline: Headline) -> Screen {
    Screen {
        headline,
        trouble: None,
        notes: Vec::new(),
        facts: facts(),
        problems: Vec::new(),
        remarks: Vec::new(),
    }
}

fn code(text: &str) -> Headline {
    Headline::Code {
        code: text.parse().unwrap(),
        check: Some("QM4T-9HXR-2VKD".parse().unwrap()),
        replaced_in: Duration::from_secs(461),
    }
}

fn in_trouble(fault: Fault, retry_in: Option<u64>) -> Screen {
    let alone = Facts { server_name: None, trusted: None, ..facts() };
    Screen {
        trouble: Some(Trouble { fault, retry_in: retry_in.map(Duration::from_secs) }),
        facts: alone,
        ..screen(Headline::Working("connecting to the server"))
    }
}

fn without_network(fault: Fault, link: &str) -> Screen {
    let mut screen = in_trouble(fault, None);
    screen.facts.addresses.clear();
    screen.facts.host_name = None;
    screen.facts.links = vec![link.to_owned()];
    screen
}

fn troubles() -> Vec<(&'static str, Screen)> {
    let message = || "as the server says".to_owned();
    let mut unknown = in_trouble(Fault::NotPersonalised, None);
    unknown.facts.server_url = None;
    vec![
        ("e10-no-link", without_network(Fault::NoLink, "eth0 52:54:00:12:34:56 (e1000): no carrier")),
        ("e11-never-personalised", unknown),
        (
            "e12-no-address",
            without_network(Fault::NoAddress, "eth0 52:54:00:12:34:56 (e1000): nobody answers DHCP"),
        ),
        (
            "e13-name",
            in_trouble(Fault::NameNotResolved { cause: "muster.example has no address".to_owned() }, Some(4)),
        ),
        (
            "e14-no-route",
            in_trouble(
                Fault::NoRoute { cause: "10.9.0.2:8092 cannot be reached from this network".to_owned() },
                Some(4),
            ),
        ),
        (
            "e15-proxy",
            in_trouble(
                Fault::Proxy {
                    cause: "http://ann:[redacted]@10.0.2.3:3128 does not accept the user name and password \
                            (407 Proxy Authentication Required)"
                        .to_owned(),
                },
                Some(4),
            ),
        ),
        (
            "e20-unreachable",
            in_trouble(
                Fault::Unreachable { tried: 3, cause: "10.0.2.2:8092 refuses the connection".to_owned() },
                Some(12),
            ),
        ),
        (
            "e21-impostor",
            in_trouble(
                Fault::PinMismatch {
                    expected: vec![SpkiPin([1; 32]), SpkiPin([2; 32])],
                    got: Some(SpkiPin([9; 32])),
                    authority: None,
                },
                Some(31),
            ),
        ),
        ("e21-no-pins", in_trouble(Fault::NoPins, None)),
        (
            "e22-certificate-time",
            in_trouble(
                Fault::CertificateTime {
                    cause: "it was valid until 2026-12-31, the clock says 2099-06-23".to_owned(),
                },
                Some(9),
            ),
        ),
        (
            "e23-protocol",
            in_trouble(Fault::Protocol { message: "this server speaks 2 to 3".to_owned() }, Some(60)),
        ),
        ("e24-refused", in_trouble(Fault::NotUnderstood { message: message() }, Some(5))),
        ("e25-forgotten", in_trouble(Fault::Forgotten { message: message() }, Some(1))),
        ("e31-busy", in_trouble(Fault::Busy { message: message() }, Some(40))),
    ]
}

fn states() -> Vec<(&'static str, Screen)> {
    let booting =
        |detail: &str| Headline::Booting { phase: "modules", number: 4, of: 7, detail: detail.to_owned() };
    let registered = || Headline::Registered {
        name: "db-07".to_owned(),
        id: "0b4f9c9e-8f5e-4f4e-9d6e-1a2b3c4d5e6f".parse().unwrap(),
    };
    let denied = |opens_in| Headline::Denied {
        message: "denied by an operator".to_owned(),
        opens_in: Duration::from_secs(opens_in),
    };
    let away = || {
        let fault = Fault::Unreachable { tried: 1, cause: "10.0.2.2:8092 does not answer".to_owned() };
        Some(Trouble { fault, retry_in: Some(Duration::from_secs(7)) })
    };
    let narrow = Fault::TokenNotForThis { message: "as the server says".to_owned() };
    let long = Fault::TooLong(Overlong::CommandLine(2_047));
    let cause = "it is valid from 2026-11-15 on, the clock says 1970-01-01".to_owned();
    let clock = Fault::ClockSet { cause };
    let first_server =
        "https://10.0.2.1:8092: E20 server unreachable (tried 1 URL): 10.0.2.1:8092 does not answer"
            .to_owned();
    let refused = Fault::TokenRefused { message: "no such key".to_owned() };
    let used =
        Fault::NonceRefused { message: "boot nonce was used, is over, or is not this server's".to_owned() };
    let unclear = "muster.insecure is not known to this agent and is ignored".to_owned();
    let widest = "WWWWWW";
    let work = Some("Task 2/6 burn-in: running".to_owned());
    let mut states = vec![
        ("booting", screen(booting("117 modules loaded, e1000e"))),
        ("asking", screen(Headline::Working("asking for a bootstrap code"))),
        ("code", screen(code("K7P3XB"))),
        ("code-widest", Screen { problems: vec![unclear], ..screen(code(widest)) }),
        (
            "code-server-away",
            Screen { trouble: away(), facts: Facts { trusted: None, ..facts() }, ..screen(code("K7P3XB")) },
        ),
        ("code-e40-expired-token", Screen { notes: vec![Fault::TokenExpired], ..screen(code("K7P3XB")) }),
        ("code-e41-cut-token", Screen { notes: vec![Fault::TokenCut], ..screen(code("K7P3XB")) }),
        ("code-e42-refused-token", Screen { notes: vec![refused], ..screen(code("K7P3XB")) }),
        ("code-e43-revoked-token", Screen { notes: vec![Fault::TokenRevoked], ..screen(code("K7P3XB")) }),
        ("code-e44-narrow-token", Screen { notes: vec![narrow], ..screen(code("K7P3XB")) }),
        ("code-e45-long-line", Screen { notes: vec![long], ..screen(code("K7P3XB")) }),
        ("code-e46-refused-nonce", Screen { notes: vec![used], ..screen(code("K7P3XB")) }),
        ("code-e22-clock-set", Screen { notes: vec![clock], ..screen(code("K7P3XB")) }),
        ("code-second-server", Screen { remarks: vec![first_server], ..screen(code("K7P3XB")) }),
        ("approved", screen(Headline::Approved { name: "db-07".to_owned() })),
        ("registered", screen(registered())),
        ("registered-at-work", Screen { facts: Facts { work, ..facts() }, ..screen(registered()) }),
        (
            "registered-server-away",
            Screen { trouble: away(), facts: Facts { trusted: None, ..facts() }, ..screen(registered()) },
        ),
        ("e30-denied", screen(denied(540))),
        ("e30-denied-over", screen(denied(0))),
        ("stopping", screen(Headline::Stopping("restarting"))),
    ];
    states.extend(troubles());
    states
}

/// A form after these lines were typed; the last one without Enter.
fn form(lines: &[&str]) -> Form {
    let mut form = Form::new(ports(), Duration::ZERO);
    let keys = Decoder::default().decode(lines.join("\r").as_bytes());
    assert_eq!(form.press(&keys, Duration::ZERO), None);
    form
}

fn check(name: &str, text: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("snapshots").join(format!("{name}.txt"));
    if std::env::var_os("MUSTER_BLESS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
    }
    let known = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}; run with MUSTER_BLESS=1", path.display()));
    assert!(known == text, "{} differs; it is now:\n{text}", path.display());
}

#[test]
fn every_state_looks_as_committed() {
    for (name, screen) in states() {
        let rows: Vec<String> =
            vga::render(&screen).iter().map(|row| row.text.trim_end().to_owned()).collect();
        check(&format!("screen-{name}"), &(rows.join("\n") + "\n"));
    }
}

#[test]
fn every_state_is_told_as_committed() {
    for (name, screen) in states() {
        let lines = Announcer::default().announce(Duration::from_millis(3_410), &screen);
        check(&format!("serial-{name}"), &(lines.join("\n") + "\n"));
    }
}

#[test]
fn every_question_looks_as_committed() {
    let long = ["2", "3", "", "120", "10.0.0.5/24 fd00::5/64", "10.0.0.1", "10.0.0.53", "", ""];
    for (name, form) in [
        ("port", form(&["et"])),
        ("second", form(&["", ""])),
        ("mode", form(&["2", "3", ""])),
        ("vlan-wrong", form(&["1", "", "5000", ""])),
        ("address", form(&["1", "", "120", "10.0.0.5/2"])),
        ("gateway-wrong", form(&["1", "", "", "10.0.0.5/24", "10.0.0", ""])),
        ("dns", form(&["1", "", "", "10.0.0.5/24", "10.0.0.1", ""])),
        ("proxy", form(&["n", ""])),
        ("password", form(&["n", "http://10.0.0.3:3128", "ann", "s3cret"])),
        ("summary", form(&long)),
    ] {
        let rows = vga::render_form(&form.page(), "note");
        assert_eq!(rows.len(), 25, "{name}");
        assert!(rows.iter().all(|row| row.text.len() <= 79), "{name}: {rows:#?}");
        let rows: Vec<&str> = rows.iter().map(|row| row.text.trim_end()).collect();
        check(&format!("form-{name}"), &(rows.join("\n") + "\n"));
    }
}

#[test]
fn a_form_on_a_serial_line_reads_as_committed() {
    let (mut form, mut dialogue, mut said) =
        (Form::new(ports(), Duration::ZERO), Dialogue::default(), String::new());
    said += &dialogue.update(&form.page());
    for key in Decoder::default().decode(b"1\r\r12\x7f20\r10.0.0.5\r/24\r10.0.0.1\r\r\ry") {
        assert_eq!(form.press(&[key], Duration::ZERO), None);
        said += &dialogue.update(&form.page());
    }
    said += dialogue.close();
    check("form-serial", &said.replace("\r\n", "\n").replace('\u{8}', "<"));
}

#[test]
fn nothing_is_wider_or_higher_than_the_smallest_screen() {
    for (name, mut screen) in states() {
        screen.problems.extend((0..30).map(|index| format!("problem {index} {}", "long ".repeat(40))));
        screen.facts.server_url = Some(format!("https://{}.example.com:8092", "a".repeat(120)));
        screen.facts.serial = "S".repeat(128);
        let rows = vga::render(&screen);
        assert_eq!(rows.len(), 25, "{name}");
        assert!(rows.iter().all(|row| row.text.chars().count() <= 79), "{name}: {rows:#?}");
        let lines = Announcer::default().announce(Duration::from_secs(100_000), &screen);
        assert!(lines.iter().all(|line| line.chars().count() <= 79), "{name}: {lines:#?}");
    }
}

#[test]
fn every_link_is_told_in_full_under_a_fault() {
    let mut screen = without_network(Fault::NoAddress, "");
    let sentence = "DHCP server 10.77.0.1 sends the subnet mask 255.0.255.0, which is none; set it right";
    screen.facts.links =
        (0..9).map(|index| format!("eth{index} 52:54:00:12:34:56 (e1000): {sentence}")).collect();
    let rows: Vec<String> = vga::render(&screen).iter().map(|row| row.text.trim().to_owned()).collect();
    let text = rows.join(" ");
    assert!(text.contains(&format!("eth2 52:54:00:12:34:56 (e1000): {sentence}")), "{rows:#?}");
    assert!(text.contains("Serial number   7XK21M3"), "what the machine is stays in sight: {rows:#?}");
}

#[test]
fn the_code_stands_where_boot_tests_look_for_it() {
    let rows = vga::render(&screen(code("K7P3XB")));
    let lit = |row: usize, column: usize| {
        let line = &rows.get(protocol::glyphs::BANNER_ROW + row).unwrap().text;
        line.chars().nth(protocol::glyphs::BANNER_COLUMN + column) == Some('\u{2588}')
    };
    assert_eq!(protocol::glyphs::read(lit).unwrap().to_string(), "K7P-3XB");
}

#[test]
fn only_changes_are_told_and_the_code_once_a_minute() {
    let mut announcer = Announcer::default();
    let mut at = |seconds: u64, screen: &Screen| announcer.announce(Duration::from_secs(seconds), screen);
    let mut shown = screen(code("K7P3XB"));
    assert!(at(5, &shown).contains(&"Bootstrap code: K7P-3XB".to_owned()));
    if let Headline::Code { replaced_in, .. } = &mut shown.headline {
        *replaced_in = Duration::from_secs(400);
    }
    assert_eq!(at(64, &shown), [""; 0]);
    assert_eq!(at(65, &shown), ["Bootstrap code: K7P-3XB"]);
    assert_eq!(at(66, &shown), [""; 0]);
    let id = "0b4f9c9e-8f5e-4f4e-9d6e-1a2b3c4d5e6f".parse().unwrap();
    let named = |name: &str| screen(Headline::Registered { name: name.to_owned(), id });
    assert_eq!(
        at(70, &named("db-07")),
        ["[  70.00] registered: db-07", "Registered as db-07 (0b4f9c9e-8f5e-4f4e-9d6e-1a2b3c4d5e6f)"]
    );
    assert_eq!(
        at(80, &named("db-08")),
        ["[  80.00] renamed: db-08", "Registered as db-08 (0b4f9c9e-8f5e-4f4e-9d6e-1a2b3c4d5e6f)"]
    );
}

#[test]
fn a_frame_goes_over_the_last_one_without_clearing_it() {
    let rows = vga::render(&screen(code("K7P3XB")));
    assert!(frame(&rows, true).contains("\u{1b}[2J"));
    let next = frame(&rows, false);
    assert!(!next.contains("\u{1b}[2J") && next.starts_with("\u{1b}[H"));
}
