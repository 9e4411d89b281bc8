use super::super::{
    CheckKind, MAX_ENDPOINTS, MAX_PEERS, MAX_ROUTES, MAX_VIPS, MeshPeer, PeerReport, VipGrant, VipReport, Way,
};
use super::*;
use crate::ids::MachineId;
use uuid::Uuid;

fn key() -> PublicKey {
    PublicKey([7; 32])
}

fn peer() -> MeshPeer {
    MeshPeer {
        machine: MachineId(Uuid::from_u128(2)),
        name: "web 2".to_owned(),
        key: Some(key()),
        addresses: vec!["10.20.0.2".parse().unwrap(), "fd00::2".parse().unwrap()],
        endpoints: vec!["203.0.113.7:51820".parse().unwrap()],
        routes: vec!["10.20.0.0/16".parse().unwrap()],
        way: Way::Relay,
    }
}

fn news() -> MeshNews {
    MeshNews {
        cursor: "7.12".to_owned(),
        whole: true,
        own: Some(MeshSelf {
            network: "home".to_owned(),
            addresses: vec!["10.20.0.1".parse().unwrap()],
            networks: vec!["10.20.0.0/16".parse().unwrap()],
            port: 51_820,
            relay: false,
            hosts: true,
            name: "web 1".to_owned(),
        }),
        peers: vec![peer()],
        gone: vec![MachineId(Uuid::from_u128(3))],
        vips: vec![MeshVip {
            name: "api".to_owned(),
            prefix: "10.20.9.9/32".parse().unwrap(),
            check: HealthCheck::default(),
        }],
    }
}

fn report() -> MeshReport {
    MeshReport {
        key: Some(key()),
        port: 51_820,
        addresses: vec!["192.0.2.1".parse().unwrap()],
        peers: vec![PeerReport {
            machine: MachineId(Uuid::from_u128(2)),
            endpoint: Some("203.0.113.7:51820".parse().unwrap()),
            handshake: Some(12),
            tried: 0,
            received: 5,
            sent: 6,
            way: Way::Direct,
        }],
        vips: vec![VipReport {
            name: "api".to_owned(),
            healthy: true,
            epoch: 3,
            released: 2,
            message: String::new(),
        }],
        error: String::new(),
    }
}

fn json<T: serde::Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).unwrap()
}

/// What is told of something, and what makes it so.
type Spoiled<T> = (&'static str, fn(&mut T));

/// All that an error says.
fn told(error: &MeshReadError) -> String {
    match error {
        MeshReadError::Json(why) => format!("{error}: {why}"),
        MeshReadError::TooLong { .. } | MeshReadError::TooMany { .. } | MeshReadError::Value(_) => {
            error.to_string()
        }
    }
}

#[test]
fn what_is_within_the_limits_is_read_as_it_was_said() {
    assert_eq!(read_news(&json(&news())).unwrap(), news());
    assert_eq!(read_report(&json(&report())).unwrap(), report());
    let answer = MeshReportAnswer {
        due: 5_000,
        grants: vec![VipGrant { name: "api".to_owned(), epoch: 3, lease: 15_000 }],
    };
    assert_eq!(read_answer(&json(&answer)).unwrap(), answer);
    assert_eq!(read_news(b"{}").unwrap(), MeshNews::default());
}

#[test]
fn news_beyond_a_limit_are_refused() {
    let spoiled: [Spoiled<MeshNews>; 12] = [
        ("bytes of a cursor", |news| news.cursor = "7".repeat(65)),
        ("more than 4096 in a list", |news| news.peers = vec![peer(); MAX_PEERS + 1]),
        ("more than 4096 in a list", |news| news.gone = vec![news.gone[0]; MAX_PEERS + 1]),
        ("more than 256 in a list", |news| news.vips = vec![news.vips[0].clone(); MAX_VIPS + 1]),
        ("more than 8 in a list", |news| {
            let peer = &mut news.peers[0];
            peer.endpoints = vec![peer.endpoints[0]; MAX_ENDPOINTS + 1];
        }),
        ("more than 256 in a list", |news| {
            let peer = &mut news.peers[0];
            peer.routes = vec![peer.routes[0]; MAX_ROUTES + 1];
        }),
        ("more than 2 in a list", |news| news.peers[0].addresses = vec!["10.20.0.2".parse().unwrap(); 3]),
        ("a name that is none", |news| news.peers[0].name = "web\n127.0.0.1 bank".to_owned()),
        ("a name that is none", |news| news.own.as_mut().unwrap().network = "é".repeat(254)),
        ("more than 2 in a list", |news| {
            news.own.as_mut().unwrap().networks = vec!["10.0.0.0/8".parse().unwrap(); 3]
        }),
        ("port 0", |news| news.own.as_mut().unwrap().port = 0),
        ("a test of health", |news| news.vips[0].check.interval = 0),
    ];
    for (complaint, spoil) in spoiled {
        let mut news = news();
        spoil(&mut news);
        let told = told(&read_news(&json(&news)).unwrap_err());
        assert!(told.contains(complaint), "{told}");
    }
}

#[test]
fn report_beyond_a_limit_is_refused() {
    let spoiled: [Spoiled<MeshReport>; 7] = [
        ("a public key of zeros", |report| report.key = Some(PublicKey([0; 32]))),
        ("port 0", |report| report.port = 0),
        ("more than 8 in a list", |report| report.addresses = vec![report.addresses[0]; 9]),
        ("more than 4096 in a list", |report| report.peers = vec![report.peers[0].clone(); MAX_PEERS + 1]),
        ("more than 256 in a list", |report| report.vips = vec![report.vips[0].clone(); MAX_VIPS + 1]),
        ("257 characters in a sentence", |report| report.error = "é".repeat(257)),
        ("257 characters in a sentence", |report| report.vips[0].message = "é".repeat(257)),
    ];
    for (complaint, spoil) in spoiled {
        let mut report = report();
        spoil(&mut report);
        let told = told(&read_report(&json(&report)).unwrap_err());
        assert!(told.contains(complaint), "{told}");
    }
}

#[test]
fn answer_beyond_a_limit_is_refused() {
    let grant = VipGrant { name: "api".to_owned(), epoch: 3, lease: 15_000 };
    let answer = MeshReportAnswer { due: 0, grants: vec![grant; MAX_VIPS + 1] };
    let error = read_answer(&json(&answer)).unwrap_err();
    assert!(told(&error).contains("more than 256 in a list"));
}

#[test]
fn more_bytes_than_are_read_are_not_looked_at() {
    let told = read_report(&vec![b'['; MAX_REPORT + 1]).unwrap_err().to_string();
    assert_eq!(told, "what is said about the mesh network has 2097153 bytes, at most 2097152 are read");
    assert!(matches!(read_news(&vec![b' '; MAX_NEWS + 1]), Err(MeshReadError::TooLong { .. })));
}

#[test]
fn sentences_keep_no_characters_that_move_a_cursor() {
    let mut said = report();
    said.error = "no \u{1b}[2Jmodule\n".to_owned();
    assert_eq!(read_report(&json(&said)).unwrap().error, "no [2Jmodule");
}

fn problems(kind: CheckKind, target: &str) -> Vec<String> {
    HealthCheck { kind, target: target.to_owned(), ..HealthCheck::default() }.problems()
}

#[test]
fn tests_of_health_say_what_they_try() {
    for (kind, target) in [
        (CheckKind::None, ""),
        (CheckKind::Tcp, ":6443"),
        (CheckKind::Tcp, "10.20.0.1:80"),
        (CheckKind::Tcp, "[fd00::1]:80"),
        (CheckKind::Tcp, "db-1.example.org:5432"),
        (CheckKind::Http, "http://127.0.0.1:8080/health?full=1"),
        (CheckKind::Http, "https://[::1]"),
        (CheckKind::Exec, "systemctl is-active --quiet nginx"),
    ] {
        assert_eq!(problems(kind, target), [""; 0], "{target}");
    }
    for (kind, target, complaint) in [
        (CheckKind::None, ":80", "Target: nothing is tried without a Type"),
        (CheckKind::Tcp, "", "Target: \"\" is no HOST:PORT"),
        (CheckKind::Tcp, "80", "is no HOST:PORT"),
        (CheckKind::Tcp, ":0", "is no HOST:PORT"),
        (CheckKind::Tcp, ":+80", "is no HOST:PORT"),
        (CheckKind::Tcp, ":65536", "is no HOST:PORT"),
        (CheckKind::Tcp, "[db]:80", "is no HOST:PORT"),
        (CheckKind::Tcp, "fd00::1:80", "is no HOST:PORT"),
        (CheckKind::Http, "127.0.0.1/health", "is no URL; give one such as http://"),
        (CheckKind::Http, "http:///health", "is no URL"),
        (CheckKind::Exec, " ", "give a command"),
        (CheckKind::Exec, "true\nfalse", "has a line break"),
    ] {
        let told = problems(kind, target);
        assert!(told.iter().any(|problem| problem.contains(complaint)), "{target}: {told:?}");
    }
    let odd = HealthCheck { interval: 301, timeout: 0, holdoff: 3_601, ..HealthCheck::default() };
    assert_eq!(
        odd.problems(),
        [
            "Interval: 301 is not within 1 and 300",
            "Timeout: 0 is not within 1 and 60",
            "Holdoff: 3601 is not within 0 and 3600",
        ]
    );
}

#[test]
fn lease_is_renewed_before_it_ends() {
    for (interval, threshold, lease, renewal) in
        [(5, 3, 15_000, 5_000), (1, 1, 1_000, 333), (10, 2, 20_000, 6_666)]
    {
        let check = HealthCheck { interval, unhealthy_threshold: threshold, ..HealthCheck::default() };
        assert_eq!((check.lease(), check.renewal()), (lease, renewal));
    }
}
