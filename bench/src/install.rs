//! What the installer does with an image once it has its bytes, without the network before it: a block map
//! onto a disk, a layer into a folder. `bench subject write|unpack|pack ...`.

use std::fs::{self, File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::thread::available_parallelism;

use anyhow::{Context as _, Result, ensure};
use imaging::blockmap::{Map, Options, pack_raw};
use imaging::compress::{Ahead, Decoder, Limits};
use imaging::digest::{Algorithm, Digest, Hashing, Verifying};
use imaging::layer::{self, Unpacker, Whiteouts};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::unistd::syncfs;

/// What direct I/O wants lengths to be multiples of.
const ALIGNMENT: usize = 4_096;

/// Makes a block map of a raw image, as an import does, and a file of its frames alone, which is a zstd stream.
pub(crate) fn pack(image: &Path, map: &Path, frames: &Path) -> Result<()> {
    let source = File::open(image).with_context(|| format!("cannot read {}", image.display()))?;
    let out = File::create(map).with_context(|| format!("cannot write {}", map.display()))?;
    let scratch = tempfile::tempfile().context("cannot make a scratch file")?;
    pack_raw(source, scratch, out, Options::default())?;
    let mut packed = File::open(map).with_context(|| format!("cannot read {}", map.display()))?;
    Map::read(&mut packed)?;
    let mut out = File::create(frames).with_context(|| format!("cannot write {}", frames.display()))?;
    std::io::copy(&mut packed, &mut out).context("cannot copy the frames")?;
    Ok(())
}

/// SHA-256 of a file.
pub(crate) fn digest(file: &Path) -> Result<Digest> {
    let source = File::open(file).with_context(|| format!("cannot read {}", file.display()))?;
    let mut hashing = Hashing::new(source, Algorithm::Sha256);
    std::io::copy(&mut hashing, &mut std::io::sink()).context("a file broke off")?;
    Ok(hashing.finish().1)
}

/// A file that fails at its end when it has another digest.
fn verified(file: &Path, digest: &str) -> Result<Verifying<File>> {
    let source = File::open(file).with_context(|| format!("cannot read {}", file.display()))?;
    let length = source.metadata().context("a file's length")?.len();
    Ok(Verifying::new(source, digest.parse()?, Some(length)))
}

/// The digest by which a block map is trusted: that of its index, which has the digest of each frame.
pub(crate) fn index_digest(map: &Path) -> Result<Digest> {
    let mut source = File::open(map).with_context(|| format!("cannot read {}", map.display()))?;
    Ok(*Map::read(&mut source)?.digest())
}

/// Writes a block map over a file of zeros in place of a disk, past the page cache, and flushes it.
pub(crate) fn write(map: &Path, digest: &str, disk: &Path) -> Result<()> {
    let mut source = File::open(map).with_context(|| format!("cannot read {}", map.display()))?;
    let map = Map::read(&mut source)?;
    ensure!(map.digest().to_string() == digest, "the image is another one");
    let mut options = OpenOptions::new();
    let options = options.create(true).truncate(true).write(true).custom_flags(OFlag::O_DIRECT.bits());
    let disk = options.open(disk).with_context(|| format!("cannot write {}", disk.display()))?;
    disk.set_len(map.size())?;
    let threads = available_parallelism().map_or(1, std::num::NonZero::get);
    map.unpack(source, 0, threads, |piece| {
        if !piece.bytes.len().is_multiple_of(ALIGNMENT) {
            // The end of an image that is no multiple of a block.
            fcntl(&disk, FcntlArg::F_SETFL(OFlag::empty()))?;
        }
        disk.write_all_at(piece.bytes, piece.offset)
    })?;
    disk.sync_all().context("cannot flush the disk")
}

/// Unpacks a layer into an empty folder, and flushes its file system.
pub(crate) fn unpack(file: &Path, digest: &str, folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let root = File::open(folder).with_context(|| format!("cannot open {}", folder.display()))?;
    let decoder = Decoder::open(verified(file, digest)?, Limits::ARCHIVE)?;
    let mut unpacker = Unpacker::beneath(root.try_clone()?.into(), layer::Limits::default());
    unpacker.layer(Ahead::start(decoder)?, Whiteouts::Apply)?;
    syncfs(&root).context("cannot flush the file system")
}

/// Unpacks into nothing: what unpacking alone takes.
pub(crate) fn decode(file: &Path) -> Result<()> {
    let source = File::open(file).with_context(|| format!("cannot read {}", file.display()))?;
    let mut decoder = Decoder::open(source, Limits::DISK)?;
    let mut buffer = vec![0; 512 * 1_024];
    while decoder.read(&mut buffer)? > 0 {}
    Ok(())
}
