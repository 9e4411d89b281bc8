//! A system that boots in seconds: Debian's kernel, initial ramdisk and boot loaders, and busybox as everything else. For
//! tests that install often and ask only whether the machine came up.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use super::{Debian, REVISION, building, run};
use crate::qemu::SIT_DOWN;

/// What the kernel starts; also where an installer looks for systemd, in whose place it is. The agent is there when an installer put it there.
/// A shell sits at the second serial line, for tests that have one.
const INIT: &str = "\
#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc 2>/dev/null
/bin/busybox mount -o remount,rw /
/bin/busybox --install -s /bin
mount -t sysfs sys /sys 2>/dev/null
mount -t devtmpfs dev /dev 2>/dev/null
mount -t tmpfs run /run 2>/dev/null
for module in fat vfat nls_cp437 nls_ascii nls_iso8859-1 nls_utf8 efivarfs; do
  find /usr/lib/modules -name \"$module.ko\" -exec insmod {} \\;
done
# By hand: busybox hands options for systemd to the kernel, which refuses them.
grep ' vfat ' /etc/fstab | while read what where rest; do mount -t vfat \"$what\" \"$where\"; done
mount -t efivarfs efivarfs /sys/firmware/efi/efivars 2>/dev/null
SIT_DOWN
exec >/dev/console 2>&1
# As muster-mesh.service does.
export MUSTER_MESH_DIR=/var/lib/muster/mesh
[ -e $MUSTER_MESH_DIR/state.json ] && /usr/local/sbin/muster-installer mesh guard
# What a test has put there talks from before the first network on.
[ -x /etc/rc.local ] && /etc/rc.local &
ip link set lo up
for link in /sys/class/net/e*; do
  ip link set \"${link##*/}\" up
  udhcpc -q -i \"${link##*/}\" -s /etc/udhcpc.sh
done
echo \"tiny system runs: $(cat /etc/tiny)\"
while true; do
  [ -x /usr/local/sbin/muster-agent ] && /usr/local/sbin/muster-agent service
  sleep 1
done
";
/// What udhcpc calls with a lease.
const LEASE: &str = "\
#!/bin/busybox sh
[ \"$1\" = bound ] || exit 0
ip addr add \"$ip/$mask\" dev \"$interface\"
for router in $router; do ip route add default via \"$router\"; break; done
for server in $dns; do echo \"nameserver $server\"; done > /etc/resolv.conf
";
/// How a system of this size restarts: what our agent asks systemd for.
const SYSTEMCTL: &str = "\
#!/bin/busybox sh
sync
case \"$1\" in
reboot) exec /bin/busybox reboot -f ;;
poweroff) exec /bin/busybox poweroff -f ;;
kexec) exec /usr/lib/systemd/system-shutdown/muster-kexec kexec ;;
*) exit 1 ;;
esac
";
/// What is taken of Debian: folders and files of its archive.
const TAKEN: &[&str] = &[
    "./boot",
    "./usr/bin/busybox",
    "./usr/lib/grub/i386-pc",
    "./usr/lib/grub/x86_64-efi-signed",
    "./usr/lib/shim",
    "./usr/lib/os-release",
    "./usr/lib/modules/*/kernel/fs/efivarfs",
    "./usr/lib/modules/*/kernel/fs/fat",
    "./usr/lib/modules/*/kernel/fs/nls",
    // WireGuard, what it needs, and what tells the kernel's `modprobe` of that.
    "./usr/lib/modules/*/kernel/drivers/net/wireguard",
    "./usr/lib/modules/*/kernel/arch/x86/crypto/chacha-x86_64.ko",
    "./usr/lib/modules/*/kernel/arch/x86/crypto/curve25519-x86_64.ko",
    "./usr/lib/modules/*/kernel/arch/x86/crypto/poly1305-x86_64.ko",
    "./usr/lib/modules/*/kernel/lib/crypto",
    "./usr/lib/modules/*/kernel/net/ipv4/udp_tunnel.ko",
    "./usr/lib/modules/*/kernel/net/ipv6/ip6_udp_tunnel.ko",
    "./usr/lib/modules/*/modules.alias",
    "./usr/lib/modules/*/modules.dep",
];

/// What there must be beside that; the last one is where systemd looks for programs at its end.
const FOLDERS: [&str; 11] = [
    "bin",
    "sbin",
    "dev",
    "etc",
    "proc",
    "sys",
    "run",
    "tmp",
    "root",
    "var/lib",
    "usr/lib/systemd/system-shutdown",
];

impl Debian {
    /// The tiny system made of it, from the cache where it is there.
    ///
    /// # Errors
    /// When a program fails; with what it said.
    pub fn tiny(&self) -> Result<Self> {
        let archive = self.archive.with_extension(format!("tiny-{REVISION}.tar"));
        let _alone = building();
        if archive.is_file() {
            return Ok(Self { archive });
        }
        let root = tempfile::tempdir().context("cannot make a folder")?;
        fill(&self.archive, root.path())?;
        let half = archive.with_extension(format!("{}.half", std::process::id()));
        let mut tar = Command::new("tar");
        tar.args(["--owner=0", "--group=0", "--numeric-owner", "-C"])
            .arg(root.path())
            .arg("-cf")
            .arg(&half)
            .arg(".");
        run(&mut tar)?;
        fs::rename(&half, &archive).with_context(|| format!("cannot rename {}", half.display()))?;
        Ok(Self { archive })
    }
}

fn fill(archive: &Path, root: &Path) -> Result<()> {
    run(Command::new("tar").arg("-C").arg(root).arg("-xf").arg(archive).arg("--wildcards").args(TAKEN))?;
    for folder in FOLDERS {
        make(&root.join(folder))?;
    }
    fs::rename(root.join("usr/bin/busybox"), root.join("bin/busybox")).context("cannot move busybox")?;
    // Where the kernel looks for `modprobe`, and that for modules.
    for (from, to) in [("sbin/modprobe", "/bin/busybox"), ("lib", "usr/lib")] {
        symlink(to, root.join(from)).with_context(|| format!("cannot make {from}"))?;
    }
    fs::copy(root.join("usr/lib/os-release"), root.join("etc/os-release"))
        .context("cannot copy os-release")?;
    let init = INIT.replace("SIT_DOWN", SIT_DOWN);
    for (name, text) in [
        ("sbin/init", init.as_str()),
        ("etc/udhcpc.sh", LEASE),
        ("bin/systemctl", SYSTEMCTL),
        ("etc/tiny", "1\n"),
        ("usr/lib/systemd/systemd", &init),
    ] {
        let file = root.join(name);
        fs::write(&file, text).with_context(|| format!("cannot write {name}"))?;
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).context("cannot set a mode")?;
    }
    Ok(())
}

fn make(folder: &PathBuf) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))
}
