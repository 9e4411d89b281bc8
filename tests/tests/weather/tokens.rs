//! Bootstrap tokens that do not admit the machine: each leads to a code, and the machine says why.
//! And those that do, more than once.

use protocol::cmdline::MAX_CMDLINE;
use protocol::rest::{TokenCreate, TokenCreated};
use tests::muster::Server;
use tests::qemu::Vm;

use crate::{BOOT_WITHIN, CHANGE_WITHIN, SCREEN_WITHIN, Site, shows_a_code};

/// Remedy of everything that another token mends.
const FRESH: &str = "Type the code into the dashboard, or boot with a fresh token.";

fn site(name: &str) -> Site {
    let mut site = Site::of(name, Server::builder(&format!("weather-{name}-server")).movable_clock());
    site.lab.serve(&tests::lab::Services::dhcp()).unwrap();
    site
}

/// The next machine of a site.
fn boot(site: &mut Site, name: &str, number: u8, args: &str) -> Vm {
    let port = site.lab.port(&format!("52:54:00:07:08:{number:02x}")).unwrap();
    site.machine(&format!("token-{name}"), args).plug(port).start().unwrap()
}

/// A machine with these arguments shows a code, and on both consoles why.
fn falls_to_a_code(site: &mut Site, name: &str, number: u8, args: &str, fault: &str, remedy: &str) {
    let mut vm = boot(site, name, number, args);
    shows_a_code(&mut vm, &site.operator, BOOT_WITHIN);
    vm.wait_for_words(fault, SCREEN_WITHIN).unwrap();
    vm.wait_for_words(remedy, SCREEN_WITHIN).unwrap();
    vm.wait_for_words_on_screen(fault, "fallback", SCREEN_WITHIN).unwrap();
    vm.wait_for_words_on_screen(remedy, "fallback", SCREEN_WITHIN).unwrap();
}

fn token(site: &Site) -> TokenCreated {
    site.operator.create_token(600).unwrap()
}

#[test]
fn a_token_that_time_or_an_operator_ended_leads_to_a_code() {
    let mut site = site("token-ended");
    let (revoked, expired) = (token(&site), token(&site));
    let answer = site.operator.delete(&format!("/api/v3/bootstrap/tokens/{}", revoked.id)).unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    falls_to_a_code(
        &mut site,
        "revoked",
        1,
        &revoked.kernel_args,
        "E43 the bootstrap token was revoked",
        FRESH,
    );
    site.server.move_clock(601).unwrap();
    falls_to_a_code(&mut site, "expired", 2, &expired.kernel_args, "E40 the bootstrap token expired", FRESH);
    assert!(site.operator.machines().unwrap().is_empty());
}

#[test]
fn a_token_that_was_damaged_on_its_way_leads_to_a_code() {
    let mut site = site("token-damaged");
    let whole = token(&site);
    let cut = whole.token.get(..whole.token.len() - 10).unwrap();
    let args = whole.kernel_args.replace(&whole.token, cut);
    falls_to_a_code(&mut site, "cut", 1, &args, "E41 the bootstrap token is cut off", "give the whole token");

    let middle = whole.token.len() - 40;
    let flipped = if whole.token.get(middle..=middle) == Some("A") { "B" } else { "A" };
    let mut forged = whole.token.clone();
    forged.replace_range(middle..=middle, flipped);
    let args = whole.kernel_args.replace(&whole.token, &forged);
    falls_to_a_code(&mut site, "tampered", 2, &args, "E42 the bootstrap token was refused", FRESH);
    assert!(site.operator.machines().unwrap().is_empty());
}

#[test]
fn a_token_or_a_command_line_that_is_too_long_leads_to_a_code_with_the_number() {
    let mut site = site("token-overlong");
    let whole = token(&site);
    let long = format!("{}{}", whole.token, "A".repeat(1_100 - whole.token.len()));
    let args = whole.kernel_args.replace(&whole.token, &long);
    falls_to_a_code(
        &mut site,
        "overlong",
        1,
        &args,
        "E45 the bootstrap token has 1100 characters",
        "at most 768",
    );

    // A loader that cuts at the kernel's limit, in the middle of the token.
    let head = site.args();
    let padding = MAX_CMDLINE - "quiet ".len() - head.len() - " pad= muster.token=".len() - 100;
    let begun = whole.token.get(..100).unwrap();
    let args = format!("{head} pad={} muster.token={begun}", "x".repeat(padding));
    falls_to_a_code(
        &mut site,
        "full",
        2,
        &args,
        "E45 the kernel command line is full with 2047 bytes",
        "below 2047",
    );
    assert!(site.operator.machines().unwrap().is_empty());
}

#[test]
fn a_token_for_other_machines_leads_to_a_code() {
    let mut site = site("token-foreign");
    let other = "52:54:00:ff:ff:ff".parse().unwrap();
    let narrow = TokenCreate { lifetime: 600, mac: vec![other], ..TokenCreate::default() };
    let narrow = site.operator.issue(&narrow).unwrap();
    let (fault, remedy) =
        ("E44 the bootstrap token does not cover this machine", "a token made for this machine");
    falls_to_a_code(&mut site, "foreign", 1, &narrow.kernel_args, fault, remedy);
    assert!(site.operator.machines().unwrap().is_empty());
}

#[test]
fn a_token_for_two_machines_registers_two_and_leads_the_third_to_a_code() {
    let mut site = site("token-two");
    let two = TokenCreate { lifetime: 600, max_uses: Some(2), ..TokenCreate::default() };
    let two = site.operator.issue(&two).unwrap();
    for number in [1, 2] {
        let mut vm = boot(&mut site, &format!("two-{number}"), number, &two.kernel_args);
        vm.wait_for_registration(BOOT_WITHIN).unwrap();
    }
    let (fault, remedy) =
        ("E44 the bootstrap token does not cover this machine", "a token made for this machine");
    falls_to_a_code(&mut site, "two-3", 3, &two.kernel_args, fault, remedy);
    assert_eq!(site.operator.machines().unwrap().len(), 2);
}

#[test]
fn a_machine_that_is_reset_comes_back_by_its_token_as_the_same_machine() {
    let mut site = site("token-reset");
    let year = site.operator.create_token(31_536_000).unwrap();
    let port = site.lab.port("52:54:00:07:08:01").unwrap();
    let machine = site.machine("token-reset", &year.kernel_args).plug(port).serial_number("RESET-1");
    let mut vm = machine.start().unwrap();
    let first = vm.wait_for_registration(BOOT_WITHIN).unwrap();
    // No goodbye: to the server it is online for another minute.
    vm.reset().unwrap();
    let again = vm.wait_for_registration(BOOT_WITHIN + CHANGE_WITHIN).unwrap();
    assert_eq!(again, first);
    assert_eq!(site.operator.machines().unwrap().len(), 1);
    assert!(site.operator.enrollments().unwrap().is_empty());
}
