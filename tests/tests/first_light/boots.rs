//! The five boot paths, each with the story of one machine: BIOS and UEFI, optical drive and
//! USB stick, Secure Boot on with Microsoft's keys.

use std::time::Duration;

use protocol::agent_api::Origin;
use protocol::inventory::FirmwareMode;
use protocol::rest::ProvisionState;
use tests::browser;
use tests::media::Profile;
use tests::operator::approval;
use tests::qemu::{Boot, Firmware, Nic, Vm};
use tests::wait;

use crate::{CODE_WITHIN, REGISTERED_WITHIN, Site, code_on_both_consoles};

/// A browser script: Chromium's start on a busy machine, and what it waits for.
const SCRIPT_WITHIN: Duration = Duration::from_secs(120);
/// From the last heartbeat to a red dot is 60 s; this is when a test gives up.
const RED_WITHIN: &str = "100";

#[test]
fn bios_cd_is_approved_in_a_browser_turns_green_then_red_and_is_deleted() {
    let site = Site::start("boot-bios-cd-server", Profile::Cloud);
    let mut vm = Vm::builder("boot-bios-cd")
        .boot(Boot::Cd(site.iso()))
        .mac("52:54:00:00:00:01")
        .serial_number("BIOS-CD-1")
        .start()
        .unwrap();
    let (code, preview) = code_on_both_consoles(&mut vm, &site.operator);
    assert_eq!((preview.serial.as_str(), preview.origin), ("BIOS-CD-1", Origin::Iso));
    assert_eq!(preview.macs, ["52:54:00:00:00:01"]);
    assert_eq!(preview.inventory.firmware_mode, FirmwareMode::Bios);

    // Types the code, compares the check, presses Bootstrap, sees the row in Discovery mode
    // with a green dot.
    let fingerprint = preview.fingerprint.to_string();
    let typed = [
        ("MUSTER_CODE", code.as_str()),
        ("MUSTER_FINGERPRINT", &fingerprint),
        ("MUSTER_NAME", "first.light"),
    ];
    let approved = browser::run(&site.server, "approve.mjs", &typed, SCRIPT_WITHIN);
    let approved = approved.map_err(|error| vm.failed(&error)).unwrap();
    let registered = vm.wait_for_registration(REGISTERED_WITHIN).unwrap();
    assert_eq!(registered.name, "first.light");
    assert!(approved.contains(&registered.uuid.to_string()), "{approved}");
    vm.save_screenshot("registered").unwrap();
    let machine = site.operator.machine(&registered.uuid.to_string()).unwrap();
    assert!(machine.own.online && machine.own.provision_state == ProvisionState::Discovery);
    assert!(!machine.own.inventory.secure_boot && machine.own.inventory.memory_bytes > 900 << 20);

    vm.cut_power().unwrap();
    let named = [("MUSTER_NAME", "first.light"), ("MUSTER_WAIT", RED_WITHIN)];
    browser::run(&site.server, "offline.mjs", &named, SCRIPT_WITHIN).unwrap();
    assert!(!site.operator.machine("Name:first.light").unwrap().own.online);
    browser::run(&site.server, "delete.mjs", &named, SCRIPT_WITHIN).unwrap();
    assert!(site.operator.machines().unwrap().is_empty());
}

#[test]
fn bios_usb_rebooted_shows_a_code_and_merge_keeps_its_uuid() {
    let site = Site::start("boot-bios-usb-server", Profile::Cloud);
    let mut vm = Vm::builder("boot-bios-usb")
        .boot(Boot::Usb(site.iso()))
        .mac("52:54:00:00:00:02")
        .serial_number("BIOS-USB-1")
        .start()
        .unwrap();
    let (first_code, _) = code_on_both_consoles(&mut vm, &site.operator);
    let first = site.operator.approve(&first_code).unwrap();
    assert_eq!(vm.wait_for_registration(REGISTERED_WITHIN).unwrap().uuid, first.uuid);

    // Ctrl-Alt-Del: the agent says goodbye, so the machine is known to be away at once.
    vm.reset_by_keyboard().unwrap();
    let second_code = vm.wait_for_code(CODE_WITHIN).unwrap().to_string();
    assert_ne!(second_code, first_code);
    let preview = site.operator.lookup(&second_code).unwrap();
    let known = preview.matches.first().unwrap();
    assert!(known.uuid == first.uuid && known.score >= 100 && !known.online, "{known:?}");
    assert!(preview.warnings.iter().any(|warning| warning.kind == "known_machine"), "{:?}", preview.warnings);
    let mut request = approval(&second_code, &preview);
    request.merge = Some(first.uuid);
    let answer = site.operator.try_approve(preview.id, &request).unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    let again = vm.wait_for_registration(REGISTERED_WITHIN).unwrap();
    assert_eq!((again.uuid, again.name), (first.uuid, first.name));
    assert_eq!(site.operator.machines().unwrap().len(), 1);
}

#[test]
fn uefi_cd_with_the_generic_kernel_obeys_its_power_button() {
    let site = Site::start("boot-uefi-cd-server", Profile::Generic);
    let mut vm = Vm::builder("boot-uefi-cd")
        .firmware(Firmware::Uefi)
        .boot(Boot::Cd(site.iso()))
        .nic(Nic::E1000e)
        .serial_number("UEFI-CD-1")
        .start()
        .unwrap();
    let (code, preview) = code_on_both_consoles(&mut vm, &site.operator);
    assert_eq!(preview.inventory.firmware_mode, FirmwareMode::Uefi);
    assert!(!preview.inventory.secure_boot);
    assert_eq!(preview.inventory.links[0].driver, "e1000e");
    assert!(preview.inventory.ebpf, "Debian's generic kernel has BTF and the bpf call");
    let approved = site.operator.approve(&code).unwrap();
    assert_eq!(vm.wait_for_registration(REGISTERED_WITHIN).unwrap().uuid, approved.uuid);

    vm.press_power_button().unwrap();
    vm.wait_for_power_off(Duration::from_secs(30)).unwrap();
    // It said goodbye: nobody has to wait for 60 seconds.
    wait::until("the machine to be offline", Duration::from_secs(5), || {
        Ok((!site.operator.machine(&approved.uuid.to_string())?.own.online).then_some(()))
    })
    .unwrap();
}

#[test]
fn uefi_usb_rebooted_in_discovery_mode_is_the_same_machine() {
    let site = Site::start("boot-uefi-usb-server", Profile::Cloud);
    let mut vm = Vm::builder("boot-uefi-usb")
        .firmware(Firmware::Uefi)
        .boot(Boot::Usb(site.iso()))
        .serial_number("UEFI-USB-1")
        .start()
        .unwrap();
    let (code, _) = code_on_both_consoles(&mut vm, &site.operator);
    let approved = site.operator.approve(&code).unwrap();
    assert_eq!(vm.wait_for_registration(REGISTERED_WITHIN).unwrap().uuid, approved.uuid);

    vm.reset().unwrap();
    let again = vm.wait_for_registration(CODE_WITHIN).unwrap();
    assert_eq!((again.uuid, again.name), (approved.uuid, approved.name));
    let lines = vm.lines().unwrap();
    assert!(lines.iter().all(|line| !line.contains(tests::qemu::CODE_LINE)), "it showed a code again");
    assert!(site.operator.enrollments().unwrap().is_empty());
    assert_eq!(site.operator.machines().unwrap().len(), 1);
}

#[test]
fn secure_boot_with_microsofts_keys_is_on_and_registers() {
    let site = Site::start("boot-secure-server", Profile::Cloud);
    let mut vm = Vm::builder("boot-secure")
        .firmware(Firmware::SecureBoot)
        .boot(Boot::Cd(site.iso()))
        .serial_number("SECURE-1")
        .start()
        .unwrap();
    let (code, preview) = code_on_both_consoles(&mut vm, &site.operator);
    assert_eq!(preview.inventory.firmware_mode, FirmwareMode::Uefi);
    assert!(preview.inventory.secure_boot, "the machine says that Secure Boot is off");
    let approved = site.operator.approve(&code).unwrap();
    assert_eq!(vm.wait_for_registration(REGISTERED_WITHIN).unwrap().uuid, approved.uuid);
}
