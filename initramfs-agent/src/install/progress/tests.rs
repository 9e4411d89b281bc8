//! News over real TLS to a server that counts.

use super::*;
use crate::install::tests::{Heard, install};
use std::time::Instant;

#[test]
fn news_come_together_and_the_last_is_always_told() {
    let (server, install) = install();
    for percent in 0..=100 {
        install.progress.tell(percent, "mkfs").unwrap();
    }
    install.progress.bytes(50, 200).unwrap();
    let begun = Instant::now();
    drop(install);
    assert!(begun.elapsed() < LAST_CALL);
    let heard = server.heard("/progress");
    let told: Vec<Progress> =
        heard.iter().map(|Heard { body, .. }| serde_json::from_slice(body).unwrap()).collect();
    assert!(told.len() <= 2, "{told:?}");
    let expected =
        Progress { step: Step::Write, percent: 25, message: "mkfs".to_owned(), bytes: 50, total: 200 };
    assert_eq!(told.last(), Some(&expected));
    let Heard { head, .. } = heard.last().unwrap();
    assert!(head.contains("x-muster-lease: 3") && head.contains("authorization: Bearer mmt_job"), "{head}");
}

#[test]
fn a_cancelled_run_is_heard_of() {
    let (server, install) = install();
    server.cancel();
    let begun = Instant::now();
    while install.progress.tell(1, "writing").is_ok() {
        assert!(begun.elapsed() < Duration::from_secs(10), "never heard");
        std::thread::yield_now();
    }
    assert_eq!(install.progress.check(), Err(Cancelled));
}

#[test]
fn a_server_that_is_away_holds_nobody_up() {
    let (server, install) = install();
    server.stop();
    let begun = Instant::now();
    install.progress.tell(10, "mkfs").unwrap();
    drop(install);
    assert!(begun.elapsed() < LAST_CALL + PAUSE * 2, "{:?}", begun.elapsed());
}

#[test]
fn a_long_message_is_cut_between_characters() {
    let (server, install) = install();
    install.progress.tell(1, &"\u{e4}".repeat(300)).unwrap();
    drop(install);
    let heard = server.heard("/progress");
    let told: Progress = serde_json::from_slice(&heard.last().unwrap().body).unwrap();
    assert_eq!(told.message, "\u{e4}".repeat(128));
}
