//! The target's kernel and its initial ramdisk, and the command line that they start with.

use super::super::state::Partitioned;
use super::super::target::{Tree, TreeError};
use super::BootError;
use std::cmp::Ordering;
use std::fs;
use std::io;

/// Consoles that the kernel writes to here, the one behind `/dev/console` last.
const CONSOLES: &str = "/sys/class/tty/console/active";
/// Names of ramdisks for a kernel's version: Debian's, Fedora's, SUSE's.
const RAMDISKS: [(&str, &str); 3] = [("initrd.img-", ""), ("initramfs-", ".img"), ("initrd-", "")];

/// A kernel, by paths in the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Kernel {
    pub(super) version: String,
    pub(super) file: String,
    /// None where there is none yet.
    pub(super) ramdisk: Option<String>,
}

/// The newest kernel of the image.
///
/// # Errors
/// [`BootError::NoKernel`].
pub(super) fn newest(tree: &Tree) -> Result<Kernel, BootError> {
    let names = tree.names("/boot")?;
    let versions = names.iter().filter_map(|name| name.strip_prefix("vmlinuz-"));
    let usable = versions.filter(|version| is_version(version) && !version.contains("rescue"));
    let version = usable.max_by(|a, b| compare(a, b)).ok_or(BootError::NoKernel)?;
    let ramdisk = RAMDISKS.iter().find_map(|(before, after)| {
        let name = format!("{before}{version}{after}");
        names.contains(&name).then(|| format!("/boot/{name}"))
    });
    Ok(Kernel { version: version.to_owned(), file: format!("/boot/vmlinuz-{version}"), ramdisk })
}

/// It stands in a configuration of GRUB and in arguments.
fn is_version(version: &str) -> bool {
    version.starts_with(|c: char| c.is_ascii_alphanumeric())
        && version.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._+~-".contains(&byte))
}

/// Numbers in versions count as numbers: 6.10 comes after 6.9.
fn compare(a: &str, b: &str) -> Ordering {
    let parts = |text: &str| -> Vec<(u64, String)> {
        let split = text.split(|c: char| !c.is_ascii_alphanumeric());
        split.map(|part| (part.parse().unwrap_or(0), part.to_owned())).collect()
    };
    parts(a).cmp(&parts(b)).then_with(|| a.cmp(b))
}

/// Arguments beside the root: consoles as this machine has them, then what the order says.
///
/// # Errors
/// [`BootError::Arguments`].
pub(super) fn arguments(ordered: &str) -> Result<String, BootError> {
    let active = match fs::read_to_string(CONSOLES) {
        Ok(active) => active,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(BootError::Consoles(error)),
    };
    with_consoles(&active, ordered)
}

fn with_consoles(active: &str, ordered: &str) -> Result<String, BootError> {
    let refused = |c: &char| !(c.is_ascii_graphic() || *c == ' ') || "\"'`$\\;{}<>|&*?#".contains(*c);
    if let Some(character) = ordered.chars().find(refused) {
        return Err(BootError::Arguments(character));
    }
    let serial = active.split_whitespace().filter(|name| serial_unit(name).is_some());
    let serial: Vec<String> = serial.map(|name| format!("console={name},115200")).collect();
    let own = ordered.split(' ').any(|word| word.starts_with("console="));
    let mut words = Vec::new();
    if !own && !serial.is_empty() {
        words.push("console=tty0".to_owned());
        words.extend(serial);
    }
    words.extend(ordered.split(' ').filter(|word| !word.is_empty()).map(str::to_owned));
    Ok(words.join(" "))
}

/// The first serial port among the consoles of these arguments, by its number.
pub(super) fn serial(arguments: &str) -> Option<u8> {
    let consoles = arguments.split(' ').filter_map(|word| word.strip_prefix("console="));
    consoles.filter_map(|console| serial_unit(console.split(',').next()?)).next()
}

fn serial_unit(name: &str) -> Option<u8> {
    name.strip_prefix("ttyS")?.parse().ok().filter(|unit| *unit < 4)
}

/// What the initial ramdisk needs for a layout: programs of the image, and the hooks that put them there.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Needs {
    pub(super) program: &'static str,
    pub(super) hook: &'static str,
    pub(super) package: &'static str,
}

const LVM: Needs = Needs { program: "lvm", hook: "lvm2", package: "lvm2" };
const MDADM: Needs = Needs { program: "mdadm", hook: "mdadm", package: "mdadm" };
const CRYPTSETUP: Needs = Needs { program: "cryptsetup", hook: "cryptroot", package: "cryptsetup-initramfs" };

/// What a layout needs in the ramdisk beside file systems.
pub(super) fn needs(layout: &Partitioned) -> Vec<Needs> {
    let mut needs = Vec::new();
    needs.extend((!layout.groups.is_empty()).then_some(LVM));
    needs.extend((!layout.arrays.is_empty()).then_some(MDADM));
    needs.extend((!layout.ciphers.is_empty()).then_some(CRYPTSETUP));
    needs
}

/// The program that makes ramdisks in this image, with its arguments.
///
/// # Errors
/// [`BootError`] where the image has none, or lacks what the layout needs.
pub(super) fn ramdisk_maker(tree: &Tree, kernel: &Kernel, needs: &[Needs]) -> Result<Vec<String>, BootError> {
    let has =
        |paths: [String; 2]| -> Result<bool, TreeError> { Ok(tree.has(&paths[0])? || tree.has(&paths[1])?) };
    let is_debian = has(["/usr/sbin/update-initramfs".to_owned(), "/sbin/update-initramfs".to_owned()])?;
    let is_dracut = has(["/usr/bin/dracut".to_owned(), "/usr/sbin/dracut".to_owned()])?;
    for need in needs {
        let Needs { program, hook, package } = need;
        let hooks = "initramfs-tools/hooks";
        let hooked = [format!("/usr/share/{hooks}/{hook}"), format!("/etc/{hooks}/{hook}")];
        let there = has([format!("/usr/sbin/{program}"), format!("/sbin/{program}")])?;
        if !there || (is_debian && !has(hooked)?) {
            return Err(BootError::Lacks(package));
        }
    }
    let words: &[&str] = if is_debian {
        let verb = if kernel.ramdisk.is_some() { "-u" } else { "-c" };
        &["/usr/sbin/update-initramfs", verb, "-k", &kernel.version]
    } else if is_dracut {
        &["/usr/bin/dracut", "--force", "--no-hostonly", "--kver", &kernel.version]
    } else {
        return Err(BootError::Lacks("initramfs-tools"));
    };
    Ok(words.iter().map(|word| (*word).to_owned()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[&str]) -> (tempfile::TempDir, Tree) {
        let folder = tempfile::tempdir().unwrap();
        let tree = Tree::open(folder.path()).unwrap();
        for file in files {
            tree.put(file, b"x", 0o755).unwrap();
        }
        (folder, tree)
    }

    #[test]
    fn the_newest_kernel_is_taken_by_its_numbers_and_with_its_own_ramdisk() {
        let (_folder, debian) = tree(&[
            "/boot/vmlinuz-6.9.0-1-amd64",
            "/boot/vmlinuz-6.10.2-1-amd64",
            "/boot/vmlinuz-0-rescue-abc",
            "/boot/initrd.img-6.10.2-1-amd64",
            "/boot/vmlinuz-9\"bad",
        ]);
        let kernel = newest(&debian).unwrap();
        assert_eq!(
            (kernel.version.as_str(), kernel.file.as_str()),
            ("6.10.2-1-amd64", "/boot/vmlinuz-6.10.2-1-amd64")
        );
        assert_eq!(kernel.ramdisk.as_deref(), Some("/boot/initrd.img-6.10.2-1-amd64"));
        let (_folder, bare) = tree(&["/boot/config-6.1"]);
        assert!(newest(&bare).unwrap_err().to_string().contains("no kernel"));
    }

    #[test]
    fn the_machines_serial_console_is_kept_unless_the_order_names_consoles() {
        assert_eq!(
            with_consoles("tty0 ttyS1\n", "quiet").unwrap(),
            "console=tty0 console=ttyS1,115200 quiet"
        );
        assert_eq!(with_consoles("tty0\n", " quiet  splash").unwrap(), "quiet splash");
        assert_eq!(with_consoles("ttyS0", "console=hvc0").unwrap(), "console=hvc0");
        assert_eq!(serial("console=tty0 console=ttyS1,115200 quiet"), Some(1));
        assert_eq!(serial("quiet"), None);
        for bad in ["a\"b", "$x", "a\nb", "a;b"] {
            assert!(matches!(with_consoles("", bad), Err(BootError::Arguments(_))), "{bad:?}");
        }
    }

    #[test]
    fn what_the_layout_needs_and_the_image_lacks_is_named_by_its_package() {
        let (_folder, debian) = tree(&["/boot/vmlinuz-6.1", "/usr/sbin/update-initramfs", "/usr/sbin/mdadm"]);
        let layout = Partitioned { groups: vec!["muster".to_owned()], ..Partitioned::default() };
        let kernel = newest(&debian).unwrap();
        let error = ramdisk_maker(&debian, &kernel, &needs(&layout)).unwrap_err().to_string();
        assert!(error.contains("lvm2"), "{error}");
        let words = ramdisk_maker(&debian, &kernel, &[]).unwrap();
        assert_eq!(words, ["/usr/sbin/update-initramfs", "-c", "-k", "6.1"]);
        let (_folder, other) = tree(&["/boot/vmlinuz-6.1"]);
        assert!(ramdisk_maker(&other, &kernel, &[]).unwrap_err().to_string().contains("initramfs-tools"));
    }
}
