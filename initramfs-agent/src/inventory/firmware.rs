//! What firmware says: SMBIOS identity and structures, how it started the kernel, Secure Boot,
//! TPM, and whether there is a management controller.

use super::{Tree, smbios};
use protocol::inventory::{Bmc, FirmwareMode, Inventory, Tpm};

/// `SecureBoot` of the UEFI specification 3.3: four bytes of attributes, then 1 when enforced.
const SECURE_BOOT: &str = "sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c";

/// The firmware's part of the inventory.
pub(super) fn read(tree: &Tree) -> Inventory {
    let dmi = |name: &str| tree.text(&format!("sys/class/dmi/id/{name}"));
    let uefi = tree.exists("sys/firmware/efi");
    let table = tree.bytes("sys/firmware/dmi/tables/DMI", smbios::MAX_TABLE).unwrap_or_default();
    let smbios = smbios::parse(&table);
    Inventory {
        vendor: dmi("sys_vendor"),
        product: dmi("product_name"),
        serial: dmi("product_serial"),
        board_serial: dmi("board_serial"),
        system_uuid: dmi("product_uuid"),
        firmware: format!("{} {}", dmi("bios_vendor"), dmi("bios_version")),
        firmware_mode: if uefi { FirmwareMode::Uefi } else { FirmwareMode::Bios },
        secure_boot: uefi && secure_boot(tree),
        memory_modules: smbios.modules,
        tpm: tpm(tree),
        bmc: Bmc { present: smbios.has_bmc || has_ipmi(tree), ..Bmc::default() },
        ..Inventory::default()
    }
}

/// The first TPM. Kernels before 5.6 do not tell its version.
fn tpm(tree: &Tree) -> Tpm {
    let version = match tree.number("sys/class/tpm/tpm0/tpm_version_major") {
        1 => "1.2",
        2 => "2.0",
        _ => "",
    };
    Tpm { present: tree.exists("sys/class/tpm/tpm0"), version: version.to_owned() }
}

/// Whether ACPI tells of an IPMI interface (`IPI0001`, IPMI 2.0 appendix C3), or the kernel has
/// found one.
fn has_ipmi(tree: &Tree) -> bool {
    tree.exists("dev/ipmi0")
        || tree.names("sys/bus/acpi/devices").iter().any(|name| name.starts_with("IPI0001:"))
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
    fn trusted_platform_module_tells_its_version() {
        let fixture = Fixture::new(&[("sys/class/tpm/tpm0/tpm_version_major", "2\n")]);
        assert_eq!(tpm(&fixture.tree()), Tpm { present: true, version: "2.0".to_owned() });
        let old = Fixture::new(&[("sys/class/tpm/tpm0/device/x", "")]);
        assert_eq!(tpm(&old.tree()), Tpm { present: true, version: String::new() });
        assert_eq!(tpm(&Fixture::new(&[]).tree()), Tpm::default());
    }

    #[test]
    fn management_controller_is_told_by_smbios_or_acpi() {
        let by_acpi = Fixture::new(&[("sys/bus/acpi/devices/IPI0001:00/hid", "IPI0001\n")]);
        assert!(read(&by_acpi.tree()).bmc.present);
        let other = Fixture::new(&[("sys/bus/acpi/devices/PNP0501:00/hid", "PNP0501\n")]);
        assert!(!read(&other.tree()).bmc.present);
        other.bytes("sys/firmware/dmi/tables/DMI", &[38, 6, 0, 0, 1, 0x20, 0, 0, 127, 4, 0, 0, 0, 0]);
        assert!(read(&other.tree()).bmc.present);
    }

    #[test]
    fn lockdown_without_uefi_is_no_secure_boot() {
        let fixture = Fixture::new(&[("sys/kernel/security/lockdown", "none [integrity]")]);
        let inventory = read(&fixture.tree());
        assert!(!inventory.secure_boot);
        assert_eq!(inventory.firmware_mode, FirmwareMode::Bios);
    }
}
