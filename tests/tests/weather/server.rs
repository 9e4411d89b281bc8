//! The server: gone for a while under a waiting code, somebody else in its place, several of which
//! the first is dead.

use std::net::{IpAddr, Ipv4Addr};

use serde_json::json;
use tests::fake_server::FakeServer;

use crate::{BOOT_WITHIN, CHANGE_WITHIN, SCREEN_WITHIN, Site, shows, shows_a_code};

#[test]
fn a_code_outlives_the_restart_of_its_server() {
    let mut site = Site::fair("restart");
    let port = site.lab.port("52:54:00:07:01:01").unwrap();
    let mut vm = site.machine("restart", &site.args()).plug(port).start().unwrap();
    let code = shows_a_code(&mut vm, &site.operator, BOOT_WITHIN);

    site.relay.cut();
    site.server.kill().unwrap();
    vm.wait_for_words("E20 server unreachable", CHANGE_WITHIN).unwrap();
    vm.wait_for_words("Check that the server runs", SCREEN_WITHIN).unwrap();
    vm.wait_for_words_on_screen("E20 server unreachable", "E20", SCREEN_WITHIN).unwrap();
    vm.wait_for_words_on_screen("Check that the server runs", "E20", SCREEN_WITHIN).unwrap();
    assert_eq!(vm.screen().unwrap().find_code(), Some(code), "the code must stay readable");

    site.server.start_again().unwrap();
    site.relay.restore(&site.lab).unwrap();
    vm.wait_for_words("the problem is over", CHANGE_WITHIN).unwrap();
    assert_eq!(vm.wait_for_code_on_screen(SCREEN_WITHIN).unwrap(), code);
    let operator = site.server.operator().unwrap();
    let approved = operator.approve(&code.to_string()).map_err(|error| vm.failed(&error)).unwrap();
    assert_eq!(vm.wait_for_registration(CHANGE_WITHIN).unwrap().uuid, approved.uuid);
}

#[test]
fn an_impostor_is_told_nothing_and_the_right_server_is_recognised_at_its_address() {
    let mut site = Site::fair("impostor");
    let token = site.operator.create_token(600).unwrap();
    let impostor = FakeServer::start(&site.operator.info().unwrap().id, "200 OK", "{}").unwrap();
    site.relay.lead_to(impostor.address()).unwrap();
    let port = site.lab.port("52:54:00:07:01:02").unwrap();
    let mut vm = site.machine("impostor", &token.kernel_args).plug(port).start().unwrap();
    shows(&mut vm, "E21 pin mismatch", "Possible interception: nothing was sent", BOOT_WITHIN);
    assert!(impostor.connections() >= 1, "nobody connected");
    assert_eq!(impostor.application_bytes(), 0);
    assert!(site.operator.machines().unwrap().is_empty());

    site.relay.lead_to((Ipv4Addr::LOCALHOST, site.server.port()).into()).unwrap();
    vm.wait_for_registration(CHANGE_WITHIN).unwrap();
    assert_eq!(impostor.application_bytes(), 0);
}

#[test]
fn servers_are_tried_in_order_and_dead_ones_are_passed_over() {
    let mut site = Site::fair("several");
    // One address that nobody has, one where nobody listens, and the server.
    let nobody = IpAddr::V4(Ipv4Addr::new(10, 77, 0, 9));
    let args =
        format!("muster.server=https://{nobody}:8092 muster.server=https://10.77.0.1:1 {}", site.args());
    let port = site.lab.port("52:54:00:07:01:03").unwrap();
    let mut vm = site.machine("several", &args).plug(port).start().unwrap();
    let code = shows_a_code(&mut vm, &site.operator, BOOT_WITHIN);
    vm.wait_for_words(&format!("(pin OK) {}", site.relay.url()), SCREEN_WITHIN).unwrap();
    let approved = site.operator.approve(&code.to_string()).unwrap();
    assert_eq!(vm.wait_for_registration(CHANGE_WITHIN).unwrap().uuid, approved.uuid);
}

#[test]
fn a_roll_of_the_ca_loses_neither_a_waiting_machine_nor_a_line_written_before() {
    let mut site = Site::fair("roll");
    let port = site.lab.port("52:54:00:07:01:04").unwrap();
    let mut vm = site.machine("roll", &site.args()).plug(port).start().unwrap();
    let code = shows_a_code(&mut vm, &site.operator, BOOT_WITHIN);
    let rolled = site.operator.post("/api/v3/keys/ca/roll", &json!({ "Force": false })).unwrap();
    assert_eq!(rolled.status, 200, "{}", rolled.text());
    // The waiting machine connects anew, under the next CA.
    site.relay.cut();
    vm.wait_for_words("E20 server unreachable", CHANGE_WITHIN).unwrap();
    site.relay.restore(&site.lab).unwrap();
    vm.wait_for_words("the problem is over", CHANGE_WITHIN).unwrap();
    assert_eq!(vm.wait_for_code_on_screen(SCREEN_WITHIN).unwrap(), code);
    vm.reset().unwrap();
    shows_a_code(&mut vm, &site.operator, BOOT_WITHIN);
}
