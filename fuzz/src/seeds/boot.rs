//! Seeds of machines for which boot files are rendered.

use super::{Seed, seed};

pub(super) fn all() -> Vec<Seed> {
    let machine = |options: &str| {
        format!(
            r#"{{"Address":"10.0.0.5","HardwareAddrs":["52:54:00:ab:cd:ef"],"Params":{{"kernel-console":"console=ttyS1","kernel-options":{options}}}}}"#
        )
    };
    let long = format!("\"{}\"", "a".repeat(1_800));
    vec![
        seed(
            "boot_render",
            "ipxe",
            format!("52:54:00:ab:cd:ef.ipxe\n{}", machine(r#""mitigations=auto nosmt""#)),
        ),
        seed("boot_render", "grub", format!("grub/10.0.0.5.cfg\n{}", machine(r#""x; reboot""#))),
        seed("boot_render", "pxelinux", format!("pxelinux.cfg/0A000005\n{}", machine(r#""x\r\nLABEL y""#))),
        seed("boot_render", "long", format!("//pxelinux.cfg/01-52-54-00-ab-cd-ef\n{}", machine(&long))),
        seed(
            "boot_render",
            "paths",
            "a/10.0.0.5.ipxe\n{\"Address\":\"a/.//10.0.0.5\",\"HardwareAddrs\":[\"\",\"52:54\\n\",\"../x\"]}",
        ),
        seed("boot_render", "stranger", "grub/grub.cfg\nnull"),
    ]
}
