//! The boot environments that are always there: `local` boots a known machine's disk, `ignore` the
//! disk of everybody else (`spec/machine-model.md` 2.2, 7.3).

use protocol::model::{BUILTIN_BUNDLE, BootEnv, Envelope, OsInfo, TemplateInfo};

/// What PXELINUX does, by a param, since some firmware knows only some ways to its disk.
const PXELINUX: &str = "\
DEFAULT local
PROMPT 0
TIMEOUT 10
LABEL local
{{.Param \"pxelinux-local-boot\"}}
";
/// Firmware goes on with its next boot device.
const IPXE: &str = "#!ipxe\nexit\n";
const GRUB: &str = "exit\n";
/// Strangers are offered the files of known machines first: by hardware address, then by address.
const IPXE_DEFAULT: &str = "\
#!ipxe
chain --autofree {{.ProvisionerURL}}/${netX/mac}.ipxe && exit ||
chain --autofree {{.ProvisionerURL}}/${netX/ip}.ipxe && exit ||
exit
";
const GRUB_DEFAULT: &str = "\
for file in /grub/$net_default_mac.cfg /grub/$net_default_ip.cfg; do
  if test -s $file; then
    configfile $file
  fi
done
exit
";

/// `local` and `ignore`.
pub fn builtin() -> Vec<BootEnv> {
    let by_machine = [
        ("pxelinux", "pxelinux.cfg/{{.Machine.HexAddress}}", PXELINUX),
        ("pxelinux-mac", "pxelinux.cfg/{{.Machine.MacAddr \"pxelinux\"}}", PXELINUX),
        ("ipxe", "{{.Machine.Address}}.ipxe", IPXE),
        ("ipxe-mac", "{{.Machine.MacAddr \"ipxe\"}}.ipxe", IPXE),
        ("grub", "grub/{{.Machine.Address}}.cfg", GRUB),
        ("grub-mac", "grub/{{.Machine.MacAddr \"grub\"}}.cfg", GRUB),
    ];
    let by_nobody = [
        ("pxelinux", "pxelinux.cfg/default", PXELINUX),
        ("ipxe", "default.ipxe", IPXE_DEFAULT),
        ("grub", "grub/grub.cfg", GRUB_DEFAULT),
    ];
    vec![
        bootenv("local", "Boots a known machine from its own disk", false, &by_machine),
        bootenv("ignore", "Boots machines that are not known from their own disk", true, &by_nobody),
    ]
}

fn bootenv(name: &str, description: &str, only_unknown: bool, files: &[(&str, &str, &str)]) -> BootEnv {
    let template = |&(name, path, contents): &(&str, &str, &str)| TemplateInfo {
        name: name.to_owned(),
        path: path.to_owned(),
        contents: contents.to_owned(),
        ..TemplateInfo::default()
    };
    BootEnv {
        name: name.to_owned(),
        os: OsInfo { name: name.to_owned(), ..OsInfo::default() },
        templates: files.iter().map(template).collect(),
        optional_params: vec!["pxelinux-local-boot".to_owned()],
        only_unknown,
        envelope: Envelope {
            description: description.to_owned(),
            validated: true,
            available: true,
            read_only: true,
            bundle: BUILTIN_BUNDLE.to_owned(),
            ..Envelope::default()
        },
        ..BootEnv::default()
    }
}
