//! The frozen module list: exactly the modules that our initial ramdisk carries, laid out as the
//! module directory that peers read. Nobody's own taste in drivers decides a comparison of sizes.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use initrd::cpio::Reader;
use ring::digest::{SHA256, digest};

use crate::measure::Call;
use crate::stage::{Subject, cache_dir, read, write};

/// Largest archive after unpacking.
const MAX_ARCHIVE: u64 = 512 * 1_024 * 1_024;
const CPIO: &[u8] = b"070701";
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
const XZ: &[u8] = &[0xfd, b'7', b'z', b'X', b'Z', 0];
/// Lists beside the modules, which say what is built into the kernel.
const LISTS: [&str; 3] = ["modules.builtin", "modules.builtin.modinfo", "modules.order"];

/// The list, and where its kernel's package lies.
#[derive(Debug)]
pub(crate) struct Frozen {
    /// `uname -r`.
    pub(crate) release: String,
    /// SHA-256 over the list.
    pub(crate) digest: String,
    /// `kernel/.../NAME.ko`, relative to the module directory.
    paths: BTreeSet<String>,
    package: PathBuf,
}

/// Bytes of our ramdisk by what they are for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Shares {
    /// The modules, as stored.
    pub(crate) modules: usize,
    /// Everything else: agent, busybox, index.
    pub(crate) rest: usize,
}

impl Frozen {
    /// Reads the list from the media's initial ramdisk.
    pub(crate) fn of(subject: &Subject, folder: &Path) -> Result<Self> {
        let release = subject.manifest.identity.kernel.clone();
        let initrd = read(&subject.path(image_builder::INITRD_FILE))?;
        let paths = module_paths(&initrd, &release)?;
        ensure!(!paths.is_empty(), "the initial ramdisk has no modules of {release}");
        let list: String = paths.iter().map(|path| format!("{path}\n")).collect();
        let digest = digest(&SHA256, list.as_bytes()).as_ref().iter().map(|b| format!("{b:02x}")).collect();
        let package = kernel_package(&release, folder)?;
        Ok(Self { release, digest, paths, package })
    }

    /// How many modules.
    pub(crate) fn len(&self) -> usize {
        self.paths.len()
    }

    /// Names as `modprobe` knows them.
    pub(crate) fn names(&self) -> Vec<&str> {
        self.paths.iter().filter_map(|path| stem(path)).collect()
    }

    /// Lays the modules out below `root` as the only kernel that is installed there.
    pub(crate) fn lay_out(&self, root: &Path) -> Result<()> {
        for old in [root.join("usr/lib/modules"), root.join("boot")] {
            if old.exists() {
                fs::remove_dir_all(&old).with_context(|| format!("cannot remove {}", old.display()))?;
            }
        }
        let lists = LISTS.iter().map(|list| (*list).to_owned());
        let directory = format!("./lib/modules/{}", self.release);
        let mut wanted: Vec<String> =
            lists.chain(self.paths.iter().cloned()).map(|path| format!("{directory}/{path}\n")).collect();
        wanted.push(format!("./boot/config-{}\n", self.release));
        let list = tempfile::NamedTempFile::new().context("cannot make a file")?;
        write(list.path(), wanted.concat())?;
        extract(&self.package, list.path(), root)
    }

    /// Checks that a listing of an image names these modules, all and no other.
    pub(crate) fn check(&self, listing: &str) -> Result<()> {
        let words = listing.split_whitespace().filter(|word| !word.contains('\''));
        let found: BTreeSet<&str> = words.filter_map(stem).collect();
        let wanted: BTreeSet<&str> = self.names().into_iter().collect();
        if found == wanted {
            return Ok(());
        }
        let missing = wanted.difference(&found).count();
        let other: Vec<_> = found.difference(&wanted).take(3).collect();
        bail!("the image lacks {missing} of the {} modules; others in it: {other:?}", wanted.len());
    }
}

/// `e1000` of `kernel/.../e1000.ko`, with or without a compression's suffix.
fn stem(path: &str) -> Option<&str> {
    let file = path.rsplit('/').next()?;
    [".ko", ".ko.zst", ".ko.xz"].iter().find_map(|suffix| file.strip_suffix(suffix))
}

/// Paths of the modules in an initial ramdisk, without the suffix of their compression.
fn module_paths(initrd: &[u8], release: &str) -> Result<BTreeSet<String>> {
    let directory = format!("lib/modules/{release}/");
    let mut paths = BTreeSet::new();
    for (archive, _) in archives(initrd)? {
        for entry in Reader::new(&archive) {
            let entry = entry.context("an archive of the initial ramdisk")?;
            let Some(path) = entry.path.strip_prefix(&directory) else { continue };
            if let (Some(_), Some(end)) = (stem(path), path.rfind(".ko")) {
                paths.insert(path.chars().take(end + 3).collect());
            }
        }
    }
    Ok(paths)
}

/// How the bytes of our ramdisk are spent.
pub(crate) fn shares(initrd: &[u8]) -> Result<Shares> {
    let mut shares = Shares::default();
    for (archive, stored) in archives(initrd)? {
        let mut modules = false;
        for entry in Reader::new(&archive) {
            modules |= stem(entry.context("an archive of the initial ramdisk")?.path).is_some();
        }
        *(if modules { &mut shares.modules } else { &mut shares.rest }) += stored;
    }
    Ok(shares)
}

/// The archives of an initial ramdisk, unpacked, and the bytes each takes as stored.
fn archives(initrd: &[u8]) -> Result<Vec<(Vec<u8>, usize)>> {
    let mut found = Vec::new();
    let mut rest = initrd;
    loop {
        let padding = rest.iter().take_while(|&&byte| byte == 0).count();
        rest = rest.get(padding..).unwrap_or_default();
        if rest.is_empty() {
            return Ok(found);
        }
        let before = rest.len();
        let mut archive = Vec::new();
        if rest.starts_with(CPIO) {
            let mut reader = Reader::new(rest);
            for entry in &mut reader {
                entry.context("an archive of the initial ramdisk")?;
            }
            let end = before - reader.rest().len();
            archive = rest.get(..end).unwrap_or_default().to_vec();
            rest = rest.get(end..).unwrap_or_default();
        } else if rest.starts_with(ZSTD) {
            let frame = zstd::stream::read::Decoder::with_buffer(&mut rest)?.single_frame();
            frame.take(MAX_ARCHIVE).read_to_end(&mut archive).context("a zstd archive")?;
        } else if rest.starts_with(XZ) {
            let stream = xz2::bufread::XzDecoder::new(&mut rest);
            stream.take(MAX_ARCHIVE).read_to_end(&mut archive).context("an xz archive")?;
        } else {
            bail!("an archive of the initial ramdisk at byte {} is of no known kind", initrd.len() - before);
        }
        found.push((archive, before - rest.len()));
    }
}

/// The kernel's Debian package: as the builder keeps it, else downloaded again by apt.
fn kernel_package(release: &str, folder: &Path) -> Result<PathBuf> {
    let packages = cache_dir()?.join("packages");
    let find = |dir: &Path| -> Option<PathBuf> {
        let prefix = format!("linux-image-{release}_");
        let entries = fs::read_dir(dir).ok()?;
        let mut paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
        paths.find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&prefix)))
    };
    if let Some(path) = find(&packages) {
        return Ok(path);
    }
    let script = "cd \"$1\" && exec apt-get download \"$2\"";
    let call = Call::new("sh").args(["-c", script, "sh"]).arg(folder).arg(format!("linux-image-{release}"));
    call.measured(folder, "apt-get")?;
    find(folder).context("apt-get downloaded no kernel package")
}

/// Unpacks the files that `list` names from a Debian package.
fn extract(package: &Path, list: &Path, to: &Path) -> Result<()> {
    let mut unpack = Command::new("dpkg-deb")
        .arg("--fsys-tarfile")
        .arg(package)
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start dpkg-deb")?;
    let stream = unpack.stdout.take().context("dpkg-deb has an output")?;
    let target = to.join("usr");
    fs::create_dir_all(target.join("lib/modules")).context("cannot make a module directory")?;
    // The room's /lib is a link to /usr/lib; tar must follow it and not put a folder in its place.
    // The directory comes first: it holds for the names behind it.
    let status = Command::new("tar")
        .args(["--extract", "--file", "-", "--keep-directory-symlink", "--directory"])
        .arg(to)
        .arg("--files-from")
        .arg(list)
        .stdin(stream)
        .status()
        .context("cannot start tar")?;
    let unpacked = unpack.wait().context("cannot await dpkg-deb")?;
    ensure!(status.success() && unpacked.success(), "cannot unpack {}", package.display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use initrd::cpio::Tree;
    use initrd::segment::{Compression, Segments};

    fn archive(paths: &[&str]) -> Vec<u8> {
        let mut tree = Tree::new();
        for path in paths {
            tree.file(path, 0o644, b"contents".as_slice()).unwrap();
        }
        tree.to_bytes(0).unwrap()
    }

    fn ramdisk() -> Vec<u8> {
        let mut segments = Segments::new();
        let programs = archive(&["init", "lib/modules/6.1/muster.index"]);
        segments.push(&programs, Compression::Zstd).unwrap();
        let modules = ["lib/modules/6.1/kernel/net/a.ko.zst", "lib/modules/6.1/kernel/b.ko.zst"];
        segments.push(&archive(&modules), Compression::None).unwrap();
        segments.push(&archive(&["lib/modules/6.1/kernel/c.ko"]), Compression::Zstd).unwrap();
        segments.into_bytes()
    }

    #[test]
    fn modules_are_found_in_every_archive_however_it_is_stored() {
        let paths = module_paths(&ramdisk(), "6.1").unwrap();
        assert_eq!(paths.into_iter().collect::<Vec<_>>(), ["kernel/b.ko", "kernel/c.ko", "kernel/net/a.ko"]);
        let mut xz = Vec::new();
        let plain = archive(&["lib/modules/6.1/kernel/x.ko"]);
        xz2::read::XzEncoder::new(plain.as_slice(), 6).read_to_end(&mut xz).unwrap();
        assert_eq!(module_paths(&xz, "6.1").unwrap().len(), 1);
        assert_eq!(module_paths(&xz, "6.2").unwrap().len(), 0);
        assert!(module_paths(b"rubbish", "6.1").is_err());
    }

    #[test]
    fn every_byte_of_a_ramdisk_is_modules_or_the_rest() {
        let bytes = ramdisk();
        let shares = shares(&bytes).unwrap();
        assert!(shares.modules > 0 && shares.rest > 0);
        // Padding between archives belongs to neither.
        assert!(bytes.len() - (shares.modules + shares.rest) < 12, "{shares:?} of {}", bytes.len());
    }

    #[test]
    fn an_image_with_other_modules_is_refused() {
        let paths = ["kernel/a.ko", "kernel/b.ko"].map(str::to_owned).into_iter().collect();
        let frozen =
            Frozen { release: "6.1".to_owned(), digest: String::new(), paths, package: PathBuf::new() };
        let listing = "Arguments: --add-drivers 'a.ko'\n-rw-r--r-- 1 usr/lib/modules/6.1/kernel/a.ko\n";
        assert!(frozen.check(&format!("{listing}usr/lib/modules/6.1/kernel/b.ko")).is_ok());
        let error = frozen.check(&format!("{listing}kernel/c.ko")).unwrap_err().to_string();
        assert_eq!(error, "the image lacks 1 of the 2 modules; others in it: [\"c\"]");
    }
}
