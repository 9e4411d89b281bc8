//! The boot environments that are always there (`spec/machine-model.md` 2.2, 7.3): `local` boots a
//! known machine's disk and `ignore` the disk of everybody else; `muster` boots our image on a known
//! machine and `discovery` on everybody else, who registers by the token in its files.
//!
//! Nobody stands before these machines: no menu waits for a key, what is said is said on screen and
//! serial line, and whoever cannot load what it should goes on with its next boot device.

use super::tree::MEDIA_FOLDER;
use crate::content::built_in;
use protocol::model::{BootEnv, OsInfo, TemplateInfo};

/// Boots a known machine's disk.
pub const LOCAL: &str = "local";
/// Boots the disk of whoever is not known.
pub const IGNORE: &str = "ignore";
/// Boots our image on a known machine.
pub const MUSTER: &str = "muster";
/// Boots our image on whoever is not known.
pub const DISCOVERY: &str = "discovery";

/// The files of our media that are booted.
const KERNEL: &str = "vmlinuz";
const INITRD: &str = "initrd";
/// The agent's own arguments, and those of a site whose machines need more: params by their usual
/// names.
const BOOT_PARAMS: &str = "\
{{$console := \"\"}}{{if .ParamExists \"kernel-console\"}}{{$console = .Param \"kernel-console\"}}{{end -}}
{{$options := \"\"}}{{if .ParamExists \"kernel-options\"}}{{$options = .Param \"kernel-options\"}}{{end -}}
{{.MusterArgs \"quiet loglevel=3\" $console $options}}";

/// What PXELINUX does, by a param, since some firmware knows only some ways to its disk.
const PXELINUX_LOCAL: &str = "\
DEFAULT local
PROMPT 0
TIMEOUT 10
LABEL local
{{.Param \"pxelinux-local-boot\"}}
";
/// Firmware goes on with its next boot device: UEFI does after a failure only, and stops at its menu
/// where a loader ends well.
const IPXE_ON: &str = "exit 1\n";
/// GRUB under UEFI cannot end with a failure, so it starts what systems put on their disks, those that
/// are named before the fallback of removable media.
/// A disk that this server installed says itself how it is started (as our media ask it, `iso/templates/local.cfg`).
const GRUB_LOCAL: &str = "\
for marker in /muster/{{.Info.Id}}/local.cfg /boot/muster/{{.Info.Id}}/local.cfg; do
  if search --no-floppy --set=root --file $marker; then
    configfile $marker
  fi
done
if test \"$grub_platform\" = efi; then
  for vendor in debian ubuntu fedora redhat centos rocky almalinux opensuse sles BOOT; do
    for loader in shimx64.efi shimaa64.efi grubx64.efi grubaa64.efi BOOTX64.EFI BOOTAA64.EFI; do
      if search --no-floppy --set=root --file /EFI/$vendor/$loader; then
        if chainloader /EFI/$vendor/$loader; then
          boot
        fi
      fi
    done
  done
fi
exit
";

const IPXE_HEAD: &str = "#!ipxe\n";
/// Strangers are offered the files of known machines first: by hardware address, then by address. What
/// is there takes over, however it ends.
const IPXE_KNOWN: &str = "\
chain --autofree --replace {{.LoaderURL}}/${netX/mac}.ipxe ||
chain --autofree --replace {{.LoaderURL}}/${netX/ip}.ipxe ||
";
const GRUB_KNOWN: &str = "\
for file in /grub/$net_default_mac.cfg /grub/$net_default_ip.cfg; do
  if test -s $file; then
    configfile $file
  fi
done
";

/// A label that fails leaves PXELINUX at its prompt; nobody types, so the disk follows.
const PXELINUX_IMAGE: &str = "\
SERIAL 0 115200
DEFAULT muster
PROMPT 0
TIMEOUT 100
ONTIMEOUT local
LABEL muster
KERNEL {{.Env.PathFor \"tftp\" .Env.Kernel}}
INITRD {{.Env.JoinInitrds \"tftp\"}}
APPEND {{.BootParams}}
LABEL local
{{.Param \"pxelinux-local-boot\"}}
";
/// Under UEFI `initrd=` finds a ramdisk by its name.
const IPXE_IMAGE: &str = "\
imgfree
echo Muster: loading from {{.LoaderURL}}
kernel {{.LoaderURL}}/{{.Env.PathFor \"tftp\" .Env.Kernel}} initrd=muster.img {{.BootParams}} || goto failed
initrd --name muster.img {{.LoaderURL}}/{{.Env.JoinInitrds \"tftp\"}} || goto failed
boot || goto failed
:failed
echo Muster: nothing could be booted from {{.LoaderURL}}: ${errno}
echo The next boot device follows in 10 seconds.
sleep 10
";
const GRUB_HEAD: &str = "\
if serial --unit=0 --speed=115200; then
  terminal_input console serial
  terminal_output console serial
fi
";
/// From where GRUB itself came: Debian's signed one knows TFTP alone.
const GRUB_IMAGE: &str = "\
echo \"Muster: loading the image\"
if linux /{{.Env.PathFor \"tftp\" .Env.Kernel}} {{.BootParams}} ; then
  if initrd /{{.Env.JoinInitrds \"tftp\"}}; then
    boot
  fi
fi
echo \"Muster: the image could not be booted.\"
echo \"The next boot device follows in 10 seconds.\"
sleep 10
";

/// A template: its name, its path, what it says.
type File = (&'static str, &'static str, String);

/// All of them.
pub fn builtin() -> Vec<BootEnv> {
    let local = of_machines(PXELINUX_LOCAL, &[IPXE_HEAD, IPXE_ON].concat(), GRUB_LOCAL);
    let ipxe = |then: &str| [IPXE_HEAD, IPXE_KNOWN, then, IPXE_ON].concat();
    let grub = |head: &str, then: &str| [head, GRUB_KNOWN, then, GRUB_LOCAL].concat();
    let ignored = of_nobody(PXELINUX_LOCAL.to_owned(), ipxe(""), grub("", ""));
    let (by_ipxe, by_grub) = ([IPXE_HEAD, IPXE_IMAGE, IPXE_ON], [GRUB_HEAD, GRUB_IMAGE, GRUB_LOCAL]);
    let image = of_machines(PXELINUX_IMAGE, &by_ipxe.concat(), &by_grub.concat());
    let discovered = of_nobody(PXELINUX_IMAGE.to_owned(), ipxe(IPXE_IMAGE), grub(GRUB_HEAD, GRUB_IMAGE));
    vec![
        bootenv(LOCAL, "Boots a known machine from its own disk", &local),
        strangers(bootenv(IGNORE, "Boots machines that are not known from their own disk", &ignored)),
        with_image(bootenv(MUSTER, "Boots Muster's image on a known machine", &image)),
        strangers(with_image(bootenv(
            DISCOVERY,
            "Boots Muster's image on machines that are not known, with a token to register by",
            &discovered,
        ))),
    ]
}

/// The files of one machine, at the paths where loaders look for them.
fn of_machines(pxelinux: &str, ipxe: &str, grub: &str) -> Vec<File> {
    vec![
        ("pxelinux", "pxelinux.cfg/{{.Machine.HexAddress}}", pxelinux.to_owned()),
        ("pxelinux-mac", "pxelinux.cfg/{{.Machine.MacAddr \"pxelinux\"}}", pxelinux.to_owned()),
        ("ipxe", "{{.Machine.Address}}.ipxe", ipxe.to_owned()),
        ("ipxe-mac", "{{.Machine.MacAddr \"ipxe\"}}.ipxe", ipxe.to_owned()),
        ("grub", "grub/{{.Machine.Address}}.cfg", grub.to_owned()),
        ("grub-mac", "grub/{{.Machine.MacAddr \"grub\"}}.cfg", grub.to_owned()),
    ]
}

fn of_nobody(pxelinux: String, ipxe: String, grub: String) -> Vec<File> {
    vec![
        ("pxelinux", "pxelinux.cfg/default", pxelinux),
        ("ipxe", "default.ipxe", ipxe),
        ("grub", "grub/grub.cfg", grub),
    ]
}

fn bootenv(name: &str, description: &str, files: &[File]) -> BootEnv {
    let template = |(name, path, contents): &File| TemplateInfo {
        name: (*name).to_owned(),
        path: (*path).to_owned(),
        contents: contents.clone(),
        ..TemplateInfo::default()
    };
    BootEnv {
        name: name.to_owned(),
        os: OsInfo { name: name.to_owned(), ..OsInfo::default() },
        templates: files.iter().map(template).collect(),
        optional_params: vec!["pxelinux-local-boot".to_owned()],
        envelope: built_in(description),
        ..BootEnv::default()
    }
}

fn strangers(env: BootEnv) -> BootEnv {
    BootEnv { only_unknown: true, ..env }
}

/// With our kernel and ramdisk.
fn with_image(mut env: BootEnv) -> BootEnv {
    env.os.name = MEDIA_FOLDER.trim_end_matches('/').to_owned();
    env.kernel = KERNEL.to_owned();
    env.initrds = vec![INITRD.to_owned()];
    env.boot_params = BOOT_PARAMS.to_owned();
    env.optional_params.extend(["kernel-console", "kernel-options"].map(str::to_owned));
    env
}
