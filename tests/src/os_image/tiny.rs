//! A system that boots in seconds: Debian's kernel, initial ramdisk and boot loaders, and busybox as everything else. For
//! tests that install often and ask only whether the machine came up.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use super::{Debian, REVISION, building, run};

/// What the kernel starts; also where an installer looks for systemd, in whose place it is. The agent is there when an installer put it there.
const INIT: &str = "\
#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc 2>/dev/null
/bin/busybox mount -o remount,rw /
/bin/busybox --install -s /bin
mount -t sysfs sys /sys 2>/dev/null
mount -t devtmpfs dev /dev 2>/dev/null
mount -t tmpfs run /run 2>/dev/null
mount -t efivarfs efivarfs /sys/firmware/efi/efivars 2>/dev/null
exec >/dev/console 2>&1
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
kexec) echo b > /proc/sysrq-trigger ;;
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
    run(Command::new("tar").arg("-C").arg(root).arg("-xf").arg(archive).args(TAKEN))?;
    for folder in
        ["bin", "sbin", "dev", "etc", "proc", "sys", "run", "tmp", "root", "var/lib", "usr/lib/systemd"]
    {
        make(&root.join(folder))?;
    }
    fs::rename(root.join("usr/bin/busybox"), root.join("bin/busybox")).context("cannot move busybox")?;
    fs::copy(root.join("usr/lib/os-release"), root.join("etc/os-release"))
        .context("cannot copy os-release")?;
    for (name, text) in [
        ("sbin/init", INIT),
        ("etc/udhcpc.sh", LEASE),
        ("bin/systemctl", SYSTEMCTL),
        ("etc/tiny", "1\n"),
        ("usr/lib/systemd/systemd", INIT),
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
