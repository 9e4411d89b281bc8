//! Makes of a file what machines install: of a disk image a block map, of a tar one that was looked
//! through, compressed anew. Reads, decides and compresses without a clock or network; blocks.

use super::download::Far;
use imaging::blockmap::{self, Map, MapError, PackError, pack_qcow2, pack_raw};
use imaging::compress::{self, Decoder, Format, Limits};
use imaging::digest::{Algorithm, Digest, Hashing};
use imaging::layer::{self, LayerError};
use imaging::qcow2::{Image as Qcow2, Qcow2Error};
use protocol::install::Way;
use protocol::model::ImageFormat;
use std::fs::{File, OpenOptions};
use std::io::{self, Cursor, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Bytes at the beginning by which an image is known: the first two sectors.
const HEAD: usize = 1_024;
/// zstd's own default: what is gained beyond it is small, and takes long.
const LEVEL: i32 = 3;

/// Why a file cannot be installed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConvertError {
    /// It is none of what is known.
    #[error("the file is no tar, no qcow2 image and no disk image with a partition table")]
    Unknown,
    /// It is something else than somebody said.
    #[error("the image is declared as {declared} and the file is {found}: correct Format, or the file")]
    OtherFormat {
        /// What somebody said.
        declared: &'static str,
        /// What it is.
        found: &'static str,
    },
    /// The disk image.
    #[error("the disk image cannot be read")]
    Pack(#[from] PackError),
    /// The block map just written.
    #[error("the converted image cannot be read")]
    Map(#[from] MapError),
    /// The qcow2 image.
    #[error(transparent)]
    Qcow2(#[from] Qcow2Error),
    /// The tar.
    #[error("the tar cannot be installed")]
    Tar(#[source] LayerError),
    /// The disk here, or what is compressed.
    #[error("the file cannot be read or converted")]
    Io(#[from] io::Error),
}

/// What is converted, and where to.
#[derive(Debug)]
pub(crate) struct Conversion {
    /// The file as it came.
    pub(crate) source: File,
    /// Its length.
    pub(crate) size: u64,
    /// What somebody said that it is.
    pub(crate) declared: ImageFormat,
    /// How the paths of files begin that are made.
    pub(crate) place: PathBuf,
    /// Most bytes of what is unpacked for a while.
    pub(crate) limit: u64,
    /// Tells how much of the file is read.
    pub(crate) far: watch::Sender<Far>,
    /// Ends it.
    pub(crate) stop: CancellationToken,
}

/// What machines install.
#[derive(Debug)]
pub(crate) struct Converted {
    /// Where it is.
    pub(crate) path: PathBuf,
    /// The same, open.
    pub(crate) file: File,
    /// How it is installed.
    pub(crate) way: Way,
    /// Its digest.
    pub(crate) digest: Digest,
    /// Digest of a block map's head and index.
    pub(crate) index: Option<Digest>,
    /// Its length.
    pub(crate) size: u64,
    /// Size of the disk, or of the files in the tar.
    pub(crate) unpacked_size: u64,
}

/// What a file is, beneath its compression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    Raw,
    Qcow2,
    Tar,
}

impl Found {
    /// By the first bytes.
    fn of(head: &[u8]) -> Option<Self> {
        if head.starts_with(b"QFI\xfb") {
            Some(Self::Qcow2)
        } else if head.get(257..262) == Some(b"ustar") {
            Some(Self::Tar)
        } else if head.get(510..512) == Some(&[0x55, 0xaa]) || head.get(512..520) == Some(b"EFI PART") {
            Some(Self::Raw)
        } else {
            None
        }
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Qcow2 => "qcow2",
            Self::Tar => "tar",
        }
    }

    /// Whether it is what somebody said.
    fn check(self, declared: ImageFormat) -> Result<(), ConvertError> {
        let expected = match declared {
            ImageFormat::Auto => return Ok(()),
            ImageFormat::Oci => "oci",
            ImageFormat::Raw => Self::Raw.word(),
            ImageFormat::Qcow2 => Self::Qcow2.word(),
            ImageFormat::Tar => Self::Tar.word(),
        };
        if expected == self.word() {
            return Ok(());
        }
        Err(ConvertError::OtherFormat { declared: expected, found: self.word() })
    }
}

/// Tells how far its file is read, and ends when it is told to.
struct Watched {
    file: File,
    read: u64,
    far: watch::Sender<Far>,
    stop: CancellationToken,
}

impl Read for Watched {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.stop.is_cancelled() {
            return Err(io::Error::other("it was stopped"));
        }
        let count = self.file.read(buffer)?;
        self.read = self.read.saturating_add(count as u64);
        self.far.send_modify(|far| far.bytes = self.read.min(far.total));
        Ok(count)
    }
}

impl Seek for Watched {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}

impl Conversion {
    /// Does it. What is made lies at `place` and is removed with [`Conversion::clear`] where it is not
    /// wanted.
    ///
    /// # Errors
    /// [`ConvertError`] says what is wrong with the image.
    pub(crate) fn run(&self) -> Result<Converted, ConvertError> {
        self.far.send_replace(Far { bytes: 0, total: self.size });
        let mut decoder = Decoder::open(self.watched()?, Limits::DISK)?;
        let mut head = Vec::with_capacity(HEAD);
        decoder.by_ref().take(HEAD as u64).read_to_end(&mut head)?;
        let found = Found::of(&head).ok_or(ConvertError::Unknown)?;
        found.check(self.declared)?;
        match found {
            Found::Raw => self.pack(|scratch, out| {
                let whole = Cursor::new(head).chain(decoder);
                pack_raw(whole, scratch, out, blockmap::Options::default())
            }),
            Found::Qcow2 if decoder.format() == Format::None => self.qcow2(self.watched()?),
            Found::Qcow2 => {
                let mut unpacked = self.create("unpacked")?;
                let mut whole = Cursor::new(head).chain(decoder).take(self.limit);
                if io::copy(&mut whole, &mut unpacked)? == self.limit {
                    return Err(io::Error::from(io::ErrorKind::StorageFull).into());
                }
                unpacked.rewind()?;
                self.qcow2(Watched { file: unpacked, ..self.watched()? })
            }
            Found::Tar => {
                drop(decoder);
                self.tar(Decoder::open(self.watched()?, compress::Limits::ARCHIVE)?)
            }
        }
    }

    /// Removes whatever was made.
    ///
    /// # Errors
    /// When the disk fails.
    pub(crate) fn clear(place: &Path) -> io::Result<()> {
        ["unpacked", "scratch", "out"]
            .iter()
            .try_for_each(|part| crate::keys::files::remove(&beside(place, part)))
    }

    fn qcow2(&self, source: Watched) -> Result<Converted, ConvertError> {
        let mut image = Qcow2::open(source)?;
        self.pack(|scratch, out| pack_qcow2(&mut image, scratch, out, blockmap::Options::default()))
    }

    fn pack(
        &self,
        pack: impl FnOnce(&mut File, &mut File) -> Result<blockmap::Summary, PackError>,
    ) -> Result<Converted, ConvertError> {
        let (mut scratch, mut out) = (self.create("scratch")?, self.create("out")?);
        let summary = pack(&mut scratch, &mut out)?;
        crate::keys::files::remove(&beside(&self.place, "scratch"))?;
        out.rewind()?;
        let map = Map::read(&mut out)?;
        Ok(Converted {
            path: beside(&self.place, "out"),
            file: out,
            way: Way::BlockMap,
            digest: summary.digest,
            index: Some(*map.digest()),
            size: summary.length,
            unpacked_size: summary.size,
        })
    }

    /// One pass: what is looked at is compressed at the same time.
    fn tar(&self, source: impl Read) -> Result<Converted, ConvertError> {
        let out = Hashing::new(self.create("out")?, Algorithm::Sha256);
        let mut packed = zstd::Encoder::new(out, LEVEL)?;
        packed.include_checksum(true)?;
        let mut tee = Tee { source, copy: packed, count: 0 };
        layer::inspect(&mut tee, layer::Limits::default()).map_err(ConvertError::Tar)?;
        let (unpacked_size, packed) = (tee.count, tee.copy);
        let out = packed.finish()?;
        let size = out.length();
        let (file, digest) = out.finish();
        let path = beside(&self.place, "out");
        Ok(Converted { path, file, way: Way::Tar, digest, index: None, size, unpacked_size })
    }

    fn watched(&self) -> io::Result<Watched> {
        let mut file = self.source.try_clone()?;
        file.rewind()?;
        Ok(Watched { file, read: 0, far: self.far.clone(), stop: self.stop.clone() })
    }

    fn create(&self, part: &str) -> io::Result<File> {
        let path = beside(&self.place, part);
        OpenOptions::new().read(true).write(true).create(true).truncate(true).mode(0o600).open(path)
    }
}

fn beside(place: &Path, part: &str) -> PathBuf {
    let mut name = place.file_name().unwrap_or_default().to_owned();
    name.push("-");
    name.push(part);
    place.with_file_name(name)
}

/// Copies what is read.
struct Tee<R, W> {
    source: R,
    copy: W,
    count: u64,
}

impl<R: Read, W: Write> Read for Tee<R, W> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.source.read(buffer)?;
        self.copy.write_all(buffer.get(..count).unwrap_or_default())?;
        self.count = self.count.saturating_add(count as u64);
        Ok(count)
    }
}
