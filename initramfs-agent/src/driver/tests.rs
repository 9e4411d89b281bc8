//! The driver against a scripted server: what is asked, and what people read.

use super::*;
use crate::api::scripted::{
    Line, Scripted, access_token, approved, heartbeat, peer, pending, refused, terminal, ticket, work,
};
use crate::by_hand::Levers;
use crate::inventory::Learnt;
use crate::net::resolve::Dns;
use crate::net::{Lease, LinkStatus, Network, Role};
use crate::reap::tests::reaper;
use protocol::agent_api::RefusalKind;
use protocol::cmdline::KernelArgs;
use protocol::ids::MacAddr;
use protocol::net::NetPlan;
use std::io::Write;

const MAC: MacAddr = MacAddr([0x52, 0x54, 0, 0x12, 0x34, 0x56]);
const TOLD: &str = "muster.server=https://10.0.2.2:8092 \
    muster.ca-hash=sha256:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE";

fn online() -> Status {
    let spec = "addr=10.0.2.15/24,gw=10.0.2.2".parse().unwrap();
    let link = LinkStatus {
        name: "eth0".to_owned(),
        mac: MAC,
        driver: "e1000".to_owned(),
        has_carrier: true,
        role: Role::Own,
        leases: Lease::from_spec("eth0", MAC, &spec),
        routers: Vec::new(),
        dns: Dns::default(),
        problem: None,
    };
    Status { links: vec![link], ..Status::default() }
}

/// A token of the right shape that opens nothing.
fn token() -> String {
    let part = |byte: u8, length: usize| base64url(&vec![byte; length]);
    format!("{}..{}.{}.{}", base64url(br#"{"alg":"dir"}"#), part(1, 12), part(2, 60), part(3, 16))
}

/// Runs a machine with this command line against a script, for a while, and returns what was
/// asked and what was printed.
async fn played(line: &str, script: Vec<Line>, network: Status) -> (Vec<String>, String) {
    let file = tempfile::NamedTempFile::new().unwrap();
    let luggage = luggage(line);
    let (_keep, network) = watch::channel(network);
    let news = News { network, events: mpsc::channel(1).1, power: None, kernel: None };
    let helpers = (desk(None), Child::new(None));
    let driver = Driver::new(luggage, news, helpers, Console::to_file(file.path()), Uptime::begin());
    let mut api = Scripted::new(script);
    let ended = timeout(Duration::from_secs(15), driver.run(&mut api)).await;
    assert!(ended.is_err(), "the driver works for ever");
    (api.asked, std::fs::read_to_string(file.path()).unwrap().replace("\r\n", "\n"))
}

/// What a machine with this command line brings along.
fn luggage(line: &str) -> Luggage {
    let settings = Settings::combine(&KernelArgs::parse(line), None);
    Luggage {
        token: TokenPlan::of(&settings, line),
        settings,
        image_id: None,
        origin: Origin::Iso,
        boot_id: "boot-1".to_owned(),
        identity: Arc::new(Identity::establish(None).unwrap().0),
        hardware: Hardware::unknown(watch::channel(Learnt::default()).1),
        statement: None,
        belongings: None,
        standing: watch::channel(Standing::default()).0,
        problems: Vec::new(),
    }
}

fn desk(network: Option<Network>) -> Desk {
    Desk::new(Levers { network, proxy: watch::channel(None).0 })
}

fn says(answer: Answer) -> Line {
    Line::Send(Ok(answer))
}

#[tokio::test(start_paused = true)]
async fn a_machine_shows_its_code_and_takes_up_duty() {
    let script = vec![
        Line::Connect(Ok(peer())),
        says(pending(Some("K7P3XB"))),
        says(pending(None)),
        says(approved("db-07")),
        says(access_token()),
        says(heartbeat("db-07")),
    ];
    let (asked, printed) = played(TOLD, script, online()).await;
    let registers = ["connect https://10.0.2.2:8092 Doubtful", "Enroll", "Poll", "Poll", "AccessToken"];
    // The second one is held.
    assert_eq!(asked, [registers.as_slice(), &["Heartbeat", "Heartbeat"]].concat());
    let lines: Vec<&str> = printed.lines().collect();
    assert!(lines.contains(&"Bootstrap code: K7P-3XB"), "{printed}");
    assert!(lines.contains(&"Registered as db-07 (0b4f9c9e-8f5e-4f4e-9d6e-1a2b3c4d5e6f)"), "{printed}");
    let order =
        ["network: 10.0.2.15/24 (eth0)", "server: dc1 (pin OK)", "code:", "approved: db-07", "registered:"];
    let places: Vec<usize> = order.iter().map(|word| printed.find(word).unwrap_or(usize::MAX)).collect();
    assert!(places.is_sorted() && !places.contains(&usize::MAX), "{places:?} in {printed}");
}

#[tokio::test(start_paused = true)]
async fn an_expired_token_ends_in_a_code_and_is_never_shown() {
    let token = token();
    let script = vec![
        Line::Connect(Ok(peer())),
        Line::Send(Err(refused(RefusalKind::TokenExpired, None))),
        says(pending(Some("K7P3XB"))),
    ];
    let (asked, printed) = played(&format!("{TOLD} muster.token={token}"), script, online()).await;
    assert_eq!(asked.get(1..3).unwrap(), ["Register", "Enroll"]);
    assert!(printed.contains("E40 the bootstrap token expired"), "{printed}");
    assert!(printed.contains("Bootstrap code: K7P-3XB"), "{printed}");
    assert!(!printed.contains(&token) && !printed.contains("eyJ"), "{printed}");
}

#[tokio::test(start_paused = true)]
async fn a_refused_nonce_is_said_in_one_sentence_and_never_shown() {
    let script = vec![
        Line::Connect(Ok(peer())),
        Line::Send(Err(refused(RefusalKind::InvalidToken, None))),
        says(pending(Some("K7P3XB"))),
    ];
    let line = format!("{TOLD} muster.nonce=ABAgMEBQYHCAkKCwwNDg8A");
    let (asked, printed) = played(&line, script, online()).await;
    assert_eq!(asked.get(1..3).unwrap(), ["Register", "Enroll"]);
    assert!(printed.contains("E46 the boot nonce was refused (as scripted), showing a code"), "{printed}");
    assert!(printed.contains("Bootstrap code: K7P-3XB"), "{printed}");
    assert!(!printed.contains("ABAgMEBQ"), "{printed}");
}

#[tokio::test(start_paused = true)]
async fn a_medium_without_a_server_says_so_and_stays_silent() {
    let (asked, printed) = played("quiet", Vec::new(), online()).await;
    assert_eq!(asked, [""; 0]);
    assert!(printed.contains("E11 this medium was never personalised"), "{printed}");
    assert!(printed.contains("muster media customize"), "{printed}");
}

#[tokio::test(start_paused = true)]
async fn a_machine_without_a_cable_says_so_and_asks_nobody() {
    let (asked, printed) = played(TOLD, Vec::new(), Status::default()).await;
    assert_eq!(asked, [""; 0]);
    assert!(printed.contains("E10 no network link"), "{printed}");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_comes_back_finds_the_machine_waiting() {
    let away = || Line::Connect(Err(ConnectError::Unreachable("10.0.2.2:8092 does not answer".to_owned())));
    let script = vec![away(), away(), Line::Connect(Ok(peer())), says(pending(Some("K7P3XB")))];
    let (asked, printed) = played(TOLD, script, online()).await;
    assert_eq!(asked.get(..4).unwrap().last().unwrap(), "Enroll");
    assert!(printed.contains("E20 server unreachable (tried 1 URL)"), "{printed}");
    assert!(printed.contains("the problem is over"), "{printed}");
}

#[tokio::test]
async fn n_opens_the_form_and_the_network_takes_the_plan() {
    let pty = nix::pty::openpty(None, None).unwrap();
    let console = Console::on_line(&nix::unistd::ttyname(&pty.slave).unwrap());
    let mut unplugged = online();
    for link in &mut unplugged.links {
        (link.has_carrier, link.leases) = (false, Vec::new());
    }
    let (_keep, status) = watch::channel(unplugged);
    let (network, mut plans) = Network::pretended(status.clone());
    let news = News { network: status, events: mpsc::channel(1).1, power: None, kernel: None };
    let helpers = (desk(Some(network)), Child::new(None));
    let driver = Driver::new(luggage(TOLD), news, helpers, console, Uptime::begin());
    let mut terminal = std::fs::File::from(pty.master);
    // The first N opens the form; the second is its first answer: automatic on all ports.
    terminal.write_all(b"n").unwrap();
    let typed = async {
        sleep_until(tokio::time::Instant::now() + 2 * TICK).await;
        terminal.write_all(b"n\r\ry\r").unwrap();
        plans.recv().await
    };
    let mut api = Scripted::new(Vec::new());
    tokio::select! {
        plan = timeout(Duration::from_secs(30), typed) => assert_eq!(plan.unwrap(), Some(NetPlan::Automatic)),
        _ = driver.run(&mut api) => panic!("the driver works for ever"),
    }
}

/// Plays a machine on duty whose runner is this script, until it asks for power; what was asked and
/// printed.
async fn worked(script: &[Line], runner: &str) -> (Power, Vec<String>, String) {
    worked_for(Scripted::new(on_duty().into_iter().chain(script.iter().cloned())), runner).await
}

/// How a machine comes on duty.
fn on_duty() -> [Line; 3] {
    [Line::Connect(Ok(peer())), says(approved("db-07")), says(access_token())]
}

/// The same on duty of this server.
async fn worked_for(mut api: Scripted, runner: &str) -> (Power, Vec<String>, String) {
    let folder = tempfile::tempdir().unwrap();
    let (file, program) = (folder.path().join("console"), folder.path().join("runner"));
    std::fs::write(&file, "").unwrap();
    crate::reap::tests::program(&program, &format!("#!/bin/sh\n{runner}\n"));
    let (_keep, network) = watch::channel(online());
    let news = News { network, events: mpsc::channel(1).1, power: None, kernel: None };
    let helpers = (desk(None), Child::with_program(reaper(), &program));
    let driver = Driver::new(luggage(TOLD), news, helpers, Console::to_file(&file), Uptime::begin());
    let left = timeout(Duration::from_secs(30), driver.run(&mut api)).await.expect("it works on");
    (left.power, api.asked, std::fs::read_to_string(&file).unwrap().replace("\r\n", "\n"))
}

#[tokio::test]
async fn a_runner_is_started_for_work_shown_and_obeyed() {
    let script = [says(work("db-07")), says(ticket()), says(heartbeat("db-07")), says(heartbeat("db-07"))];
    for (code, expected) in [(64, Power::Reboot), (32, Power::Off)] {
        let runner = format!("echo Task 1/2 burn-in: running; exit {code}");
        let (power, asked, printed) = worked(&script, &runner).await;
        assert_eq!(power, expected);
        let asked: Vec<&str> = asked.iter().skip(1).map(String::as_str).collect();
        assert_eq!(asked.get(..4).unwrap(), ["Enroll", "AccessToken", "Heartbeat", "Runner"]);
        assert_eq!(asked.last(), Some(&"Heartbeat"), "it says goodbye");
        assert!(printed.contains("Task 1/2 burn-in: running"), "{printed}");
        assert!(!printed.contains("mmt_"), "{printed}");
    }
}

#[tokio::test]
async fn a_terminal_that_cannot_be_started_is_told_of_and_its_secret_is_not() {
    let script = [says(terminal("db-07")), says(ticket()), says(heartbeat("db-07"))];
    let (_, asked, printed) = worked(&script, "sleep 1; exit 64").await;
    assert!(asked.contains(&"Runner".to_owned()), "work goes on beside it: {asked:?}");
    // There is no program of the tools here, and no agent to ask for them.
    assert!(printed.contains("no terminal: exit code 127"), "{printed}");
    assert!(!printed.contains("secret"), "{printed}");
}

#[tokio::test]
async fn a_runner_that_dies_is_told_of_and_started_again() {
    let folder = tempfile::tempdir().unwrap();
    let mark = folder.path().join("died");
    let runner = format!("[ -e {0} ] && exit 64; : > {0}; kill -9 $$", mark.display());
    // How many heartbeats go by before it dies is the computer's business.
    let server = Scripted::new(on_duty()).goes_on(work("db-07"));
    let (power, asked, printed) = worked_for(server, &runner).await;
    assert_eq!(power, Power::Reboot);
    assert_eq!(asked.iter().filter(|ask| *ask == "Runner").count(), 2, "{asked:?}");
    assert!(printed.contains("the runner of jobs ended: signal 9"), "{printed}");
}

/// An installed system whose key the earlier one vouched for, with this luggage beside.
fn installed(root: &std::path::Path) -> Luggage {
    let belongings = Belongings::beneath(root);
    let config = r#"{"version":1,"server":["https://10.0.2.2:8092"],"token":"a..b.c.d"}"#;
    crate::handover::put(&belongings.path(protocol::installed::CONFIG_FILE), config.as_bytes()).unwrap();
    crate::handover::put(&belongings.path(protocol::installed::STATEMENT_FILE), b"a.b.c").unwrap();
    let statement = belongings.statement().unwrap();
    Luggage { statement, belongings: Some(belongings), ..luggage(TOLD) }
}

fn said(root: &std::path::Path) -> Console {
    let path = root.join("said");
    std::fs::write(&path, "").unwrap();
    Console::to_file(&path)
}

#[tokio::test(start_paused = true)]
async fn an_installed_system_takes_over_once_and_tells_how_it_stands() {
    let root = tempfile::tempdir().unwrap();
    let luggage = installed(root.path());
    let (belongings, stands) = (luggage.belongings.clone().unwrap(), luggage.standing.subscribe());
    let (_keep, network) = watch::channel(Status::of_system());
    let news = News { network, events: mpsc::channel(1).1, power: None, kernel: None };
    let console = said(root.path());
    let driver = Driver::new(luggage, news, (desk(None), Child::new(None)), console, Uptime::begin());
    let mut api = Scripted::new(on_duty().into_iter().chain([says(heartbeat("db-07"))]));
    assert!(timeout(Duration::from_secs(15), driver.run(&mut api)).await.is_err(), "it works on");
    assert_eq!(api.asked.get(1..).unwrap(), ["Register", "AccessToken", "Heartbeat", "Heartbeat"]);
    assert_eq!(belongings.statement().unwrap(), None, "used up");
    let standing = stands.borrow().clone();
    assert_eq!((standing.name.as_str(), standing.server_id.as_str()), ("db-07", "dc1"));
    assert!(standing.machine.is_some());
}

#[tokio::test(start_paused = true)]
async fn an_installed_system_whose_token_ended_says_so_and_keeps_it_no_longer() {
    let root = tempfile::tempdir().unwrap();
    let settings = Settings::combine(&KernelArgs::parse(&format!("{TOLD} muster.token={}", token())), None);
    let luggage = Luggage { settings, token: TokenPlan::Ready, statement: None, ..installed(root.path()) };
    let (belongings, stands) = (luggage.belongings.clone().unwrap(), luggage.standing.subscribe());
    let (_keep, network) = watch::channel(Status::of_system());
    let news = News { network, events: mpsc::channel(1).1, power: None, kernel: None };
    let console = said(root.path());
    let driver = Driver::new(luggage, news, (desk(None), Child::new(None)), console, Uptime::begin());
    let expired = Line::Send(Err(refused(RefusalKind::TokenExpired, None)));
    let mut api = Scripted::new([Line::Connect(Ok(peer())), expired, says(pending(Some("K7P3XB")))]);
    assert!(timeout(Duration::from_secs(15), driver.run(&mut api)).await.is_err(), "it works on");
    let standing = stands.borrow().clone();
    assert_eq!(standing.code, "K7P-3XB");
    assert!(standing.reason.starts_with("E40 the bootstrap token expired"), "{standing:?}");
    assert_eq!(belongings.config().unwrap().token, None);
}

#[tokio::test]
async fn a_restart_tells_where_the_server_wants_the_machine() {
    let script = [says(work("db-07")), says(ticket()), says(heartbeat("db-07"))];
    let (power, asked, _) = worked(&script, "exit 64").await;
    assert_eq!((power, asked.last().map(String::as_str)), (Power::Reboot, Some("Heartbeat")));
}
