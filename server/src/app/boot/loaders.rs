//! Network loaders: the programs that firmware can load, which load our kernel. They are Debian's;
//! the operator's folders come first, then the places where Debian's packages put them.

use super::tree::open;
use crate::app::AppError;
use pxe::question::{Cpu, Firmware};
use std::fs::{File, Metadata};
use std::path::{Path, PathBuf};

/// A loader that is served at the root.
#[derive(Debug)]
struct Loader {
    name: &'static str,
    /// Another name under which the same file may lie in a folder of the operator's.
    alias: &'static str,
    /// Folder of the system, and the file in it.
    system: (&'static str, &'static str),
    /// The package that has it.
    package: &'static str,
}

const fn loader(
    name: &'static str,
    alias: &'static str,
    system: (&'static str, &'static str),
    package: &'static str,
) -> Loader {
    Loader { name, alias, system, package }
}

/// Below it, packages' files may be links to each other.
const LIB: &str = "usr/lib";
const SHIM: (&str, &str) = (LIB, "shim/shimx64.efi.signed");
const SHIM_ARM: (&str, &str) = (LIB, "shim/shimaa64.efi.signed");
/// Modules of SYSLINUX, which PXELINUX loads by name.
const MODULES: &str = "syslinux/modules/bios";
const MODULE: &str = ".c32";
const MODULES_PACKAGE: &str = "syslinux-common";

const LOADERS: [Loader; 13] = [
    loader("undionly.kpxe", "", (LIB, "ipxe/undionly.kpxe"), "ipxe"),
    loader("ipxe.pxe", "", (LIB, "ipxe/ipxe.pxe"), "ipxe"),
    loader("snponly.efi", "", (LIB, "ipxe/snponly.efi"), "ipxe"),
    // Debian's link to it leads out of its folder.
    loader("ipxe.efi", "", ("boot", "ipxe.efi"), "ipxe"),
    loader("shimx64.efi", "bootx64.efi", SHIM, "shim-signed"),
    loader("bootx64.efi", "shimx64.efi", SHIM, "shim-signed"),
    loader("mmx64.efi", "", (LIB, "shim/mmx64.efi.signed"), "shim-helpers-amd64-signed"),
    loader("grubx64.efi", "", (LIB, "grub/x86_64-efi-signed/grubnetx64.efi.signed"), "grub-efi-amd64-signed"),
    loader("pxelinux.0", "", (LIB, "PXELINUX/pxelinux.0"), "pxelinux"),
    loader("lpxelinux.0", "", (LIB, "PXELINUX/lpxelinux.0"), "pxelinux"),
    loader("shimaa64.efi", "bootaa64.efi", SHIM_ARM, "shim-signed:arm64"),
    loader("bootaa64.efi", "shimaa64.efi", SHIM_ARM, "shim-signed:arm64"),
    loader(
        "grubaa64.efi",
        "",
        (LIB, "grub/arm64-efi-signed/grubnetaa64.efi.signed"),
        "grub-efi-arm64-signed:arm64",
    ),
];

/// Files that boot a firmware together. The first is asked for, and loads the others.
type Chain = [&'static str];

/// What boots a firmware, the best first.
const BIOS: [&Chain; 2] = [&["undionly.kpxe"], &["pxelinux.0", "ldlinux.c32"]];
const ARM64: [&Chain; 1] = [&["shimaa64.efi", "grubaa64.efi"]];
/// Starts with Secure Boot on and off, and loads from whoever gave the machine its address: Debian's
/// GRUB does not know proxies (support came with 2.12).
const SIGNED: &Chain = &["shimx64.efi", "grubx64.efi"];
const X64: [&Chain; 3] = [SIGNED, &["snponly.efi"], &["ipxe.efi"]];
const X64_BY_PROXY: [&Chain; 3] = [&["snponly.efi"], &["ipxe.efi"], SIGNED];

/// Where loaders are looked for.
#[derive(Debug, Clone)]
pub(crate) struct Loaders {
    /// The operator's, in order.
    folders: Vec<PathBuf>,
    /// The system's root.
    system: PathBuf,
}

impl Loaders {
    /// Looks into these folders first, then into the system's.
    pub(crate) fn new(folders: Vec<PathBuf>, system: PathBuf) -> Self {
        Self { folders, system }
    }

    /// Opens a loader; nothing when the name is none, or it lies nowhere. Asks the disk.
    pub(super) fn open(&self, name: &str) -> Result<Option<(File, Metadata)>, AppError> {
        let known = LOADERS.iter().find(|loader| loader.name == name);
        let module = is_module(name).then(|| format!("{MODULES}/{name}"));
        let system = match (known, &module) {
            (Some(loader), _) => loader.system,
            (None, Some(module)) => (LIB, module.as_str()),
            (None, None) => return Ok(None),
        };
        let alias = known.map_or("", |loader| loader.alias);
        for folder in &self.folders {
            for name in [name, alias].into_iter().filter(|name| !name.is_empty()) {
                if let Some(found) = open(folder, name)? {
                    return Ok(Some(found));
                }
            }
        }
        let (folder, file) = system;
        open(&self.system.join(folder), file)
    }

    /// What a firmware loads first, or what is missing and how to get it. `signed` wants what starts
    /// with Secure Boot on. Asks the disk.
    pub(super) fn first_of(&self, firmware: Firmware, signed: bool) -> Result<&'static str, String> {
        let Some((who, chains)) = chains(firmware, signed) else {
            return Err("this client loads no loader".to_owned());
        };
        let whole = chains.iter().find(|chain| self.has_all(chain));
        match whole.and_then(|chain| chain.first()) {
            Some(first) => Ok(first),
            None => Err(self.lacking(who, chains.first().copied().unwrap_or_default())),
        }
    }

    /// What will not boot for want of a loader, for whoever starts a server that is asked for them.
    /// `leases` says whether machines have their addresses of us.
    pub(crate) fn lacks(&self, leases: bool) -> Vec<String> {
        let firmwares = [Firmware::Bios, Firmware::Uefi(Cpu::X64)];
        let first = |firmware| self.first_of(firmware, leases).err();
        let mut lacks: Vec<String> = firmwares.into_iter().filter_map(first).collect();
        let others_boot = self.first_of(Firmware::Uefi(Cpu::X64), leases).is_ok();
        if others_boot && !self.has_all(SIGNED) {
            lacks.push(self.lacking("machines with Secure Boot on", SIGNED));
        }
        lacks
    }

    fn has_all(&self, chain: &Chain) -> bool {
        chain.iter().all(|name| self.has(name))
    }

    fn lacking(&self, who: &str, chain: &Chain) -> String {
        let missing: Vec<&str> = chain.iter().copied().filter(|name| !self.has(name)).collect();
        let mut packages: Vec<&str> = missing.iter().map(|name| package(name)).collect();
        packages.dedup();
        let folder = self
            .folders
            .first()
            .map_or_else(String::new, |folder| format!(", or put it into {}", folder.display()));
        format!(
            "{who} boot nothing from the network: there is no {}; build the media again, which brings it, run \
             `apt-get install {}`{folder}",
            missing.join(" and no "),
            packages.join(" ")
        )
    }

    fn has(&self, name: &str) -> bool {
        match self.open(name) {
            Ok(found) => found.is_some(),
            Err(error) => {
                tracing::warn!(name, error = %crate::report::chain(&error), "a loader cannot be opened");
                false
            }
        }
    }
}

/// Which chains of files boot a firmware, and whose it is.
fn chains(firmware: Firmware, signed: bool) -> Option<(&'static str, &'static [&'static Chain])> {
    match firmware {
        Firmware::Bios => Some(("machines with a BIOS", &BIOS)),
        Firmware::Uefi(Cpu::X64) if signed => Some(("machines with UEFI", &X64)),
        Firmware::Uefi(Cpu::X64) => Some(("machines with UEFI", &X64_BY_PROXY)),
        Firmware::Uefi(Cpu::Arm64) => Some(("Arm machines", &ARM64)),
        Firmware::UefiHttp(_) | Firmware::Ipxe => None,
    }
}

fn package(name: &str) -> &'static str {
    LOADERS.iter().find(|loader| loader.name == name).map_or(MODULES_PACKAGE, |loader| loader.package)
}

fn is_module(name: &str) -> bool {
    let stem = name.strip_suffix(MODULE).unwrap_or_default();
    !stem.is_empty() && stem.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
}

/// The folders where operators put loaders.
pub(crate) fn folders(given: Option<&Path>, data: &Path, media: Option<&Path>) -> Vec<PathBuf> {
    const FOLDER: &str = "loaders";
    let beside = [Some(data), media].into_iter().flatten().map(|folder| folder.join(FOLDER));
    given.map(Path::to_owned).into_iter().chain(beside).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    fn put(folder: &Path, name: &str, text: &str) {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn read(loaders: &Loaders, name: &str) -> Option<String> {
        let (file, _) = loaders.open(name).unwrap()?;
        Some(std::io::read_to_string(file).unwrap())
    }

    #[test]
    fn operators_folders_come_first_and_packages_last() {
        let directory = tempfile::tempdir().unwrap();
        let [given, data, media, system] =
            ["given", "data", "media", "system"].map(|name| directory.path().join(name));
        let loaders = Loaders::new(folders(Some(&given), &data, Some(&media)), system.clone());
        assert_eq!(read(&loaders, "undionly.kpxe"), None);
        for (folder, name) in [
            (&system, "usr/lib/ipxe/undionly.kpxe"),
            (&media, "loaders/undionly.kpxe"),
            (&data, "loaders/undionly.kpxe"),
            (&given, "undionly.kpxe"),
        ] {
            put(folder, name, name);
            assert_eq!(read(&loaders, "undionly.kpxe").as_deref(), Some(name));
        }
        // The names that shim has on a medium and on a network.
        put(&media, "loaders/shimx64.efi", "shim");
        assert_eq!(read(&loaders, "bootx64.efi").as_deref(), Some("shim"));
        put(&system, "boot/ipxe.efi", "ipxe");
        put(&system, "usr/lib/syslinux/modules/bios/ldlinux.c32", "ldlinux");
        assert_eq!(read(&loaders, "ipxe.efi").as_deref(), Some("ipxe"));
        assert_eq!(read(&loaders, "ldlinux.c32").as_deref(), Some("ldlinux"));
    }

    #[test]
    fn nothing_else_is_a_loader() {
        let directory = tempfile::tempdir().unwrap();
        let folder = directory.path().join("given");
        put(directory.path(), "secret", "no");
        put(&folder, "notes.txt", "no");
        put(&folder, "deep/menu.c32", "no");
        symlink("../secret", folder.join("undionly.kpxe")).unwrap();
        symlink("/etc/passwd", folder.join("menu.c32")).unwrap();
        let system = directory.path().join("system");
        // Packages' files may be links to each other.
        put(&system, "usr/lib/ipxe/real", "real");
        symlink("real", system.join("usr/lib/ipxe/snponly.efi")).unwrap();
        let loaders = Loaders::new(vec![folder], system);
        for name in
            ["notes.txt", "deep/menu.c32", "undionly.kpxe", "menu.c32", "../secret", "", ".c32", "é.c32"]
        {
            assert_eq!(read(&loaders, name), None, "{name}");
        }
        assert_eq!(read(&loaders, "snponly.efi").as_deref(), Some("real"));
    }

    #[test]
    fn firmware_gets_the_best_chain_that_is_whole() {
        let directory = tempfile::tempdir().unwrap();
        let folder = directory.path().join("given");
        let loaders = Loaders::new(vec![folder.clone()], directory.path().join("system"));
        let first = |firmware| loaders.first_of(firmware, true);
        let x64 = Firmware::Uefi(Cpu::X64);
        assert_eq!(
            first(Firmware::Bios).unwrap_err(),
            format!(
                "machines with a BIOS boot nothing from the network: there is no undionly.kpxe; build the \
                 media again, which brings it, run `apt-get install ipxe`, or put it into {}",
                folder.display()
            )
        );
        assert!(first(x64).unwrap_err().contains("`apt-get install shim-signed grub-efi-amd64-signed`"));
        assert_eq!(loaders.lacks(true).len(), 2);
        put(&folder, "pxelinux.0", "");
        assert!(first(Firmware::Bios).is_err(), "it loads nothing without its module");
        put(&folder, "ldlinux.c32", "");
        assert_eq!(first(Firmware::Bios), Ok("pxelinux.0"));
        put(&folder, "undionly.kpxe", "");
        assert_eq!(first(Firmware::Bios), Ok("undionly.kpxe"));
        put(&folder, "ipxe.efi", "");
        assert_eq!(first(x64), Ok("ipxe.efi"));
        put(&folder, "shimx64.efi", "");
        put(&folder, "snponly.efi", "");
        assert_eq!(first(x64), Ok("snponly.efi"), "shim alone loads nothing");
        let lacks = loaders.lacks(true);
        assert!(lacks.len() == 1 && lacks[0].starts_with("machines with Secure Boot on"), "{lacks:?}");
        put(&folder, "grubx64.efi", "");
        assert_eq!(first(x64), Ok("shimx64.efi"));
        assert!(loaders.lacks(true).is_empty() && loaders.lacks(false).is_empty());
        assert_eq!(loaders.first_of(x64, false), Ok("snponly.efi"), "GRUB would ask somebody else");
        let arm = Firmware::Uefi(Cpu::Arm64);
        assert!(first(arm).unwrap_err().starts_with("Arm machines"));
        put(&folder, "bootaa64.efi", "");
        put(&folder, "grubaa64.efi", "");
        assert_eq!(first(arm), Ok("shimaa64.efi"));
    }
}
