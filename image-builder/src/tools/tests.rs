//! The closure over packages that exist nowhere, and over Debian's own.

use std::collections::BTreeSet;

use initrd::cpio::{Kind, Reader};

use super::*;
use crate::build::tests::ingredient;

/// A program or library that needs these libraries: one loaded segment, its strings, its dynamic section.
fn elf(needed: &[&str]) -> Vec<u8> {
    const START: usize = 64 + 2 * 56;
    let mut strings = vec![0];
    let mut dynamic = Vec::new();
    for name in needed {
        dynamic.extend([1, strings.len() as u64]);
        strings.extend_from_slice(name.as_bytes());
        strings.push(0);
    }
    dynamic.extend([5, START as u64, 0, 0]);
    let mut file = vec![0; START];
    file[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
    file[32] = 64;
    file[56] = 2;
    let dynamic_len = dynamic.len() * 8;
    let whole = START + strings.len() + dynamic_len;
    for (at, kind, offset, len) in [(64, 1, 0, whole), (120, 2, START + strings.len(), dynamic_len)] {
        file[at] = kind;
        file[at + 8..at + 16].copy_from_slice(&(offset as u64).to_le_bytes());
        file[at + 16..at + 24].copy_from_slice(&(offset as u64).to_le_bytes());
        file[at + 32..at + 40].copy_from_slice(&(len as u64).to_le_bytes());
    }
    file.extend(strings);
    file.extend(dynamic.iter().flat_map(|word| word.to_le_bytes()));
    file
}

fn listed(name: &str, depends: &[&str]) -> Listed {
    let depends = depends.iter().map(|name| (*name).to_owned()).collect();
    Listed { depends, ..ingredient(name, "").listed }
}

/// All packages of the table with every file of theirs, each of which needs `needed`; and libraries.
struct Archive {
    packages: BTreeMap<String, (Listed, Contents)>,
}

impl Archive {
    fn new(needed: &[&str]) -> Self {
        let packages = WANTED.iter().map(|(name, files)| {
            let files = files.iter().map(|file| ((*file).to_owned(), elf(needed))).collect();
            let contents = Contents { package: (*name).to_owned(), files, ..Contents::default() };
            ((*name).to_owned(), (listed(name, &["liba1", "perl"]), contents))
        });
        Self { packages: packages.collect() }
    }

    fn library(mut self, package: &str, depends: &[&str], soname: &str, needed: &[&str]) -> Self {
        let file = format!("usr/{LIBRARIES}{soname}.0.1");
        let links = [(format!("usr/{LIBRARIES}{soname}"), format!("{soname}.0.1"))].into();
        let files = [(file, elf(needed))].into();
        let contents = Contents { package: package.to_owned(), files, links };
        self.packages.insert(package.to_owned(), (listed(package, depends), contents));
        self
    }

    fn close(&self) -> Result<Closure, ToolsError> {
        let roots = WANTED.iter().map(|(name, _)| self.packages[*name].0.clone()).collect();
        let mut closure = Closure::default();
        let read = |wanted: &[Listed]| {
            let contents = |listed: &Listed| self.packages[&listed.package.name].1.clone();
            Ok(wanted.iter().map(contents).collect())
        };
        let known = |names: &[String]| {
            assert!(names.iter().all(|name| name != "perl"), "only libraries are read");
            Ok(names.iter().filter_map(|name| Some(self.packages.get(name)?.0.clone())).collect())
        };
        closure.complete(roots, read, known)?;
        Ok(closure)
    }
}

#[test]
fn libraries_are_found_behind_the_packages_that_need_them() {
    let archive = Archive::new(&["liba.so.1"])
        .library("liba1", &["libb2"], "liba.so.1", &["libb.so.2"])
        .library("libb2", &["libc6"], "libb.so.2", &[])
        .library("libc6", &[], "libc.so.6", &[]);
    let closure = archive.close().unwrap();
    assert!(closure.has("liba.so.1") && closure.has("libb.so.2"));
    let (used, _) = closure.used();
    let names: Vec<&str> = used.iter().map(|listed| listed.package.name.as_str()).collect();
    assert!(names.contains(&"libb2") && !names.contains(&"libc6"), "nothing needs libc6: {names:?}");
    let bytes = closure.tree().unwrap().to_bytes(0).unwrap();
    assert_eq!(bytes, archive.close().unwrap().tree().unwrap().to_bytes(0).unwrap());
}

#[test]
fn a_library_that_nobody_has_is_named_with_who_needs_it() {
    let archive = Archive::new(&["liba.so.1"]).library("liba1", &["libb2"], "liba.so.1", &["libb.so.2"]);
    let error = archive.close().unwrap_err().to_string();
    let words = "`usr/lib/x86_64-linux-gnu/liba.so.1` of the package `liba1` needs libb.so.2";
    assert!(error.starts_with(words), "{error}");
}

#[test]
fn a_wanted_program_that_its_package_lost_is_named() {
    let mut archive = Archive::new(&[]);
    let (_, contents) = archive.packages.get_mut("nvme-cli").unwrap();
    contents.files.clear();
    let error = archive.close().unwrap_err().to_string();
    assert!(error.starts_with("the package `nvme-cli` has no sbin/nvme"), "{error}");
}

/// Debian's own packages come through apt once and are kept in the user's cache, as in any build.
#[test]
fn nothing_in_debians_tools_needs_what_is_not_there() {
    let cache = crate::cache_dir(std::env::var_os("XDG_CACHE_HOME"), std::env::var_os("HOME"));
    let cache = cache.expect("HOME is set");
    let packages = Packages::new(&cache).unwrap();
    let store = Store::new(&cache);
    let gather = || Tools::gather(&packages, &Lists::open(&store), &store, &mut |_| ()).unwrap();
    let tools = gather();
    assert_eq!(gather().ticket, tools.ticket, "what is kept is what was made");
    assert!(tools.archive.len() < 12_000_000, "{} bytes", tools.archive.len());

    let archive =
        zstd::bulk::decompress(&tools.archive, usize::try_from(tools.ticket.unpacked_size).unwrap());
    let archive = archive.unwrap();
    let entries: Vec<_> = Reader::new(&archive).map(Result::unwrap).collect();
    let paths: BTreeSet<&str> = entries.iter().map(|entry| entry.path).collect();
    let libraries = format!("usr/{LIBRARIES}");
    for entry in &entries {
        match entry.kind {
            Kind::File(bytes) => {
                let needs = Needs::of(bytes).unwrap();
                for name in needs.libraries.iter().filter(|name| *name != LOADER_NAME) {
                    assert!(paths.contains(format!("{libraries}{name}").as_str()), "{}: {name}", entry.path);
                }
                let loader = needs.loader.map(|path| path.trim_start_matches('/').to_owned());
                assert!(loader.is_none_or(|path| paths.contains(path.as_str())), "{}", entry.path);
            }
            Kind::Symlink(target) => {
                let (folder, _) = entry.path.rsplit_once('/').unwrap();
                assert!(paths.contains(format!("{folder}/{target}").as_str()), "{}", entry.path);
            }
            Kind::Directory => {}
            Kind::CharDevice { .. } | Kind::BlockDevice { .. } | Kind::Other => panic!("{}", entry.path),
        }
        assert_eq!(entry.mtime, 0);
    }
    let wanted = WANTED.iter().flat_map(|(_, files)| *files).filter(|file| !file.starts_with("etc/"));
    assert!(wanted.into_iter().all(|file| paths.contains(format!("usr/{file}").as_str())));
    assert!(tools.listed.iter().all(|listed| !tools.terms[&listed.package.name].is_empty()));

    let kept = tools.archive.clone();
    let with = tools.with_program("muster-installer", b"a program").unwrap();
    assert!(with.archive.starts_with(&kept), "what was kept is not packed again");
    let all = zstd::decode_all(with.archive.as_slice()).unwrap();
    assert_eq!(all.len() as u64, with.ticket.unpacked_size);
    let mut debians = initrd::cpio::Reader::new(&all);
    assert!(debians.by_ref().all(|entry| entry.is_ok()));
    let ours = initrd::cpio::Reader::new(debians.rest()).last().unwrap().unwrap();
    assert_eq!(ours.path, "usr/sbin/muster-installer");
}

/// What `muster-installer partition` and what takes disks out of use call
/// (`initramfs-agent/src/install/partition.rs`, `release.rs`).
#[test]
fn whatever_divides_disks_is_wanted() {
    let wanted: BTreeSet<&str> = WANTED
        .iter()
        .flat_map(|(_, files)| *files)
        .filter_map(|file| file.rsplit_once('/').map(|(_, name)| name))
        .collect();
    for program in [
        "cryptsetup",
        "dmsetup",
        "lvm",
        "mdadm",
        "mkfs.btrfs",
        "mkfs.ext4",
        "mkfs.vfat",
        "mkfs.xfs",
        "mkswap",
        "partx",
        "sgdisk",
        "wipefs",
    ] {
        assert!(wanted.contains(program), "{program}");
    }
    assert!(wanted.contains("mke2fs.conf"), "mkfs.ext4 makes other file systems without it");
}
