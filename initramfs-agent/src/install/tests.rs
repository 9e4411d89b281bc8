//! The table of verbs, and what tests of verbs share.

use super::*;
use std::collections::BTreeMap;

/// The environment of a verb: run 1, job 2, lease 3 of machine 7.
pub(super) fn environment(server: &str, pin: &str) -> BTreeMap<&'static str, String> {
    let id = |number| uuid::Uuid::from_u128(number).to_string();
    BTreeMap::from([
        ("RS_UUID", id(7)),
        ("RS_TOKEN", "mmt_job".to_owned()),
        ("RS_ENDPOINT", server.to_owned()),
        ("MUSTER_CA_HASH", pin.to_owned()),
        ("MUSTER_RUN", id(1)),
        ("RS_JOB_UUID", id(2)),
        ("RS_JOB_EPOCH", "3".to_owned()),
    ])
}

#[test]
fn verbs_stand_in_the_order_of_the_steps_and_in_the_usage() {
    assert!(VERBS.is_sorted_by_key(|verb| verb.step));
    for verb in VERBS {
        assert!(usage().contains(&format!("\n  {:<9}  {}\n", verb.step.word(), verb.about)));
    }
}

mod server;
pub(super) use server::{Fault, Heard, Server};

/// A verb `write` of run 1, and the server that it belongs to. Its folder is the server's.
pub(super) fn install() -> (Server, Install) {
    let server = Server::start();
    let told = environment(&server.url, &server.pin);
    let mut settings = Settings::read(|name| told.get(name).map(std::ffi::OsString::from)).unwrap();
    settings.folder = server.folder.path().to_owned();
    let install = Install::begin(settings, Step::Write).unwrap();
    (server, install)
}

#[test]
fn an_order_is_fetched_once_and_again_for_another_run() {
    let (server, mut install) = install();
    let order = InstallOrder {
        run: install.settings.run,
        machine: install.settings.runner.machine,
        hostname: "db-07".to_owned(),
        ..InstallOrder::default()
    };
    server.give("/order", serde_json::to_vec(&order).unwrap());
    for _ in 0..2 {
        assert_eq!(install.order().unwrap().hostname, "db-07");
    }
    assert_eq!(server.heard("/order").len(), 1);
    install.fetch_order().unwrap();
    assert_eq!(server.heard("/order").len(), 2);

    install.settings.run = uuid::Uuid::from_u128(9);
    let error = fail::line(&install.order().err().unwrap());
    assert!(error.contains("the server's order is for run 00000000-0000-0000-0000-000000000001"), "{error}");
    assert!(install.state().unwrap().partitioned.is_none());
}

#[test]
fn an_order_that_is_refused_is_told_in_the_servers_words() {
    let (server, install) = install();
    server.fault(Fault::Refuse(409, "the run has ended"));
    let error = fail::line(&install.order().err().unwrap());
    assert!(error.ends_with("HTTP 409 Conflict the run has ended"), "{error}");
}
