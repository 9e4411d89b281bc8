//! What the other tests install boots by itself, before anything of ours has touched it.

use std::time::Duration;

use tests::os_image::{self, Debian};
use tests::qemu::{Boot, Disk, Firmware, Vm};

/// A translated boot of the small system on a busy computer.
const BOOT_WITHIN: Duration = Duration::from_secs(180);

#[test]
fn disk_images_of_others_boot_on_bios_and_uefi() {
    let folder = tempfile::tempdir().unwrap();
    let tiny = Debian::build().unwrap().tiny().unwrap();
    let image = os_image::Disk::of(&tiny, &folder.path().join("tiny.raw"), 512).unwrap();
    for (name, firmware) in [("image-bios", Firmware::Bios), ("image-uefi", Firmware::Uefi)] {
        let disk = Disk::new(image.path(), "IMAGE-1");
        let mut vm = Vm::builder(name).firmware(firmware).boot(Boot::Disk).disk(disk).start().unwrap();
        vm.wait_for_text("tiny system runs: 1", BOOT_WITHIN).unwrap();
    }
}
