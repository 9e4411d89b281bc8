//! What firmware says: SMBIOS identity, how it started the kernel, Secure Boot.

use super::Tree;
use protocol::inventory::{FirmwareMode, Inventory};

/// `SecureBoot` of the UEFI specification 3.3: four bytes of attributes, then 1 when enforced.
const SECURE_BOOT: &str = "sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c";

/// The firmware's part of the inventory.
pub(super) fn read(tree: &Tree) -> Inventory {
    let dmi = |name: &str| tree.text(&format!("sys/class/dmi/id/{name}"));
    let uefi = tree.exists("sys/firmware/efi");
    Inventory {
        vendor: dmi("sys_vendor"),
        product: dmi("product_name"),
        serial: dmi("product_serial"),
        board_serial: dmi("board_serial"),
        system_uuid: dmi("product_uuid"),
        firmware: format!("{} {}", dmi("bios_vendor"), dmi("bios_version")),
        firmware_mode: if uefi { FirmwareMode::Uefi } else { FirmwareMode::Bios },
        secure_boot: uefi && secure_boot(tree),
        ..Inventory::default()
    }
}

/// Whether Secure Boot is enforced: the variable, else what Debian's kernel made of it
/// (it locks itself down under Secure Boot; efivarfs is a module and may be missing).
fn secure_boot(tree: &Tree) -> bool {
    match tree.bytes(SECURE_BOOT, 5) {
        Some(variable) => variable.get(4) == Some(&1),
        None => {
            let lockdown = tree.text("sys/kernel/security/lockdown");
            lockdown.contains("[integrity]") || lockdown.contains("[confidentiality]")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::fixture::Fixture;

    #[test]
    fn secure_boot_is_read_from_the_variable_before_the_lockdown() {
        let lockdown = ("sys/kernel/security/lockdown", "none [integrity] confidentiality\n");
        let fixture = Fixture::new(&[lockdown, ("sys/firmware/efi/runtime", "")]);
        assert!(read(&fixture.tree()).secure_boot, "lockdown speaks when there is no variable");
        for (value, expected) in [(1, true), (0, false)] {
            fixture.bytes(SECURE_BOOT, &[6, 0, 0, 0, value]);
            assert_eq!(read(&fixture.tree()).secure_boot, expected);
        }
        fixture.bytes(SECURE_BOOT, &[6]);
        assert!(!read(&fixture.tree()).secure_boot, "a cut variable proves nothing");
    }

    #[test]
    fn lockdown_without_uefi_is_no_secure_boot() {
        let fixture = Fixture::new(&[("sys/kernel/security/lockdown", "none [integrity]")]);
        let inventory = read(&fixture.tree());
        assert!(!inventory.secure_boot);
        assert_eq!(inventory.firmware_mode, FirmwareMode::Bios);
    }
}
