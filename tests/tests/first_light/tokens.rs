//! Bootstrap tokens on the kernel command line, as a network boot loader passes them.

use protocol::agent_api::Origin;
use tests::media::Profile;
use tests::muster::Server;
use tests::qemu::{Boot, Registered, Vm};

use crate::{CODE_WITHIN, Site, code_on_both_consoles};

/// Powers a machine on with these kernel arguments.
fn boot(name: &str, site: &Site, args: &str) -> Vm {
    let append = format!("quiet console=ttyS0 console=tty0 {args}");
    let kernel = Boot::Kernel { kernel: site.media.kernel(), initrd: site.media.initrd(), append };
    Vm::builder(name).boot(kernel).start().unwrap()
}

/// The machine shows a code on both consoles, and why.
fn shows_a_code_because(vm: &mut Vm, site: &Site, fault: &str) {
    code_on_both_consoles(vm, &site.operator);
    let lines = vm.lines().unwrap();
    assert!(
        lines.iter().any(|line| line.contains(fault)),
        "no {fault} on the console:\n{}",
        lines.join("\n")
    );
    vm.save_screenshot("fallback").unwrap();
    assert!(site.operator.machines().unwrap().is_empty());
}

#[test]
fn a_token_registers_without_a_person_and_stays_off_the_console() {
    let site = Site::start("token-valid-server", Profile::Cloud);
    let token = site.operator.create_token(600).unwrap();
    let mut vm = boot("token-valid", &site, &token.kernel_args);
    let Registered { uuid, name } = vm.wait_for_registration(CODE_WITHIN).unwrap();
    let shown = site.operator.get(&format!("/api/v3/machines/{uuid}")).unwrap();
    assert!(!shown.text().contains(&token.token[..40]), "the machine's object shows the token");
    let machine: protocol::rest::Machine = shown.expect(200).unwrap();
    assert_eq!((machine.name, machine.own.origin), (name, Origin::Pxe));
    assert!(site.operator.enrollments().unwrap().is_empty());
    let secret = &token.token[..40];
    let lines = vm.lines().unwrap();
    assert!(lines.iter().all(|line| !line.contains(secret)), "the console shows the token");
    assert!(!site.server.logs().unwrap().contains(secret), "the server's log shows the token");
}

#[test]
fn a_tampered_token_falls_back_to_a_code_and_says_why() {
    let site = Site::start("token-tampered-server", Profile::Cloud);
    let token = site.operator.create_token(600).unwrap();
    let middle = token.token.len() - 40;
    let (head, tail) = token.token.split_at(middle);
    let flipped = if tail.starts_with('A') { "B" } else { "A" };
    let forged = format!("{head}{flipped}{}", &tail[1..]);
    let mut vm = boot("token-tampered", &site, &token.kernel_args.replace(&token.token, &forged));
    shows_a_code_because(&mut vm, &site, "E42");
}

#[test]
fn an_expired_token_falls_back_to_a_code_and_says_why() {
    let site = Site::of(Server::builder("token-expired-server").movable_clock(), Profile::Cloud);
    let token = site.operator.create_token(600).unwrap();
    site.server.move_clock(601).unwrap();
    let mut vm = boot("token-expired", &site, &token.kernel_args);
    shows_a_code_because(&mut vm, &site, "E40");
}

#[test]
fn a_token_cut_off_on_its_way_falls_back_to_a_code_and_says_why() {
    let site = Site::start("token-cut-server", Profile::Cloud);
    let token = site.operator.create_token(600).unwrap();
    let cut = &token.token[..token.token.len() - 10];
    let mut vm = boot("token-cut", &site, &token.kernel_args.replace(&token.token, cut));
    shows_a_code_because(&mut vm, &site, "E41");
}
