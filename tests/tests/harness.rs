//! The harness checked against QEMU itself, with nothing of Muster's in it.

use std::path::Path;
use std::time::Duration;

use tests::qemu::{Boot, Firmware, Vm};

/// A boot sector that prints `HELLO` and a newline on the serial port and halts.
fn boot_sector() -> Vec<u8> {
    let mut code = Vec::new();
    // mov dx, 0x3f8
    code.extend([0xba, 0xf8, 0x03]);
    for byte in b"HELLO\r\n" {
        // mov al, byte; out dx, al
        code.extend([0xb0, *byte, 0xee]);
    }
    // hlt; jmp to the hlt
    code.extend([0xf4, 0xeb, 0xfd]);
    code.resize(510, 0);
    code.extend([0x55, 0xaa]);
    code.resize(1_024 * 1_024, 0);
    code
}

fn stick(folder: &Path) -> Boot {
    let image = folder.join("stick.img");
    std::fs::write(&image, boot_sector()).unwrap();
    Boot::Usb(image)
}

#[test]
fn a_machine_boots_prints_is_reset_and_leaves_a_picture() {
    let folder = tempfile::tempdir().unwrap();
    let mut vm = Vm::builder("harness-boots").boot(stick(folder.path())).capture_network().start().unwrap();
    vm.wait_for_text("HELLO", Duration::from_secs(30)).unwrap();
    assert_eq!(vm.screen().unwrap().text_size(), (80, 25));
    let picture = std::fs::read(vm.save_screenshot("boots").unwrap()).unwrap();
    assert!(picture.starts_with(b"\x89PNG"));
    vm.reset().unwrap();
    assert!(vm.lines().unwrap().iter().all(|line| !line.contains("HELLO")));
    vm.wait_for_text("HELLO", Duration::from_secs(30)).unwrap();
    assert_eq!(vm.network().unwrap().connects, []);
    vm.cut_power().unwrap();
    assert!(!vm.is_running().unwrap());
}

#[test]
fn a_failed_wait_shows_the_console_and_a_screenshot() {
    let folder = tempfile::tempdir().unwrap();
    let mut vm = Vm::builder("harness-fails").boot(stick(folder.path())).start().unwrap();
    vm.wait_for_text("HELLO", Duration::from_secs(30)).unwrap();
    let error = vm.wait_for_text("BYE", Duration::from_millis(200)).unwrap_err().to_string();
    assert!(error.contains("HELLO") && error.contains("failed.png"), "{error}");
    assert!(vm.folder().join("failed.png").is_file());
}

#[test]
fn both_uefi_firmwares_start_with_variables_of_their_own() {
    for (name, firmware) in [("harness-uefi", Firmware::Uefi), ("harness-secure", Firmware::SecureBoot)] {
        let folder = tempfile::tempdir().unwrap();
        let mut vm = Vm::builder(name).firmware(firmware).boot(stick(folder.path())).start().unwrap();
        vm.wait_for_text("BdsDxe", Duration::from_secs(60)).unwrap();
    }
}

#[test]
fn a_machine_that_cannot_start_says_why() {
    let error = Vm::builder("harness-refused").boot(Boot::Cd("/nonexistent.iso".into())).start();
    assert!(error.unwrap_err().to_string().contains("no such file"));
    let folder = tempfile::tempdir().unwrap();
    let error = Vm::builder("harness-bad").mac("not-a-mac").boot(stick(folder.path())).start();
    assert!(error.unwrap_err().to_string().contains("QEMU said"));
}
